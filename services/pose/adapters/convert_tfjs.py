"""TensorFlow.js graph model → ONNX, with numpy and onnx alone.

Covers what convolutional pose networks are made of. What is asked for are *inner* values of the graph (backbone
and heads), so the decoding behind them, which fixes the batch at one, is left out.
"""

import base64
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from services.common.errors import ModelError
from services.pose.adapters.graph import GraphBuilder, same_pads


def convert(path: Path, size_px: int, outputs: Sequence[tuple[str, str]]) -> onnx.ModelProto:
    """The ONNX model of a tfjs graph: input ``crops`` (N, S, S, 3) uint8 RGB, outputs (N, C, H, W) float32.

    Args:
        path: the model's .json; its weights lie beside it.
        size_px: side S of the input; a fully convolutional graph takes any multiple of its stride.
        outputs: (node, name it gets) of the values to expose, in this order.
    Raises:
        ModelError: the file is not such a graph, or holds an operation not known here.
    """
    return Converter.read(path, size_px).run(outputs)


def _weights(manifest: list[dict[str, Any]], folder: Path) -> dict[str, NDArray[Any]]:
    found: dict[str, NDArray[Any]] = {}
    for group in manifest:
        blob = b"".join((folder / p).read_bytes() for p in group["paths"])
        at = 0
        for entry in group["weights"]:
            quantised = entry.get("quantization", {})
            dtype = np.dtype(quantised.get("dtype", entry["dtype"]))
            count = int(np.prod(entry["shape"], dtype=np.int64))
            value = np.frombuffer(blob, dtype, count, at).reshape(entry["shape"])
            at += value.nbytes
            if "scale" in quantised:
                value = value * np.float32(quantised["scale"]) + np.float32(quantised["min"])
            found[entry["name"]] = value.astype(entry["dtype"])
        if at != len(blob):
            raise ValueError(f"weights hold {len(blob)} bytes, the manifest names {at}")
    return found


class Converter:
    """Walks from the wanted values back to the input, converting what is met. ``graph`` may be added to."""

    @classmethod
    def read(cls, path: Path, size_px: int) -> "Converter":
        """Of the model at ``path``; see ``convert``."""
        try:
            model = json.loads(path.read_text())
            nodes = {n["name"]: n for n in model["modelTopology"]["node"]}
            weights = _weights(model["weightsManifest"], path.parent)
        except (OSError, ValueError, KeyError) as e:
            raise ModelError(f"{path} is not a TensorFlow.js graph model: {e!r}") from e
        return cls(nodes, weights, size_px)

    def __init__(self, nodes: dict[str, Any], weights: dict[str, NDArray[Any]], size_px: int) -> None:
        self._nodes, self._weights, self._size_px = nodes, weights, size_px
        self.graph = GraphBuilder()
        self._values: dict[str, str] = {}
        self._shape: dict[str, tuple[int, int, int]] = {}
        self._scale = np.float32(1)

    def run(self, outputs: Sequence[tuple[str, str]]) -> onnx.ModelProto:
        exposed = []
        for node, name in outputs:
            exposed.append((self.value(node), name, self._shape[node]))
        return self.graph.finish(exposed, "formcheck convert_tfjs")

    def value(self, name: str) -> str:
        """The ONNX name of a node's value; converts what it needs first (the graph is shallow enough to recurse)."""
        if name not in self._nodes:
            raise ModelError(f"the TensorFlow.js graph has no node {name}")
        if name not in self._values:
            node = self._nodes[name]
            convert_op = getattr(self, f"_op_{node['op'].lstrip('_').lower()}", None)
            if convert_op is None:
                raise ModelError(f"cannot convert the TensorFlow.js operation {node['op']} ({name})")
            self._values[name] = convert_op(node)
        return self._values[name]

    def inputs(self, name: str) -> list[str]:
        """The nodes that a node reads."""
        return [i.split(":")[0] for i in self._nodes[name]["input"] if not i.startswith("^")]

    def shape(self, name: str) -> tuple[int, int, int]:
        """(C, H, W) of a converted node's value."""
        return self._shape[name]

    def weight(self, name: str) -> NDArray[Any]:
        """A constant as the original stores it: kernels are (height, width, input, output)."""
        return self._weights[name]

    # Normalisation: cast, (x - a) * b - c. It becomes x - m here and a scale of the first convolution.
    def _op_sub(self, node: dict[str, Any]) -> str:
        return self._normalisation(node)

    def _op_placeholder(self, node: dict[str, Any]) -> str:
        return self._normalisation(node)

    def _normalisation(self, node: dict[str, Any]) -> str:
        scale, shift = self._affine(node["name"])
        self._shape[node["name"]] = (3, self._size_px, self._size_px)
        self._scale = scale
        return self.graph.image_input(self._size_px, float(-shift / scale))

    def _affine(self, name: str) -> tuple[np.float32, np.float32]:
        """The part before the first convolution as scale * x + shift."""
        node = self._nodes[name]
        if node["op"] == "Placeholder":
            return np.float32(1), np.float32(0)
        first, *rest = self.inputs(node["name"])
        scale, shift = self._affine(first)
        if node["op"] in ("Cast", "Unpack", "ExpandDims", "Squeeze"):
            return scale, shift
        if node["op"] in ("Sub", "Mul", "AddV2"):
            operand = self._weights[rest[0]].ravel()
            if not np.all(operand == operand[0]):
                raise ModelError("cannot convert a normalisation that differs between the colours")
            v = np.float32(operand[0])
            if node["op"] == "Mul":
                return scale * v, shift * v
            return scale, shift - v if node["op"] == "Sub" else shift + v
        raise ModelError(f"cannot convert the normalisation step {node['op']} ({name})")

    def _op_fusedconv2d(self, node: dict[str, Any]) -> str:
        return self._convolution(node, depthwise=False)

    def _op_conv2d(self, node: dict[str, Any]) -> str:
        return self._convolution(node, depthwise=False)

    def _op_fuseddepthwiseconv2dnative(self, node: dict[str, Any]) -> str:
        return self._convolution(node, depthwise=True)

    def _op_depthwiseconv2dnative(self, node: dict[str, Any]) -> str:
        return self._convolution(node, depthwise=True)

    def _convolution(self, node: dict[str, Any], *, depthwise: bool) -> str:
        source, kernel, *more = self.inputs(node["name"])
        value = self.value(source)
        c, h, w = self._shape[source]
        weight = self._weights[kernel]  # (kh, kw, in, out) or (kh, kw, in, multiplier)
        weight = weight.transpose(2, 3, 0, 1) if depthwise else weight.transpose(3, 2, 0, 1)
        if depthwise:
            weight = weight.reshape(-1, 1, *weight.shape[2:])
        if self._nodes[source]["op"] in ("Sub", "Placeholder"):
            weight = weight * self._scale
        size = weight.shape[2:]
        strides, dilations = (_ints(node, key)[1:3] for key in ("strides", "dilations"))
        padding = _text(node["attr"]["padding"]["s"])
        if padding not in ("SAME", "VALID"):
            raise ModelError(f"cannot convert the padding {padding} ({node['name']})")
        pads = same_pads((h, w), size, strides, dilations) if padding == "SAME" else [0, 0, 0, 0]
        fused = [_text(s) for s in node["attr"].get("fused_ops", {}).get("list", {}).get("s", [])]
        inputs = [value, self.graph.constant(weight.astype(np.float32))]
        if "BiasAdd" in fused:
            inputs.append(self.graph.constant(self._weights[more[0]].astype(np.float32)))
        out = self.graph.add(
            "Conv",
            inputs,
            kernel_shape=list(size),
            strides=strides,
            dilations=dilations,
            pads=pads,
            group=c if depthwise else 1,
        )
        self._shape[node["name"]] = (
            weight.shape[0],
            (h + pads[0] + pads[2] - (size[0] - 1) * dilations[0] - 1) // strides[0] + 1,
            (w + pads[1] + pads[3] - (size[1] - 1) * dilations[1] - 1) // strides[1] + 1,
        )
        for op in fused:
            out = self._activation(op, out)
        return out

    def _activation(self, op: str, value: str) -> str:
        if op == "BiasAdd":
            return value
        if op == "Relu":
            return self.graph.add("Relu", [value])
        if op == "Relu6":
            return self.graph.clip(value, 0, 6)
        raise ModelError(f"cannot convert the fused operation {op}")

    def _op_addv2(self, node: dict[str, Any]) -> str:
        a, b = self.inputs(node["name"])
        out = self.graph.add("Add", [self.value(a), self.value(b)])
        self._shape[node["name"]] = self._shape[a]
        return out

    def _op_sigmoid(self, node: dict[str, Any]) -> str:
        (a,) = self.inputs(node["name"])
        out = self.graph.add("Sigmoid", [self.value(a)])
        self._shape[node["name"]] = self._shape[a]
        return out

    def _op_resizebilinear(self, node: dict[str, Any]) -> str:
        """The feature pyramid's up-sampling; always by two, whatever way the graph computes the size."""
        source = self.inputs(node["name"])[0]
        value = self.value(source)
        c, h, w = self._shape[source]
        attributes = node["attr"]
        if attributes.get("align_corners", {}).get("b"):
            mode = "align_corners"
        else:
            half = attributes.get("half_pixel_centers", {}).get("b")
            mode = "half_pixel" if half else "asymmetric"
        scales = self.graph.constant(np.array([1, 1, 2, 2], np.float32))
        self._shape[node["name"]] = (c, 2 * h, 2 * w)
        return self.graph.add("Resize", [value, "", scales], mode="linear", coordinate_transformation_mode=mode)


def _text(encoded: str) -> str:
    return base64.b64decode(encoded).decode()


def _ints(node: dict[str, Any], key: str) -> list[int]:
    return [int(v) for v in node["attr"][key]["list"]["i"]]
