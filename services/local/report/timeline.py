"""The timeline of one person: what the network says, what became of it, what is true, and the joint angles."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from markupsafe import Markup

from services.common.types import NetworkTrace, Repetition, Status
from services.local.report.angles import ANGLES, joint_angle
from services.local.report.plots import (
    F64,
    LEFT_PX,
    Block,
    Lane,
    Series,
    TimeAxis,
    axis_lane,
    block_lane,
    line_lane,
    stacked_lane,
)
from services.local.report.words import clock, count, reason_words
from services.local.results import PersonResult, Truth, TruthRepetition
from services.segment.core.network import ECCENTRIC_FIRST

_REST, _OUT, _BACK, _HOLD = range(4)  # columns of NetworkTrace.phase: the way out and the way back, see segment
_EVENTS: Final = (("onset", "start"), ("turn", "turn"), ("offset", "end"))
_READOUT_HZ: Final = 15.0
_READOUT_MOST: Final = 4000  # samples a curve; more are thinned out
_RATIO_TICKS: Final = ((0.0, "0"), (0.5, ""), (1.0, "1"))


@dataclass(frozen=True, slots=True)
class Group:
    """Lanes that belong together under one heading."""

    title: str
    lanes: tuple[Lane, ...]


@dataclass(frozen=True, slots=True)
class Timeline:
    """What the template draws."""

    axis: TimeAxis
    groups: tuple[Group, ...]
    axis_svg: Markup
    left_px: int


def build_timeline(person: PersonResult, duration_s: float, truth: Truth | None, anchors: dict[str, str]) -> Timeline:
    """``anchors``: repetition id → id of its card in the page. ``truth``: None = no lane for it."""
    axis = TimeAxis(max(duration_s, person.last_s, 0.5))
    final = final_blocks(person, anchors)
    exercises = {r.exercise for r in person.final_repetitions() if r.status is Status.CONFIRMED}
    bands = [b for b in final if b.kind in ("clean", "wrong")]
    groups = [Group("Repetitions", _repetition_lanes(axis, person, final, truth))]
    if person.traces:
        groups.insert(0, Group("What the network sees", _network_lanes(axis, person.traces, bands, exercises)))
    groups.append(Group("Joint angles", _angle_lanes(axis, person, bands)))
    return Timeline(axis, tuple(groups), axis_lane(axis), LEFT_PX)


def final_blocks(person: PersonResult, anchors: dict[str, str]) -> list[Block]:
    """Confirmed repetitions (clean or wrong), attempts, and what was taken back."""
    blocks = []
    for repetition in person.final_repetitions():
        assessment = person.assessment_of(repetition.id)
        span = f"{clock(repetition.onset_s)}–{clock(_end(repetition))}"
        if repetition.status is Status.ATTEMPT:
            kind, label = "attempt", "not counted"
            title = f"Not counted, {span}: {reason_words(repetition.reason)}"
        else:
            kind = "wrong" if assessment and assessment.errors else "clean"
            label = str(repetition.index)
            verdict = f", score {assessment.score:.0f}" if assessment else ""
            mistakes = f", {count(len(assessment.errors), 'mistake')}" if assessment and assessment.errors else ""
            title = f"Repetition {repetition.index} of set {repetition.set_index}, {span}{verdict}{mistakes}"
        blocks.append(_block(repetition, kind, label, title, anchors.get(repetition.id)))
    for repetition in person.retracted_repetitions():
        why = f": {reason_words(repetition.reason)}" if repetition.reason else ""
        blocks.append(_block(repetition, "retracted", "", f"Taken back at {clock(repetition.decided_s)}{why}"))
    return blocks


def _end(repetition: Repetition) -> float:
    later = [t for t in (repetition.offset_s, repetition.turn_s) if t is not None]
    return later[0] if later else max(repetition.onset_s, repetition.decided_s)


def _block(repetition: Repetition, kind: str, label: str, title: str, href: str | None = None) -> Block:
    return Block(repetition.onset_s, _end(repetition), kind, label, title, repetition.turn_s, href)


def _phase_series(phase: F64, exercises: set[str]) -> list[Series]:
    """Out and back are lifting and lowering, or the other way round; neither where a person did both kinds."""
    lowering_first = {exercise in ECCENTRIC_FIRST for exercise in exercises}
    out, back = ("lifting", "concentric"), ("lowering", "eccentric")
    if lowering_first == {True}:
        out, back = back, out
    elif len(lowering_first) == 2:
        out, back = ("way out", "concentric"), ("way back", "eccentric")
    columns = ((_REST, "at rest", "rest"), (_OUT, *out), (_HOLD, "far end", "hold"), (_BACK, *back))
    return [Series(text, f"phase-{key}", phase[:, column]) for column, text, key in columns]


def _network_lanes(
    axis: TimeAxis, traces: Sequence[NetworkTrace], bands: Sequence[Block], exercises: set[str]
) -> tuple[Lane, ...]:
    ordered = sorted(traces, key=lambda t: t.time_s)
    times = np.array([t.time_s for t in ordered])
    phase = np.array([t.phase for t in ordered], dtype=np.float64)
    events = np.array([t.events for t in ordered], dtype=np.float64)
    shares = _phase_series(np.nan_to_num(phase), exercises)
    activity = Series("exercising", "s-activity", np.array([t.activity for t in ordered]))
    progress = Series("progress", "s-progress", np.array([t.progress for t in ordered]))
    marks = [Series(text, f"s-{key}", events[:, i]) for i, (key, text) in enumerate(_EVENTS)]
    ratio = {"low": 0.0, "high": 1.0, "bands": bands}
    return (
        Lane(
            "phase",
            "Phase",
            stacked_lane(axis, times, shares, height=56, label="Probability of each phase", testid="plot-phase"),
            tuple((s.css, s.name) for s in shares[1:] + shares[:1]),
            _readout(times, shares[1:], "share"),
        ),
        Lane(
            "progress",
            "Progress",
            line_lane(axis, times, [activity, progress], ticks=_RATIO_TICKS, height=52, testid="plot-progress",
                      label="Progress of the movement and probability of exercising", **ratio),  # type: ignore[arg-type]
            tuple((s.css, s.name) for s in (progress, activity)),
            _readout(times, [progress, activity], "share"),
        ),
        Lane(
            "events",
            "Boundaries",
            line_lane(axis, times, marks, ticks=((0.0, "0"), (1.0, "1")), height=44, testid="plot-events",
                      label="Probability of start, turn and end at each moment", **ratio),  # type: ignore[arg-type]
            tuple((s.css, s.name) for s in marks),
            _readout(times, marks, "share"),
        ),
    )  # fmt: skip


def _repetition_lanes(
    axis: TimeAxis, person: PersonResult, final: Sequence[Block], truth: Truth | None
) -> tuple[Lane, ...]:
    first = [
        Block(r.onset_s, _ends_of(person).get(r.id, _end(r)), "provisional", "",
              f"Announced at {clock(r.decided_s)}, start {clock(r.onset_s)}", r.turn_s)
        for r in person.provisional_repetitions()
    ]  # fmt: skip
    lanes = [
        Lane("provisional", "Provisional", block_lane(
            axis, first, height=22, testid="plot-provisional",
            label=count(len(first), "candidate as first announced", "candidates as first announced"))),
        Lane("final", "Final", block_lane(
            axis, final, height=32, testid="plot-final", label=_final_label(final)), _final_legend(final)),
    ]  # fmt: skip
    if truth is not None:
        blocks = [_true_block(i, repetition) for i, repetition in enumerate(truth.repetitions, 1)]
        blocks += [Block(a, b, "ignore", "", f"Not judged, {clock(a)}–{clock(b)}") for a, b in truth.ignore]
        drawn = block_lane(
            axis, blocks, height=32, testid="plot-truth", label=count(len(truth.repetitions), "true repetition")
        )
        lanes.append(Lane("truth", "True", drawn, (("", "marked by a person"),)))
    return tuple(lanes)


def _true_block(number: int, truth: TruthRepetition) -> Block:
    kind = {"wrong": "true wrong", "correct": "true clean"}.get(truth.form or "", "true")
    form = f", {truth.form} form" if truth.form else ""
    title = f"True repetition {number}, {clock(truth.start_s)}–{clock(truth.end_s)}{form}"
    return Block(truth.start_s, truth.end_s, kind, str(number), title, truth.peak_s)


def _ends_of(person: PersonResult) -> dict[str, float]:
    """Where a candidate ended, so that its provisional span can be drawn before its end was known."""
    return {event.id: _end(event) for event in person.events}


def _final_label(blocks: Sequence[Block]) -> str:
    counted = sum(b.kind in ("clean", "wrong") for b in blocks)
    attempts = sum(b.kind == "attempt" for b in blocks)
    return f"{count(counted, 'repetition')} counted, {count(attempts, 'attempt')} not counted"


def _final_legend(blocks: Sequence[Block]) -> tuple[tuple[str, str], ...]:
    names = (("clean", "clean"), ("wrong", "mistake"), ("attempt", "not counted"), ("retracted", "taken back"))
    present = {b.kind for b in blocks}
    return tuple((f"b-{kind}", text) for kind, text in names if kind in present)


def _angle_lanes(axis: TimeAxis, person: PersonResult, bands: Sequence[Block]) -> tuple[Lane, ...]:
    lanes = []
    for name in ANGLES:
        series = [
            Series(side, f"s-{side}", joint_angle(person.keypoints, person.scores, name, side))
            for side in ("left", "right")
        ]
        lanes.append(Lane(
            f"angle-{name}",
            name.capitalize(),
            line_lane(axis, person.times_s, series, low=0, high=200, ticks=((90.0, "90°"), (180.0, "180°")), height=76,
                      label=f"{name.capitalize()} angle, left and right", testid=f"plot-angle-{name}", bands=bands),
            tuple((s.css, s.name) for s in series),
            _readout(person.times_s, series, "deg"),
        ))  # fmt: skip
    return tuple(lanes)


def _readout(times_s: F64, series: Sequence[Series], unit: str) -> dict[str, object]:
    """Values on an even grid as small integers (per cent or degrees; null = hidden), for the read-out in the page."""
    if len(times_s) < 2:
        return {}
    span = float(times_s[-1] - times_s[0])
    step = max(1 / _READOUT_HZ, span / _READOUT_MOST)
    grid = times_s[0] + step * np.arange(int(span / step) + 1)
    nearest = np.clip(np.searchsorted(times_s, grid), 0, len(times_s) - 1)
    near = np.abs(times_s[nearest] - grid) < max(step, 0.2)
    factor = 100 if unit == "share" else 1
    values = [np.where(near, s.values[nearest] * factor, np.nan) for s in series]
    return {
        "t0": round(float(times_s[0]), 3),
        "dt": round(step, 5),
        "unit": "%" if unit == "share" else "°",
        "names": [s.name for s in series],
        "css": [s.css for s in series],
        "values": [[None if v != v else round(float(v)) for v in one] for one in values],
    }
