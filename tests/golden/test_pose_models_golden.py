"""The converted networks say what the originals say. Recorded by training/tools/record_{movenet,blazepose}.py."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from services.pose.adapters.onnx import OnnxBackend
from services.pose.core import movenet
from services.pose.core.geometry import Region
from services.pose.core.profiles import Profile
from tests.pose_backends import backend
from training.tools import record_blazepose, record_movenet
from training.tools.record_pictures import NAMES, pictures

GOLDEN = Path(__file__).parent
FIGURES = [i for i, name in enumerate(NAMES) if name not in ("noise", "waves")]


def _said(network: str, size_px: int, own: OnnxBackend) -> tuple[NDArray[np.float32], ...]:
    return own.infer(network, pictures(NAMES, size_px))


def _flat(output: NDArray[np.float32]) -> NDArray[np.float32]:
    """Per picture, in the original's order: channels last."""
    if output.ndim == 4:
        output = output.transpose(0, 2, 3, 1)
    return output.reshape(len(output), -1)


@pytest.mark.parametrize("profile", ["movenet", "movenet-thunder"])
@pytest.mark.parametrize("single", [True, False])
def test_movenet_heads_equal_tensorflow_js(profile: str, single: bool) -> None:
    net = Profile.get(profile).network(single)
    outputs = _said(net.name, net.size_px, backend(profile))
    with np.load(GOLDEN / f"pose_{net.name}.npz") as golden:
        names = [name for name in golden.files if name != "answer"]
        assert len(names) == len(outputs)
        for name, output in zip(names, outputs, strict=True):
            flat = _flat(output)
            want = golden[name]
            got = flat[:, record_movenet.sample_places(flat.shape[1])]
            # Regression and offset are in cells of 4 px; probabilities need more.
            limit = 2e-4 if name in ("centre", "heatmap") else 2e-3
            assert np.abs(got - want).max() < limit, name


@pytest.mark.parametrize("profile", ["movenet", "movenet-thunder"])
def test_movenet_single_decoding_equals_the_original_graphs_own(profile: str) -> None:
    net = Profile.get(profile).following
    outputs = _said(net.name, net.size_px, backend(profile))
    regions = [Region.whole(1.0, 1.0)] * len(NAMES)
    with np.load(GOLDEN / f"pose_{net.name}.npz") as golden:
        answer = golden["answer"][:, 0]  # (P, 17, 3): y, x, score
    for instances, want in zip(movenet.decode(outputs, regions, [True] * len(NAMES)), answer, strict=True):
        # The original keeps its 1/G in float16, which alone moves a keypoint by up to 0.05 px.
        assert np.abs(instances.keypoints[0] - want[:, 1::-1]).max() * net.size_px < 0.06
        assert np.abs(instances.scores[0] - want[:, 2]).max() < 1e-4


def test_movenet_multipose_decoding_equals_the_original_graphs_own() -> None:
    net = Profile.get("movenet-thunder").detecting
    outputs = _said(net.name, net.size_px, backend("movenet-thunder"))
    regions = [Region.whole(1.0, 1.0)] * len(NAMES)
    found = movenet.decode(outputs, regions, [False] * len(NAMES))
    compared = same = 0
    with np.load(GOLDEN / f"pose_{net.name}.npz") as golden:
        answers = golden["answer"]  # (P, 6, 56): 17 × (y, x, score), box, score
    for i in FIGURES:
        mine = found[i]
        assert len(mine) >= 1
        for k in range(min(len(mine), 6)):
            want = answers[i, k, :51].reshape(17, 3)
            seen = want[:, 2] > 0  # the graph blanks weak joints
            assert np.abs(mine.keypoints[k][seen] - want[seen, 1::-1]).max() * net.size_px < 0.02
            # The original gives a joint that two people share the better of their scores.
            assert (mine.scores[k][seen] < want[seen, 2] + 1e-4).all()
            same += int((np.abs(mine.scores[k] - want[:, 2])[seen] < 1e-4).sum())
            compared += int(seen.sum())
    assert compared > 17 * len(FIGURES)
    assert same > 0.6 * compared


@pytest.mark.parametrize("profile", ["blazepose", "blazepose-lite"])
@pytest.mark.parametrize("single", [True, False])
def test_blazepose_outputs_equal_the_tflite_interpreter(profile: str, single: bool) -> None:
    net = Profile.get(profile).network(single)
    outputs = _said(net.name, net.size_px, backend(profile))
    limits = {"boxes": 0.05, "scores": 0.02, "landmarks": 0.02, "person": 1e-4, "heatmap": 2e-2}  # px, logits
    with np.load(GOLDEN / f"pose_{net.name}.npz") as golden:
        assert len(golden.files) == len(outputs)
        for name, output in zip(golden.files, outputs, strict=True):
            flat = _flat(output)
            got = flat[:, record_blazepose.sample_places(flat.shape[1])]
            assert np.abs(got - golden[name]).max() < limits[name], name
