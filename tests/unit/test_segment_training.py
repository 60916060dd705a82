"""The training of the segment network: targets, streaming = whole, ONNX = torch, and that it learns."""

from pathlib import Path

import numpy as np
import pytest
import torch

from services.common.errors import ModelError
from services.segment.adapters.onnx import SHIPPED, OnnxRecurrentNetwork
from services.segment.core.features import F
from services.segment.core.network import EXERCISES, OUTPUTS, PHASE, TARGET_DELAY_TICKS, step_both_ways
from training.segment.data import TICKS, make_chunk
from training.segment.export import compare, export
from training.segment.labels import BACK, NO_CLASS, OUT, REST, make_targets
from training.segment.model import SegmentNetwork
from training.segment.train import Pool, Trainer
from training.simulator.generate import make_motion


def test_targets_follow_the_repetitions() -> None:
    motion = make_motion("squat", np.random.default_rng(0), repetitions=2)
    ticks = np.arange(0, len(motion.joints) / motion.fps, 1 / 15)
    targets = make_targets(motion, ticks, 1 / 15)
    for r in motion.repetitions:
        early, late = (int(t * 15) for t in (0.5 * (r.onset_s + r.turn_s), 0.5 * (r.turn_s + r.offset_s)))
        assert targets.phase[early] == OUT
        assert targets.phase[late] == BACK
        assert targets.progress[round(r.turn_s * 15)] > 0.95
        assert targets.exercise[early] == EXERCISES.index("squat")
        assert targets.events[round(r.onset_s * 15), 0] > 0.6
    assert targets.phase[0] == REST
    assert targets.activity[0] == 0
    assert targets.exercise[0] == NO_CLASS
    assert targets.progress.max() <= 1


def test_chunks_follow_from_the_seed() -> None:
    one, same, other = make_chunk(3, 1, 3), make_chunk(3, 1, 3), make_chunk(3, 2, 3)
    assert one.features.shape == (3, TICKS, F)
    assert np.isfinite(one.features).all()
    np.testing.assert_array_equal(one.features, same.features)
    np.testing.assert_array_equal(one.phase, same.phase)
    assert not np.array_equal(one.features, other.features)
    assert (one.mask[:, :TARGET_DELAY_TICKS] == 0).all()


def test_onnx_equals_torch_and_streaming_equals_whole(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = SegmentNetwork(hidden=24)
    network.set_scaling(torch.randn(100, F))
    assert export(network, tmp_path / "n.onnx") <= 1e-4
    assert compare(network, tmp_path / "n.onnx", ticks=200, rows=1) <= 1e-4
    features = torch.randn(2, 40, F)
    with torch.no_grad():
        whole, _ = network(features)
    state, session = np.zeros((2, 48), np.float32), OnnxRecurrentNetwork(tmp_path / "n.onnx")
    for t in range(40):
        outputs, state = session.step(features[:, t].numpy(), state)
        np.testing.assert_allclose(outputs, whole[:, t].numpy(), atol=1e-4)


def test_a_training_goes_on_where_it_was_saved(tmp_path: Path) -> None:
    torch.manual_seed(0)
    chunk = make_chunk(0, 0, 3)
    batch = Pool(lambda: chunk, 0).batch(3, torch.device("cpu"))

    def trainer() -> Trainer:
        return Trainer(hidden=16, steps=20, rate=1e-2, device=torch.device("cpu"))

    one, two = trainer(), trainer()
    one.network.set_scaling(batch["features"].flatten(0, 1))
    for _ in range(3):
        one.learn(batch)
    one.save(tmp_path / "state.pt")
    two.load(tmp_path / "state.pt")
    assert two.step == 3

    def next_losses(of: Trainer) -> list[dict[str, float]]:
        torch.manual_seed(1)  # the network drops some of its units while it learns
        return [of.learn(batch) for _ in range(2)]

    assert next_losses(one) == next_losses(two)


@pytest.mark.slow
def test_it_learns_an_easy_set() -> None:
    """Six sequences, forty steps: the phase is right far more often than the commonest one is."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    chunk = make_chunk(0, 0, 6)
    pool = Pool(lambda: chunk, 0)
    trainer = Trainer(hidden=32, steps=40, rate=1e-2, device=torch.device("cpu"))
    batch = pool.batch(6, torch.device("cpu"))
    trainer.network.set_scaling(batch["features"].flatten(0, 1))
    first = sum(trainer.learn(batch).values())
    for _ in range(39):
        last = sum(trainer.learn(batch).values())
    assert last < 0.6 * first
    trainer.network.eval()
    with torch.no_grad():
        outputs, _ = trainer.network(batch["features"])
    counts = batch["mask"] > 0
    right = (outputs[..., PHASE].argmax(-1) == batch["phase"])[counts].float().mean()
    commonest = max(float((batch["phase"][counts] == p).float().mean()) for p in range(4))
    assert float(right) > commonest + 0.1


def test_the_shipped_file_is_small_and_has_its_story() -> None:
    assert SHIPPED.stat().st_size < 3_000_000
    about = SHIPPED.with_suffix(".json").read_text()
    for word in ("command", "seed", "data", "commit", "loss"):
        assert f'"{word}"' in about
    network = OnnxRecurrentNetwork()
    state = np.zeros((3, 2, network.state_size), np.float32)
    outputs, following = step_both_ways(network, np.zeros((3, F), np.float32), state)
    assert outputs.shape == (3, OUTPUTS)
    assert following.shape == state.shape


def test_a_missing_or_wrong_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no segmentation network"):
        OnnxRecurrentNetwork(tmp_path / "none.onnx")
    (tmp_path / "bad.onnx").write_bytes(b"not a model")
    with pytest.raises(ModelError, match="not a segmentation network"):
        OnnxRecurrentNetwork(tmp_path / "bad.onnx")
