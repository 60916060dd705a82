"""Writes the network as ONNX: one tick, state in and out, any batch."""

from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

from services.segment.adapters.onnx import OnnxRecurrentNetwork
from services.segment.core.features import F
from services.segment.core.network import OUTPUTS
from training.segment.model import SegmentNetwork


class _Graph:
    """Collects nodes and constants."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, name: str, value: torch.Tensor | np.ndarray) -> str:
        array = value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else value
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def add(self, op: str, inputs: list[str], output: str, **attributes: object) -> str:
        self.nodes.append(helper.make_node(op, inputs, [output], **attributes))
        return output


def _cell(g: _Graph, network: SegmentNetwork, layer: int, x: str, h: str) -> str:
    """One GRU cell in torch's gate order (reset, update, new); x (N, I), h (N, H) → (N, H)."""
    size = network.gru.hidden_size
    parts = {}
    for kind in ("ih", "hh"):
        weight = g.constant(f"w_{kind}{layer}", getattr(network.gru, f"weight_{kind}_l{layer}"))
        bias = g.constant(f"b_{kind}{layer}", getattr(network.gru, f"bias_{kind}_l{layer}"))
        gates = g.add("Gemm", [x if kind == "ih" else h, weight, bias], f"{kind}{layer}", transB=1)
        names = [f"{kind}{layer}_{gate}" for gate in ("r", "z", "n")]
        g.nodes.append(helper.make_node("Split", [gates, "gate_sizes"], names, axis=1))
        parts[kind] = names
    if layer == 0:
        g.constant("gate_sizes", np.array([size] * 3, np.int64))
    (ir, iz, inew), (hr, hz, hnew) = parts["ih"], parts["hh"]
    reset = g.add("Sigmoid", [g.add("Add", [ir, hr], f"r_sum{layer}")], f"reset{layer}")
    update = g.add("Sigmoid", [g.add("Add", [iz, hz], f"z_sum{layer}")], f"update{layer}")
    gated = g.add("Mul", [reset, hnew], f"gated{layer}")
    new = g.add("Tanh", [g.add("Add", [inew, gated], f"n_sum{layer}")], f"new{layer}")
    change = g.add("Mul", [update, g.add("Sub", [h, new], f"left{layer}")], f"kept{layer}")
    return g.add("Add", [new, change], f"hidden{layer}")


def build(network: SegmentNetwork) -> onnx.ModelProto:
    """The graph of one tick."""
    size, layers = network.gru.hidden_size, network.gru.num_layers
    g = _Graph()
    mean, deviation = g.constant("mean", network.mean), g.constant("deviation", network.deviation)
    x = g.add("Div", [g.add("Sub", ["features", mean], "centred"), deviation], "scaled")
    g.constant("layer_sizes", np.array([size] * layers, np.int64))
    before = [f"state{i}" for i in range(layers)]
    g.nodes.append(helper.make_node("Split", ["state", "layer_sizes"], before, axis=1))
    after = []
    for layer in range(layers):
        x = _cell(g, network, layer, x, before[layer])
        after.append(x)
    head, bias = g.constant("head", network.head.weight), g.constant("head_bias", network.head.bias)
    g.add("Gemm", [x, head, bias], "outputs", transB=1)
    g.add("Concat", after, "next_state", axis=1)

    def value(name: str, width: int) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", width])

    graph = helper.make_graph(
        g.nodes,
        "segment",
        [value("features", F), value("state", size * layers)],
        [value("outputs", OUTPUTS), value("next_state", size * layers)],
        g.constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    return model


def export(network: SegmentNetwork, path: Path) -> float:
    """Writes ``path`` and returns the largest difference between ONNX and torch over a random walk of 50 ticks."""
    network.eval()
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(build(network), str(path))
    return compare(network, path)


def compare(network: SegmentNetwork, path: Path, ticks: int = 50, rows: int = 3) -> float:
    """Largest difference of any output or state over ``ticks`` random ticks of ``rows`` bodies."""
    session = OnnxRecurrentNetwork(path)
    rng = np.random.default_rng(0)
    state = np.zeros((rows, session.state_size), np.float32)
    torch_state, worst = torch.from_numpy(state), 0.0
    for _ in range(ticks):
        features = rng.normal(size=(rows, F)).astype(np.float32)
        outputs, state = session.step(features, state)
        torch_outputs, torch_state = network.step(torch.from_numpy(features), torch_state)
        worst = max(worst, float(np.abs(outputs - torch_outputs.numpy()).max()))
        worst = max(worst, float(np.abs(state - torch_state.numpy()).max()))
    return worst
