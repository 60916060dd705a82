"""A small ONNX graph under construction: what both converters (tfjs, TFLite) need."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

OPSET = 17


class GraphBuilder:
    """Collects nodes and constants; activations are NCHW float32, the batch ``N`` is dynamic."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []
        self._count = 0

    def add(self, op: str, inputs: Sequence[str], *, output: str | None = None, **attributes: Any) -> str:
        """Appends a node; returns the name of its output."""
        self._count += 1
        output = output or f"{op.lower()}_{self._count}"
        self._nodes.append(helper.make_node(op, list(inputs), [output], name=f"node_{self._count}", **attributes))
        return output

    def constant(self, value: NDArray[Any] | np.generic) -> str:
        """Appends a constant; returns its name."""
        self._count += 1
        name = f"constant_{self._count}"
        self._constants.append(numpy_helper.from_array(np.ascontiguousarray(value).reshape(np.shape(value)), name))
        return name

    def image_input(self, size_px: int, centre: float) -> str:
        """The graph's input ``crops`` (N, S, S, 3) uint8, as NCHW float32 minus ``centre``.

        The rest of the normalisation, a scale, is folded into the first convolution (``scale_weights``): its zero
        padding then still means what it did.
        """
        self._input = helper.make_tensor_value_info("crops", TensorProto.UINT8, ["N", size_px, size_px, 3])
        planar = self.add("Transpose", ["crops"], perm=[0, 3, 1, 2])
        floats = self.add("Cast", [planar], to=TensorProto.FLOAT)
        return self.add("Sub", [floats, self.constant(np.float32(centre))]) if centre else floats

    def clip(self, value: str, low: float, high: float) -> str:
        """min(max(value, low), high); onnxruntime fuses it into the convolution before it."""
        return self.add("Clip", [value, self.constant(np.float32(low)), self.constant(np.float32(high))])

    def finish(self, outputs: Sequence[tuple[str, str, Sequence[int]]], producer: str) -> onnx.ModelProto:
        """The checked model.

        Args:
            outputs: per output the value's name, the name to give it, and its shape without the batch.
            producer: what made it, for the file's header.
        """
        infos = []
        for value, name, shape in outputs:
            self.add("Identity", [value], output=name)
            infos.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", *shape]))
        needed, live = {info.name for info in infos}, []
        for node in reversed(self._nodes):
            if needed & set(node.output):
                live.append(node)
                needed |= set(node.input)
        constants = [c for c in self._constants if c.name in needed]
        graph = helper.make_graph(live[::-1], "pose", [self._input], infos, constants)
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=8,
            producer_name=producer,
        )
        model = onnx.shape_inference.infer_shapes(model)
        onnx.checker.check_model(model)
        return model


def same_pads(
    size: Sequence[int], kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int]
) -> list[int]:
    """TensorFlow's SAME padding as ONNX's [top, left, bottom, right]: the odd pixel goes to the end."""
    begin, end = [], []
    for n, k, s, d in zip(size, kernel, strides, dilations, strict=True):
        total = max((-(-n // s) - 1) * s + (k - 1) * d + 1 - n, 0)
        begin.append(total // 2)
        end.append(total - total // 2)
    return begin + end
