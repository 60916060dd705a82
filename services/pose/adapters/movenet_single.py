"""MoveNet for one person per crop, with the decoding inside the graph.

The original computes its regression and offset heads everywhere (48 × 48 cells, 68 channels) and then reads them at
one cell and at seventeen. Here these two heads are computed only where they are read, and what leaves the graph are
17 × 3 numbers instead of 200 000: a seventh less work, and hardly anything to send from an inference server. Any
batch. The result is that of the original graph's own decoding.
"""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto

from services.pose.adapters.convert_tfjs import Converter
from services.pose.adapters.graph import GraphBuilder

_CALL = "StatefulPartitionedCall"
_JOINTS = 17
_SOFTEN = np.float32(1.8)


def convert(path: Path, size_px: int) -> onnx.ModelProto:
    """The ONNX model of a single-pose MoveNet: ``crops`` (N, S, S, 3) uint8 RGB → ``joints`` (N, 17, 3) float32 (x, y
    as shares of the crop, score) and ``centre`` (N, 1), the centre heatmap's value at the person.

    Raises:
        ModelError: as ``convert_tfjs.convert``.
    """
    source = Converter.read(path, size_px)
    graph = source.graph
    centre = source.value(f"{_CALL}/Sigmoid_1")
    heatmap = source.value(f"{_CALL}/Sigmoid")
    cells = source.shape(f"{_CALL}/Sigmoid")[1]
    features = _Cells(source, cells)

    flat_centre = graph.add("Flatten", [centre])  # (N, G²)
    line = np.arange(cells, dtype=np.float32) - cells // 2
    weight = 1 / (np.hypot(line[:, None], line[None, :]) + _SOFTEN)
    best = _argmax(graph, graph.add("Mul", [flat_centre, graph.constant(weight.reshape(1, -1))]))  # (N, 1)
    confidence = graph.add("GatherElements", [flat_centre, best], axis=1)

    rough = features.head(best, 1, "kpt_regress_0", ("separable_conv2d_5", "conv2d_6"))  # (N, 1, 34)
    rough = graph.add("Reshape", [rough, graph.constant(np.array([-1, _JOINTS, 2]))])
    rough = graph.add("Add", [rough, _place(graph, best, cells)])  # (N, 17, 2) y, x in cells

    near = _weighted(graph, heatmap, rough, cells)  # (N, 17, G²)
    joint = _argmax(graph, near)  # (N, 17, 1)
    flat = graph.add("Reshape", [heatmap, graph.constant(np.array([0, 0, -1]))])
    score = graph.add("GatherElements", [flat, joint], axis=2)  # (N, 17, 1)

    joint = graph.add("Reshape", [joint, graph.constant(np.array([-1, _JOINTS]))])
    offset = features.head(joint, _JOINTS, "kpt_offset_0", ("separable_conv2d_6", "conv2d_7"))  # (N, 17, 34)
    offset = graph.add("Reshape", [offset, graph.constant(np.array([-1, _JOINTS, _JOINTS, 2]))])
    own = graph.constant(np.eye(_JOINTS, dtype=np.float32)[None, :, :, None])
    axis = graph.constant(np.array([2]))
    offset = graph.add("ReduceSum", [graph.add("Mul", [offset, own]), axis], keepdims=0)  # (N, 17, 2) y, x
    place = graph.add("Add", [offset, _place(graph, joint, cells)])
    share = graph.add("Mul", [place, graph.constant(np.float32(1 / cells))])
    xy = graph.add("Gather", [share, graph.constant(np.array([1, 0]))], axis=2)
    joints = graph.add("Concat", [xy, score], axis=2)
    outputs = [(joints, "joints", (_JOINTS, 3)), (confidence, "centre", (1,))]
    return graph.finish(outputs, "formcheck movenet_single")


def _argmax(graph: GraphBuilder, value: str) -> str:
    return graph.add("ArgMax", [value], axis=-1, keepdims=1)


def _place(graph: GraphBuilder, cell: str, cells: int) -> str:
    """Flat cells (N, M) → (N, M, 2) float32 y, x."""
    side = graph.constant(np.array(cells))
    row = graph.add("Div", [cell, side])
    column = graph.add("Sub", [cell, graph.add("Mul", [row, side])])
    last = graph.constant(np.array([2]))
    both = [graph.add("Unsqueeze", [v, last]) for v in (row, column)]
    return graph.add("Cast", [graph.add("Concat", both, axis=2)], to=TensorProto.FLOAT)


def _weighted(graph: GraphBuilder, heatmap: str, rough: str, cells: int) -> str:
    """The keypoint heatmap (N, 17, G, G) over the softened distance to the regressed joints: (N, 17, G²)."""
    y, x = (graph.add("Gather", [rough, graph.constant(np.array([[i]]))], axis=2) for i in (0, 1))  # each (N, 17, 1, 1)
    line = np.arange(cells, dtype=np.float32)
    down = graph.add("Sub", [graph.constant(line.reshape(1, 1, -1, 1)), y])
    right = graph.add("Sub", [graph.constant(line.reshape(1, 1, 1, -1)), x])
    squared = graph.add("Add", [graph.add("Mul", [down, down]), graph.add("Mul", [right, right])])
    soft = graph.add("Add", [graph.add("Sqrt", [squared]), graph.constant(_SOFTEN)])
    near = graph.add("Div", [heatmap, soft])
    return graph.add("Reshape", [near, graph.constant(np.array([0, 0, -1]))])


class _Cells:
    """The feature map that all heads read, and a head computed at single cells of it."""

    def __init__(self, source: Converter, cells: int) -> None:
        self._source, self._graph, self._cells = source, source.graph, cells
        head = f"{_CALL}/kpt_regress_0/separable_conv2d_5/separable_conv2d/depthwise"
        map_name = source.inputs(head)[0]
        self._channels = source.shape(map_name)[0]
        graph = self._graph
        edge = graph.constant(np.array([0, 0, 1, 1, 0, 0, 1, 1]))  # SAME padding of the heads' 3 × 3 kernels
        padded = graph.add("Pad", [source.value(map_name), edge], mode="constant")
        last = graph.add("Transpose", [padded], perm=[0, 2, 3, 1])
        self._map = graph.add("Reshape", [last, graph.constant(np.array([0, -1, self._channels]))])

    def head(self, cell: str, count: int, name: str, layers: tuple[str, str]) -> str:
        """The head's values at ``count`` flat cells (N, count): (N, count, 34)."""
        graph, weight, wide = self._graph, self._source.weight, self._cells + 2
        base = f"{_CALL}/{name}/{layers[0]}"
        kernel = weight(f"{base}/separable_conv2d/ReadVariableOp")[..., 0]  # (3, 3, C)
        # The cell (y, x) is the top left corner of its 3 × 3 surrounding in the padded map.
        row = graph.add("Div", [cell, graph.constant(np.array(self._cells))])
        corner = graph.add("Add", [cell, graph.add("Mul", [row, graph.constant(np.array(2))])])
        steps = (np.arange(3)[:, None] * wide + np.arange(3)).reshape(1, 1, 9)
        around = graph.add(
            "Add", [graph.add("Unsqueeze", [corner, graph.constant(np.array([2]))]), graph.constant(steps)]
        )
        flat = graph.add("Reshape", [around, graph.constant(np.array([0, count * 9, 1]))])
        seen = graph.add("GatherND", [self._map, flat], batch_dims=1)  # (N, count * 9, C)
        seen = graph.add("Reshape", [seen, graph.constant(np.array([0, count, 9, self._channels]))])
        mixed = graph.add("Mul", [seen, graph.constant(kernel.reshape(1, 1, 9, -1))])
        deep = graph.add("ReduceSum", [mixed, graph.constant(np.array([2]))], keepdims=0)  # (N, count, C)
        wider = self._dense(deep, f"{base}/separable_conv2d/ReadVariableOp_1", f"{base}/BiasAdd/ReadVariableOp")
        last = f"{_CALL}/{name}/{layers[1]}"
        rectified = graph.add("Relu", [wider])
        return self._dense(rectified, f"{last}/Conv2D/ReadVariableOp", f"{last}/BiasAdd/ReadVariableOp")

    def _dense(self, value: str, kernel: str, bias: str) -> str:
        matrix = self._graph.constant(self._source.weight(kernel)[0, 0].astype(np.float32))
        product = self._graph.add("MatMul", [value, matrix])
        return self._graph.add("Add", [product, self._graph.constant(self._source.weight(bias).astype(np.float32))])
