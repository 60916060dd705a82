"""Records what MoveNet's original graphs say, run by TensorFlow.js, for the golden tests.

    mkdir tfjs && cd tfjs && npm init -y && npm install @tensorflow/tfjs@4.22.0 && cd ..
    python -m training.tools.record_movenet --node-path tfjs/node_modules

Writes tests/golden/pose_<network>.npz: ``answer``, the graph's own (P, 1, 17, 3) or (P, 6, 56), and per head
``<name>``, (P, ``SAMPLES``) values at the places of ``sample_places``; P are the pictures of ``record_pictures``.
"""

import argparse
import json
import os
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from services.pose.adapters.models import SOURCES, source_files
from training.tools.record_pictures import NAMES, pictures

GOLDEN = Path(__file__).parents[2] / "tests" / "golden"
SAMPLES = 400
SIZES = {"movenet_lightning": 192, "movenet_thunder": 256, "movenet_multipose": 256}


def sample_places(count: int) -> NDArray[np.int64]:
    """(SAMPLES,) places spread over a flat (H, W, C) head of ``count`` values."""
    return np.linspace(0, count - 1, SAMPLES).astype(np.int64)


def record(network: str, size_px: int, node_path: Path) -> Path:
    """Runs the original graph on all pictures; the file written."""
    heads = SOURCES[network].outputs
    with tempfile.TemporaryDirectory() as folder:
        images, answers = Path(folder) / "pictures.bin", Path(folder) / "answers.json"
        images.write_bytes(pictures(NAMES, size_px).tobytes())
        script = Path(__file__).with_suffix(".js")
        command = ["node", str(script), str(source_files(network)[0]), str(images), str(size_px), str(answers)]
        subprocess.run(
            [*command, *(node for node, _ in heads)],
            check=True,
            env={**os.environ, "NODE_PATH": str(node_path.resolve())},
        )
        records = json.loads(answers.read_text())
    shape = (6, 56) if network == "movenet_multipose" else (1, 17, 3)
    arrays = {"answer": np.array([r[0] for r in records], np.float32).reshape(-1, *shape)}
    for i, (_, name) in enumerate(heads, 1):
        values = np.array([r[i] for r in records], np.float32)
        arrays[name] = values[:, sample_places(values.shape[1])]
    target = GOLDEN / f"pose_{network}.npz"
    np.savez_compressed(target, **arrays)  # type: ignore[arg-type]
    return target


def main() -> None:
    """Records every MoveNet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--node-path", type=Path, required=True, help="node_modules that holds @tensorflow/tfjs")
    args = parser.parse_args()
    for network, size_px in SIZES.items():
        print(record(network, size_px, args.node_path))


if __name__ == "__main__":
    main()
