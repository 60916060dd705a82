"""TensorFlow Lite (float32, float16 and sparse weights) → ONNX, with numpy, onnx and the flatbuffer schema.

Covers the operations of the BlazePose networks. Outputs that nobody asks for (the segmentation mask, a third of the
landmark network's work) are left out.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import tflite
from numpy.typing import NDArray

from services.common.errors import ModelError
from services.pose.adapters.graph import GraphBuilder, same_pads

_OPERATORS = {code: name for name, code in vars(tflite.BuiltinOperator).items() if not name.startswith("_")}
_DTYPES = {0: np.float32, 1: np.float16, 2: np.int32, 3: np.uint8, 4: np.int64, 6: np.bool_, 9: np.int8}
_TO_NCHW = [0, 3, 1, 2]


def convert(path: Path, outputs: Sequence[tuple[str, str]], *, centre: float, scale: float) -> onnx.ModelProto:
    """The ONNX model of a TFLite file: input ``crops`` (N, S, S, 3) uint8 RGB, outputs float32 with batch N.

    Args:
        path: the .tflite.
        outputs: (tensor, name it gets), in this order; maps of the picture come out as (N, C, H, W).
        centre: what the network was trained on is ``(pixel - centre) * scale``.
        scale: see ``centre``.
    Raises:
        ModelError: the file is not such a model, or holds an operation not known here.
    """
    try:
        model = tflite.Model.GetRootAsModel(path.read_bytes(), 0)
        return _Converter(model, centre, scale).run(outputs)
    except (OSError, IndexError, ValueError, AttributeError, TypeError, np.exceptions.AxisError) as e:
        raise ModelError(f"{path} is not a TFLite model that can be converted: {e!r}") from e


def _options(op: Any, cls: Any) -> Any:
    table, out = op.BuiltinOptions(), cls()
    out.Init(table.Bytes, table.Pos)
    return out


class _Converter:
    """Goes through the operators in order; constants stay numpy until an operation needs them."""

    def __init__(self, model: Any, centre: float, scale: float) -> None:
        self._model, self._sub = model, model.Subgraphs(0)
        self._graph = GraphBuilder()
        self._constants: dict[int, NDArray[Any]] = {}
        self._values: dict[int, str] = {}
        self._centre, self._scale = centre, np.float32(scale)
        self._raw: set[int] = set()  # values still in pixel units: the first convolution scales them

    def run(self, outputs: Sequence[tuple[str, str]]) -> onnx.ModelProto:
        sub = self._sub
        image = int(sub.Inputs(0))
        self._values[image] = self._graph.image_input(self._shape(image)[1], self._centre)
        self._raw.add(image)
        for i in range(sub.OperatorsLength()):
            op = sub.Operators(i)
            code = self._model.OperatorCodes(op.OpcodeIndex())
            name = _OPERATORS[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())]
            convert_op = getattr(self, f"_op_{name.lower()}", None)
            if convert_op is None:
                raise ModelError(f"cannot convert the TFLite operation {name}")
            inputs = [int(op.Inputs(j)) for j in range(op.InputsLength())]
            convert_op(op, inputs, int(op.Outputs(0)))
        tensors = {
            sub.Tensors(int(sub.Outputs(k))).Name().decode(): int(sub.Outputs(k)) for k in range(sub.OutputsLength())
        }
        exposed = []
        for tensor, name in outputs:
            if tensor not in tensors:
                raise ModelError(f"the TFLite model has no output {tensor}, it has {', '.join(tensors)}")
            shape = self._shape(tensors[tensor])
            shape = [shape[i] for i in _TO_NCHW] if len(shape) == 4 else shape
            exposed.append((self._values[tensors[tensor]], name, shape[1:]))
        return self._graph.finish(exposed, "formcheck convert_tflite")

    # --- what tensors hold

    def _shape(self, index: int) -> list[int]:
        return [int(v) for v in self._sub.Tensors(index).ShapeAsNumpy()]

    def _constant(self, index: int) -> NDArray[Any]:
        """A constant tensor as stored (weights: output, height, width, input)."""
        if index not in self._constants:
            tensor = self._sub.Tensors(index)
            data = self._model.Buffers(tensor.Buffer()).DataAsNumpy()
            if isinstance(data, int):
                raise ModelError(f"the TFLite tensor {tensor.Name().decode()} is not a constant")
            flat: NDArray[Any] = np.frombuffer(data.tobytes(), _DTYPES[tensor.Type()])
            self._constants[index] = flat.reshape(self._shape(index))
        return self._constants[index]

    def _float(self, index: int) -> NDArray[np.float32]:
        return self._constant(index).astype(np.float32)

    def _op_dequantize(self, op: Any, inputs: list[int], output: int) -> None:
        value = self._constant(inputs[0])
        if value.dtype != np.float16:
            raise ModelError(f"cannot convert weights of type {value.dtype}")
        self._constants[output] = value.astype(np.float32)

    def _op_densify(self, op: Any, inputs: list[int], output: int) -> None:
        tensor = self._sub.Tensors(inputs[0])
        stored: NDArray[Any] = np.frombuffer(
            self._model.Buffers(tensor.Buffer()).DataAsNumpy().tobytes(), _DTYPES[tensor.Type()]
        )
        self._constants[output] = _dense(stored, tensor.Sparsity(), self._shape(inputs[0]))

    # --- operations

    def _activated(self, value: str, activation: int) -> str:
        if activation == tflite.ActivationFunctionType.NONE:
            return value
        if activation == tflite.ActivationFunctionType.RELU:
            return self._graph.add("Relu", [value])
        if activation == tflite.ActivationFunctionType.RELU6:
            return self._graph.clip(value, 0, 6)
        raise ModelError(f"cannot convert the TFLite activation {activation}")

    def _op_conv_2d(self, op: Any, inputs: list[int], output: int) -> None:
        weight = self._float(inputs[1]).transpose(0, 3, 1, 2)
        self._convolution(_options(op, tflite.Conv2DOptions), inputs, output, weight, group=1)

    def _op_depthwise_conv_2d(self, op: Any, inputs: list[int], output: int) -> None:
        weight = self._float(inputs[1]).transpose(3, 0, 1, 2)
        group = self._shape(inputs[0])[3]
        self._convolution(_options(op, tflite.DepthwiseConv2DOptions), inputs, output, weight, group=group)

    def _convolution(self, o: Any, inputs: list[int], output: int, weight: NDArray[np.float32], *, group: int) -> None:
        strides = [o.StrideH(), o.StrideW()]
        dilations = [o.DilationHFactor(), o.DilationWFactor()]
        size = list(weight.shape[2:])
        same = o.Padding() == tflite.Padding.SAME
        pads = same_pads(self._shape(inputs[0])[1:3], size, strides, dilations) if same else [0, 0, 0, 0]
        if inputs[0] in self._raw:
            weight = weight * self._scale
        operands = [self._values[inputs[0]], self._graph.constant(weight)]
        if len(inputs) > 2 and inputs[2] >= 0:
            operands.append(self._graph.constant(self._float(inputs[2])))
        value = self._graph.add(
            "Conv", operands, kernel_shape=size, strides=strides, dilations=dilations, pads=pads, group=group
        )
        self._values[output] = self._activated(value, o.FusedActivationFunction())

    def _op_add(self, op: Any, inputs: list[int], output: int) -> None:
        value = self._graph.add("Add", [self._values[i] for i in inputs])
        activation = _options(op, tflite.AddOptions).FusedActivationFunction()
        self._values[output] = self._activated(value, activation)

    def _op_logistic(self, op: Any, inputs: list[int], output: int) -> None:
        self._values[output] = self._graph.add("Sigmoid", [self._values[inputs[0]]])

    def _op_max_pool_2d(self, op: Any, inputs: list[int], output: int) -> None:
        o = _options(op, tflite.Pool2DOptions)
        size, strides = [o.FilterHeight(), o.FilterWidth()], [o.StrideH(), o.StrideW()]
        same = o.Padding() == tflite.Padding.SAME
        pads = same_pads(self._shape(inputs[0])[1:3], size, strides, [1, 1]) if same else [0, 0, 0, 0]
        value = self._graph.add("MaxPool", [self._values[inputs[0]]], kernel_shape=size, strides=strides, pads=pads)
        self._values[output] = self._activated(value, o.FusedActivationFunction())

    def _op_pad(self, op: Any, inputs: list[int], output: int) -> None:
        pads = self._constant(inputs[1]).astype(np.int64)[_TO_NCHW]
        flat = self._graph.constant(np.concatenate([pads[:, 0], pads[:, 1]]))
        self._values[output] = self._graph.add("Pad", [self._values[inputs[0]], flat], mode="constant")
        if inputs[0] in self._raw:
            self._raw.add(output)

    def _op_resize_bilinear(self, op: Any, inputs: list[int], output: int) -> None:
        o = _options(op, tflite.ResizeBilinearOptions)
        mode = "asymmetric"
        if o.AlignCorners():
            mode = "align_corners"
        elif o.HalfPixelCenters():
            mode = "half_pixel"
        before, after = self._shape(inputs[0]), self._shape(output)
        scales = np.array([1, 1, after[1] / before[1], after[2] / before[2]], np.float32)
        self._values[output] = self._graph.add(
            "Resize",
            [self._values[inputs[0]], "", self._graph.constant(scales)],
            mode="linear",
            coordinate_transformation_mode=mode,
        )

    def _op_depth_to_space(self, op: Any, inputs: list[int], output: int) -> None:
        size = _options(op, tflite.DepthToSpaceOptions).BlockSize()
        self._values[output] = self._graph.add("DepthToSpace", [self._values[inputs[0]]], blocksize=size, mode="DCR")

    def _op_reshape(self, op: Any, inputs: list[int], output: int) -> None:
        """Row-major over (N, H, W, C); only from maps to lists here, so nothing is turned back."""
        value, after = self._values[inputs[0]], self._shape(output)
        if len(after) == 4:
            raise ModelError("cannot convert a TFLite reshape to a map")
        if len(self._shape(inputs[0])) == 4:
            value = self._graph.add("Transpose", [value], perm=[0, 2, 3, 1])
        shape = self._graph.constant(np.array([-1, *after[1:]], np.int64))
        self._values[output] = self._graph.add("Reshape", [value, shape])

    def _op_concatenation(self, op: Any, inputs: list[int], output: int) -> None:
        o = _options(op, tflite.ConcatenationOptions)
        rank = len(self._shape(output))
        axis = o.Axis() % rank
        axis = [0, 2, 3, 1][axis] if rank == 4 else axis
        value = self._graph.add("Concat", [self._values[i] for i in inputs], axis=axis)
        self._values[output] = self._activated(value, o.FusedActivationFunction())


def _dense(stored: NDArray[Any], sparsity: Any, shape: list[int]) -> NDArray[Any]:
    """A sparse constant spelt out. Each dimension is dense or compressed (segments and indices, as in CSR); what
    is kept of one dimension are rows of (multi-index so far, place in the stored order)."""
    if list(sparsity.TraversalOrderAsNumpy()) != list(range(len(shape))) or sparsity.BlockMapLength():
        raise ModelError("cannot convert TFLite weights that are sparse by blocks")
    index = np.zeros((1, 0), np.int64)
    place = np.zeros(1, np.int64)
    for d in range(sparsity.DimMetadataLength()):
        meta = sparsity.DimMetadata(d)
        if meta.Format() == tflite.DimensionType.DENSE:
            n = meta.DenseSize()
            coordinate = np.tile(np.arange(n), len(place))
            parent = np.repeat(np.arange(len(place)), n)
            place = np.repeat(place * n, n) + coordinate
        else:
            segments = _vector(meta.ArraySegmentsType(), meta.ArraySegments())
            indices = _vector(meta.ArrayIndicesType(), meta.ArrayIndices())
            begin, length = segments[place], segments[place + 1] - segments[place]
            parent = np.repeat(np.arange(len(place)), length)
            within = np.arange(length.sum()) - np.repeat(np.cumsum(length) - length, length)
            place = np.repeat(begin, length) + within
            coordinate = indices[place]
        index = np.hstack([index[parent], coordinate[:, None]])
    out = np.zeros(shape, stored.dtype)
    out[tuple(index.T)] = stored[place]
    return out


def _vector(kind: int, table: Any) -> NDArray[np.int64]:
    cls = {1: tflite.Int32Vector, 2: tflite.Uint16Vector, 3: tflite.Uint8Vector}[kind]
    out = cls()
    out.Init(table.Bytes, table.Pos)
    return out.ValuesAsNumpy().astype(np.int64)
