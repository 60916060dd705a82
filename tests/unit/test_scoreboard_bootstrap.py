"""Intervals: deterministic, by sequence, wider with fewer of them."""

from collections.abc import Sequence

import numpy as np
import pytest

from bench.scoreboard.bootstrap import bootstrap


def mean(rows: Sequence[float]) -> dict[str, float]:
    return {"mean": float(np.mean(rows)), "never": float("nan")}


def test_the_same_seed_gives_the_same_interval_and_another_one_another() -> None:
    rows = list(np.random.default_rng(3).normal(size=40))
    first = bootstrap(rows, mean, draws=200)
    assert bootstrap(rows, mean, draws=200) == first
    assert bootstrap(rows, mean, draws=200, seed=1) != first
    assert set(first) == {"mean"}  # a number that is never there has no interval


def test_the_interval_is_about_that_of_the_normal_law() -> None:
    rows = list(np.random.default_rng(5).normal(size=400))
    low, high = bootstrap(rows, mean, draws=800)["mean"]
    assert low < np.mean(rows) < high
    assert high - low == pytest.approx(2 * 1.96 / 20, rel=0.15)


def test_groups_are_drawn_together() -> None:
    rows = [0.0] * 10 + [1.0] * 10
    alone = bootstrap(rows, mean, draws=300)["mean"]
    together = bootstrap(rows, mean, draws=300, groups=[r > 0.5 for r in rows])["mean"]
    assert together == (0.0, 1.0)
    assert alone[0] > 0.1


def test_nothing_to_draw_from_has_no_interval() -> None:
    assert bootstrap([], mean) == {}
    assert bootstrap([1.0], mean, draws=0) == {}
