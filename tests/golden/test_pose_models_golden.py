"""The converted networks say what the originals say. Recorded by training/tools/record_{movenet,blazepose}.py."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from services.pose.adapters.onnx import OnnxBackend
from services.pose.core import movenet
from services.pose.core.geometry import Region
from services.pose.core.profiles import Network, Profile
from tests.pose_backends import backend
from training.tools import record_blazepose, record_movenet
from training.tools.record_pictures import NAMES, pictures

GOLDEN = Path(__file__).parent
FIGURES = [i for i, name in enumerate(NAMES) if name not in ("noise", "waves")]
UNIT = [Region.whole(1.0, 1.0)] * len(NAMES)
LIGHTNING, MULTIPOSE = Profile.get("movenet").detecting, Profile.get("movenet-multi").detecting
THUNDER = Network("movenet_thunder", movenet.THUNDER_PX, "black")


@cache
def _thunder() -> OnnxBackend:
    """Thunder's heads, which no profile uses as they are."""
    profile = Profile("", THUNDER, THUNDER, movenet.decode, movenet.decode, movenet.follow_region, True)
    return OnnxBackend(profile, threads=1)


def _said(net: Network, own: OnnxBackend) -> tuple[NDArray[np.float32], ...]:
    return own.infer(net.name, pictures(NAMES, net.size_px))


def _golden(name: str) -> dict[str, NDArray[np.float32]]:
    with np.load(GOLDEN / f"pose_{name}.npz") as golden:
        return dict(golden)


def _flat(output: NDArray[np.float32]) -> NDArray[np.float32]:
    """Per picture, in the original's order: channels last."""
    if output.ndim == 4:
        output = output.transpose(0, 2, 3, 1)
    return output.reshape(len(output), -1)


@pytest.mark.parametrize("net", [LIGHTNING, THUNDER, MULTIPOSE], ids=lambda net: net.name)
def test_movenet_heads_equal_tensorflow_js(net: Network) -> None:
    own = {LIGHTNING: backend("movenet"), MULTIPOSE: backend("movenet-multi")}.get(net) or _thunder()
    outputs, golden = _said(net, own), _golden(net.name)
    del golden["answer"]
    assert len(golden) == len(outputs)
    for (name, want), output in zip(golden.items(), outputs, strict=True):
        flat = _flat(output)
        got = flat[:, record_movenet.sample_places(flat.shape[1])]
        # Regression and offset are in cells of 4 px; probabilities need more.
        limit = 2e-4 if name in ("centre", "heatmap") else 2e-3
        assert np.abs(got - want).max() < limit, name


@pytest.mark.parametrize("profile", ["movenet", "movenet-thunder"])
@pytest.mark.parametrize("inside", [True, False], ids=["decoded in the graph", "decoded in numpy"])
def test_movenet_decoding_equals_the_original_graphs_own(profile: str, inside: bool) -> None:
    net = Profile.get(profile).following
    heads = LIGHTNING if profile == "movenet" else THUNDER
    if inside:
        found = movenet.decode_single(_said(net, backend(profile)), UNIT, [True] * len(NAMES))
    else:
        own = backend("movenet") if heads == LIGHTNING else _thunder()
        found = movenet.decode(_said(heads, own), UNIT, [True] * len(NAMES))
    answer = _golden(heads.name)["answer"][:, 0]  # (P, 17, 3): y, x, score
    for instances, want in zip(found, answer, strict=True):
        # Lightning's original keeps its 1/G in float16, which alone moves a keypoint by up to 0.05 px.
        assert np.abs(instances.keypoints[0] - want[:, 1::-1]).max() * net.size_px < 0.06
        assert np.abs(instances.scores[0] - want[:, 2]).max() < 1e-4


def test_movenet_multipose_decoding_equals_the_original_graphs_own() -> None:
    found = movenet.decode(_said(MULTIPOSE, backend("movenet-multi")), UNIT, [False] * len(NAMES))
    answers = _golden(MULTIPOSE.name)["answer"]  # (P, 6, 56): 17 × (y, x, score), box, score
    compared = same = 0
    for i in FIGURES:
        mine = found[i]
        assert len(mine) >= 1
        for k in range(min(len(mine), 6)):
            want = answers[i, k, :51].reshape(17, 3)
            seen = want[:, 2] > 0  # the graph blanks weak joints
            assert np.abs(mine.keypoints[k][seen] - want[seen, 1::-1]).max() * MULTIPOSE.size_px < 0.02
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
    outputs, golden = _said(net, backend(profile)), _golden(net.name)
    limits = {"boxes": 0.05, "scores": 0.02, "landmarks": 0.02, "person": 1e-4, "heatmap": 2e-2}  # px, logits
    assert len(golden) == len(outputs)
    for (name, want), output in zip(golden.items(), outputs, strict=True):
        flat = _flat(output)
        got = flat[:, record_blazepose.sample_places(flat.shape[1])]
        assert np.abs(got - want).max() < limits[name], name
