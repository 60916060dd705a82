"""The learned part of the verdict: mirror, strictness, what it may not say, its files."""

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.common.errors import ModelError, ShapeError
from services.common.skeleton import mirror
from services.common.types import PoseWindow, Repetition
from services.errors.adapters.catalogue import load_catalogue
from services.errors.adapters.weights import SHIPPED, load_learned, save_learned
from services.errors.core.catalogue import Catalogue
from services.errors.core.features import NAMES, F, extract, mirrored
from services.errors.core.learned import FLAGS, VIEWS, Head, Learned, Opinion, standardised
from services.errors.core.measures import REGISTRY, look_at, measure_all
from services.errors.core.processor import AssessProcessor, _bounds
from services.errors.core.view import ViewKind
from tests.unit.errors_scene import curl

RULES = load_catalogue(weights=None)
ALL_VIEWS = frozenset(v.value for v in ViewKind)
DRIFT = ("bicep_curl", "ELBOW_DRIFT")


def network(seed: int = 0, heads: dict[tuple[str, str], Head] | None = None) -> Learned:
    """A small network with random weights."""
    rng = np.random.default_rng(seed)
    exercises, codes = ("bicep_curl", "squat"), ("ELBOW_DRIFT", "TORSO_SWING")
    widths = (F + len(FLAGS) + len(exercises), 8, len(codes))
    layers = tuple(
        (rng.normal(0, 0.05, (a, b)).astype(np.float32), rng.normal(0, 0.1, b).astype(np.float32))
        for a, b in pairwise(widths)
    )
    return Learned(exercises, codes, rng.normal(0, 1, F), rng.uniform(0.5, 2, F), layers, heads or {})


def with_head(head: Head) -> Catalogue:
    return Catalogue({spec.id: spec for spec in RULES}, network(heads={DRIFT: head}))


def features(event: Repetition) -> np.ndarray:
    assert event.window is not None
    rep = look_at(event.window, _bounds(event, event.window), RULES[event.exercise].movement, event.phases)
    return extract(rep, measure_all(rep, REGISTRY))


def flipped(event: Repetition) -> Repetition:
    assert event.window is not None
    keypoints, scores = mirror(event.window.keypoints, event.window.scores, 640)
    return replace(event, window=PoseWindow(event.window.times_s, keypoints, scores))


@pytest.mark.parametrize("options", [{}, {"drift_deg": 55.0}, {"swing_deg": 30.0, "closed_deg": 100.0}])
def test_the_mirrored_repetition_gives_the_same_numbers_seen_the_other_way(options: dict[str, float]) -> None:
    event = curl(options)
    here, there = features(event), features(flipped(event))
    assert here.shape == (F,)
    # Seen from the side the body is turned to face right, so that both ways give the same.
    np.testing.assert_allclose(there, here, atol=2e-3, rtol=2e-3, equal_nan=True)


@given(st.integers(0, 10_000))
def test_the_network_says_the_same_of_both_sides_of_the_mirror(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.normal(0, 2, (3, F))
    x[rng.random((3, F)) < 0.2] = np.nan
    kind = np.array([0, 1, 0])
    one, other = network().network(x, kind), network().network(mirrored(x), kind)
    np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(mirrored(mirrored(x)), x)


def test_what_is_not_seen_is_told_and_cut_off() -> None:
    x = np.full(F, np.nan)
    x[3] = 1e9
    out = standardised(x, np.zeros(F), np.ones(F))
    assert np.isfinite(out).all()
    assert out[3] == 4.0
    assert out[F:].sum() == len(FLAGS) - np.isin(3, FLAGS)
    assert len(NAMES) == F == len(set(NAMES))


HEADS = st.builds(
    Head, st.floats(0, 3), st.floats(0, 3), st.floats(-6, 6), st.floats(0.5, 0.95), st.just(ALL_VIEWS)
)  # fmt: skip


@given(HEADS, st.floats(-20, 20), st.floats(-20, 20), st.floats(0, 10), st.floats(0, 10))
def test_stricter_or_worse_is_never_less_probable(
    head: Head, network_logit: float, rule: float, more: float, shift: float
) -> None:
    one = Opinion(head, network_logit)
    assert one.probability(rule + more) >= one.probability(rule)
    assert one.probability(rule, shift + more) >= one.probability(rule, shift)
    assert 0.0 <= one.probability(rule, shift) <= 1.0


@settings(max_examples=20, deadline=None)
@given(HEADS, st.sampled_from([20.0, 28.0, 32.0, 36.0, 60.0]))
def test_strictness_names_more_never_less(head: Head, drift: float) -> None:
    event = curl({"drift_deg": drift, "out_s": 1.2, "back_s": 1.6})
    named = [
        any(e.code == DRIFT[1] for e in AssessProcessor(with_head(head), s / 4).on_item(event)[0].errors)
        for s in range(5)
    ]
    assert named == sorted(named)


@settings(max_examples=20, deadline=None)
@given(HEADS, st.floats(0, 80))
def test_what_is_named_breaks_the_limit_that_is_told_with_it(head: Head, drift: float) -> None:
    head = replace(head, bias=6.0)  # a learned part that wants to name everything
    assessment = AssessProcessor(with_head(head)).on_item(curl({"drift_deg": drift}))[0]
    spec = next(e for e in RULES["bicep_curl"].errors if e.code == DRIFT[1])
    for finding in assessment.errors:
        if finding.code == DRIFT[1]:
            assert finding.value > finding.limit
            assert finding.limit in spec.limits[1:]
    value = assessment.measures["upper_arm_swing_right_deg"]
    assert value is not None
    if value < spec.limits[2]:
        assert DRIFT[1] not in {e.code for e in assessment.errors}


def test_from_a_view_that_tells_too_little_it_is_not_observable() -> None:
    head = Head(1.0, 1.0, 6.0, 0.5, ALL_VIEWS - {"side"})
    assessment = AssessProcessor(with_head(head)).on_item(curl({"drift_deg": 60.0}))[0]
    assert DRIFT[1] in assessment.not_observable
    assert DRIFT[1] not in {e.code for e in assessment.errors}


def test_weights_survive_their_file(tmp_path: Path) -> None:
    head = Head(0.8, 0.4, -1.25, 0.62, frozenset({"side", "front"}))
    made = network(3, {DRIFT: head})
    save_learned(tmp_path / "w.npz", made, {"seed": 3})
    read = load_learned(tmp_path / "w.npz")
    assert read.heads == {DRIFT: head}
    x = np.random.default_rng(1).normal(0, 1, (4, F))
    kind = np.zeros(4, dtype=np.int64)
    np.testing.assert_allclose(read.network(x, kind), made.network(x, kind), atol=0.02)
    assert json.loads((tmp_path / "w.json").read_text())["made_by"] == {"seed": 3}


def test_broken_or_foreign_weights_are_refused_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be read"):
        load_learned(tmp_path / "none.npz")
    save_learned(tmp_path / "w.npz", network(), {})
    (tmp_path / "w.npz").write_bytes(b"PK no")
    with pytest.raises(ModelError, match="cannot be read") as refused:
        load_learned(tmp_path / "w.npz")
    assert "\n" not in str(refused.value)
    save_learned(tmp_path / "w.npz", network(), {})
    side = tmp_path / "w.json"
    side.write_text(side.read_text().replace('"features": "', '"features": "9'))
    with pytest.raises(ModelError, match="train it anew"):
        load_learned(tmp_path / "w.npz")


def test_weights_of_another_shape_are_refused() -> None:
    one = network()
    with pytest.raises(ShapeError, match="Train it anew"):
        replace(one, mean=one.mean[:-1])


def test_the_shipped_weights_are_small_and_have_their_story() -> None:
    assert SHIPPED.stat().st_size < 700_000
    document = json.loads(SHIPPED.with_suffix(".json").read_text())
    about = document["made_by"]
    assert {"command", "seed", "data", "commit", "numbers"} <= set(about)
    assert "held_out" not in about["command"]
    assert load_catalogue().learned is None  # off until it names wrong things as seldom as the rules do
    catalogue = load_catalogue(weights=SHIPPED)
    assert catalogue.learned is not None
    assert {view for head in catalogue.learned.heads.values() for view in head.views} <= {v.value for v in VIEWS}
    for exercise, code in catalogue.learned.heads:
        assert any(e.code == code and e.measure for e in catalogue[exercise].errors)
