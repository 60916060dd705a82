"""The measures of the rendered benches, on cases that can be reckoned by hand."""

import numpy as np
import pytest

from bench.rendered import Found, Row, match, summarise
from bench.scenes import Similarities, crossings, followed, idf1, kept, switches


def similar(*frames: list[list[float]]) -> Similarities:
    """Everybody there in every frame, every track too."""
    same = np.array(frames, float)
    return Similarities(same, np.ones(same.shape[:2], bool), np.ones((same.shape[0], same.shape[2]), bool))


def test_idf1_of_a_perfect_and_of_a_swapped_pair() -> None:
    straight, crossed = [[1.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [1.0, 0.0]]
    assert idf1(similar(*[straight] * 10)) == (1.0, {0: 0, 1: 1})
    value, assigned = idf1(similar(*[straight] * 6, *[crossed] * 4))
    assert value == pytest.approx(0.6)
    assert assigned == {0: 0, 1: 1}


def test_idf1_counts_misses_and_false_tracks_alike() -> None:
    # one person, two tracks: the first follows 6 of 10 frames, the second is nobody
    s = similar(*[[[1.0, 0.0]]] * 6, *[[[0.0, 0.0]]] * 4)
    assert idf1(s)[0] == pytest.approx(2 * 6 / (10 + 20))
    empty = Similarities(np.zeros((3, 1, 0)), np.ones((3, 1), bool), np.zeros((3, 0), bool))
    assert idf1(empty) == (0.0, {})


def test_a_switch_is_counted_once_and_the_one_who_followed_stays() -> None:
    both = [[0.8, 0.9], [0.0, 0.0]]  # two tracks on person 0: the one that followed keeps them
    follow = followed(similar(*[[[0.8, 0.0], [0.0, 0.0]]] * 3, *[both] * 3))
    assert follow[:, 0].tolist() == [0] * 6
    assert switches(follow) == 0
    crossed = followed(similar(*[[[1.0, 0.0], [0.0, 1.0]]] * 3, *[[[0.0, 1.0], [1.0, 0.0]]] * 3))
    assert switches(crossed) == 2


def test_a_crossing_is_where_boxes_meet_and_sides_change() -> None:
    frames = 21

    def person(x: np.ndarray) -> dict[str, object]:
        corners = np.array([[0.0, 0.0], [40.0, 100.0]] + [[20.0, 50.0]] * 15)
        return {"keypoints_px": (corners[None] + np.stack([x, np.zeros(frames)], 1)[:, None]).tolist()}

    moves, stays = person(np.linspace(-100, 100, frames)), person(np.zeros(frames))
    (a, b, first, last), *rest = crossings({"people": [moves, stays]})
    assert (a, b, rest) == (0, 1, [])
    assert first + last == frames - 1, "symmetric about the middle"
    assert crossings({"people": [stays, stays]}) == []
    follow = np.array([[0, 1]] * 10 + [[-1, 1]] + [[2, 1]] * 10)
    assert kept(follow, 1, first, last)
    assert not kept(follow, 0, first, last)


def test_repetitions_match_by_overlap_one_to_one() -> None:
    found = [Found(1.1, 2.0, 3.1, "squat", ()), Found(1.0, 2.0, 2.2, "squat", ()), Found(9.0, 9.5, 10.0, "squat", ())]
    assert match([(1.0, 3.0), (5.0, 7.0)], found) == [(0, 0)]


def test_the_summary_is_a_share_of_what_is_true() -> None:
    rows = [
        Row("a", "TORSO_SWING", 2, 2, [0.1, 0.3], [-0.2, 0.0], {"TORSO_SWING": 1}),
        Row("b", None, 2, 1, [0.0], [0.0], {}),
        Row("c", "TOO_SHALLOW", 1, 1, [0.0], [0.0], {"OTHER": 1}),
        Row("d", None, 1, 1, [0.0], [0.5], {"TORSO_SWING": 1}),
    ]
    assert summarise(rows) == pytest.approx(
        {
            "counts_exact": 3 / 4,
            "boundaries_within_0.2s": (3 + 2 + 2 + 1) / 12,
            "mistake_named": 1 / 2,
            "clean_without_error": 1 / 2,
        }
    )
