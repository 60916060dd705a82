// Runs MoveNet's original graph with TensorFlow.js: node record_movenet.js MODEL.json PICTURES.bin SIZE OUT.json NODE...
// Writes, per picture, the graph's own answer ("Identity") and the values of the named inner nodes, as plain lists.
const fs = require('fs');
const path = require('path');
const tf = require('@tensorflow/tfjs');

const [, , modelPath, picturesPath, size, outPath, ...nodes] = process.argv;

function load() {
  const model = JSON.parse(fs.readFileSync(modelPath));
  const specs = model.weightsManifest.flatMap((g) => g.weights);
  const files = model.weightsManifest.flatMap((g) => g.paths);
  const data = Buffer.concat(files.map((f) => fs.readFileSync(path.join(path.dirname(modelPath), f))));
  return tf.loadGraphModel(tf.io.fromMemory({
    modelTopology: model.modelTopology,
    weightSpecs: specs,
    weightData: data.buffer.slice(data.byteOffset, data.byteOffset + data.byteLength),
    format: model.format,
    signature: model.signature,
  }));
}

async function main() {
  await tf.setBackend('cpu');
  const model = await load();
  const S = Number(size);
  const all = new Uint8Array(fs.readFileSync(picturesPath));
  const one = S * S * 3;
  const records = [];
  for (let i = 0; i < all.length / one; i++) {
    const input = tf.tensor(Int32Array.from(all.subarray(i * one, (i + 1) * one)), [1, S, S, 3], 'int32');
    const outputs = await model.executeAsync(input, ['Identity', ...nodes]);
    records.push(outputs.map((t) => Array.from(t.dataSync())));
  }
  fs.writeFileSync(outPath, JSON.stringify(records));
}

main();
