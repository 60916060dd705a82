"""A picture per sequence: truth, decisions of every method, and the network's outputs above each other over time."""

from collections.abc import Iterable, Sequence
from html import escape
from itertools import groupby
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bench.scoreboard.datasets import Item, Loaded
from bench.scoreboard.metrics import FoundRep
from bench.scoreboard.run import Outcome
from services.common.types import NetworkTrace

_LEFT: Final = 190
_WIDTH: Final = 1000
_BAR: Final = 17
_PLOT: Final = 84
_COLOURS: Final = {
    "truth": "#2e7d32", "ours": "#1565c0", "attempt": "#ef6c00", "other": "#8d6e63", "ignore": "#bdbdbd",
    "rest": "#cfd8dc", "out": "#64b5f6", "back": "#9575cd", "hold": "#ffb74d", "progress": "#c62828",
    "activity": "#455a64", "onset": "#2e7d32", "turn": "#c62828", "offset": "#1565c0",
}  # fmt: skip


class _Sheet:
    """Rows from top to bottom over one axis of time."""

    def __init__(self, end_s: float) -> None:
        self.end_s = max(end_s, 1e-3)
        self.y = 30.0
        self.parts: list[str] = []

    def x(self, time_s: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - 10) * min(max(time_s / self.end_s, 0.0), 1.0)

    def text(self, x: float, y: float, words: str, *, size: int = 11, anchor: str = "start") -> None:
        self.parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}">{escape(words)}</text>'
        )

    def bars(self, label: str, spans: Iterable[tuple[float, float, float | None, str, str]]) -> None:
        """A row of (start, end, turn, colour's name, tool tip)."""
        self.text(4, self.y + 12, label)
        for start, end, turn, colour, tip in spans:
            a, b = self.x(start), self.x(end)
            self.parts.append(
                f'<rect x="{a:.1f}" y="{self.y + 1:.1f}" width="{max(b - a, 1.5):.1f}" height="{_BAR - 4}" rx="2" '
                f'fill="{_COLOURS[colour]}" fill-opacity="0.75"><title>{escape(tip)}</title></rect>'
            )
            if turn is not None:
                t = self.x(turn)
                self.parts.append(f'<path d="M{t:.1f} {self.y + 1:.1f}v{_BAR - 4}" stroke="#fff" stroke-width="2"/>')
        self.y += _BAR

    def line(self, times: Sequence[float], values: NDArray[np.floating], colour: str, dash: str = "") -> None:
        """A curve of values in 0..1 in the plot that ends at ``y``."""
        points = " ".join(
            f"{self.x(t):.1f},{self.y + _PLOT - 4 - (_PLOT - 8) * float(v):.1f}"
            for t, v in zip(times, np.clip(values, 0, 1), strict=True)
        )
        style = f' stroke-dasharray="{dash}"' if dash else ""
        self.parts.append(
            f'<polyline fill="none" stroke="{_COLOURS[colour]}" stroke-width="1.3"{style} points="{points}"/>'
        )

    def plot(self, label: str, legend: Sequence[str]) -> None:
        """The frame of a plot with its legend; draw lines before ``close``."""
        self.text(4, self.y + 14, label)
        for k, name in enumerate(legend):
            self.parts.append(
                f'<path d="M8 {self.y + 25 + 13 * k:.1f}h14" stroke="{_COLOURS[name]}" stroke-width="3"/>'
            )
            self.text(27, self.y + 29 + 13 * k, name, size=10)
        self.parts.append(
            f'<rect x="{_LEFT}" y="{self.y + 4:.1f}" width="{_WIDTH - _LEFT - 10}" height="{_PLOT - 8}" fill="none" '
            f'stroke="#ddd"/>'
        )

    def close(self) -> None:
        self.y += _PLOT + 6

    def axis(self) -> None:
        step = next(s for s in (1, 2, 5, 10, 20, 60, 300, 3600) if self.end_s / s <= 20 or s == 3600)
        for t in np.arange(0, self.end_s + 1e-9, step):
            x = self.x(float(t))
            self.parts.append(f'<path d="M{x:.1f} 26V{self.y:.1f}" stroke="#eee"/>')
            self.text(x, self.y + 12, f"{t:g} s", size=10, anchor="middle")
        self.y += 18

    def svg(self, title: str) -> str:
        grid = [p for p in self.parts if 'stroke="#eee"' in p]
        rest = [p for p in self.parts if 'stroke="#eee"' not in p]
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {self.y + 4:.0f}" '
            f'font-family="sans-serif" fill="#222"><rect width="100%" height="100%" fill="#fff"/>'
            f'<text x="4" y="16" font-size="13">{escape(title)}</text>' + "".join(grid + rest) + "</svg>"
        )


def _tip(found: FoundRep) -> str:
    parts = [f"{found.onset_s:.2f}–{found.offset_s:.2f} s"]
    if found.decided_s is not None:
        parts.append(f"decided {found.decided_s:.2f} s")
    parts += [found.exercise] if found.exercise else []
    parts += [", ".join(found.errors)] if found.errors else []
    return "; ".join(parts)


def _found(found: Sequence[FoundRep], colour: str) -> list[tuple[float, float, float | None, str, str]]:
    return [(f.onset_s, f.offset_s, f.turn_s, colour, _tip(f)) for f in found]


def picture(item: Item, loaded: Loaded, outcome: Outcome, others: dict[str, list[FoundRep]], what: str) -> str:
    """The SVG of one sequence; ``others``: found repetitions of the other methods; ``what``: its caption."""
    sheet = _Sheet(loaded.end_s)
    truth = [
        (t.onset_s, t.offset_s, t.turn_s, "truth", ", ".join(f"{c} {d:.2f}" for c, d in t.mistakes.items()) or "true")
        for t in loaded.truth
    ]
    ignored = [(a, b, None, "ignore", "ignored") for a, b in item.ignore]
    sheet.bars(f"truth ({item.count if item.count is not None else len(loaded.truth)})", [*ignored, *truth])
    sheet.bars(f"ours ({len(outcome.found)})", _found(outcome.found, "ours"))
    attempts = [(a.onset_s, a.offset_s or a.decided_s, a.turn_s, "attempt", str(a.reason)) for a in outcome.attempts]
    sheet.bars("attempts", attempts)
    for name, found in others.items():
        sheet.bars(f"{name} ({len(found)})", _found(found, "other"))
    _outputs(sheet, outcome.traces)
    sheet.axis()
    return sheet.svg(f"{item.name}: {what}")


def _outputs(sheet: _Sheet, traces: Sequence[NetworkTrace]) -> None:
    """Phases, progress and activity, and events of the track, in pieces where it was not seen."""
    panels = (
        ("phase", ("rest", "out", "back", "hold"), lambda t: t.phase),
        ("progress", ("progress", "activity"), lambda t: np.array([t.progress, t.activity])),
        ("events", ("onset", "turn", "offset"), lambda t: t.events),
    )
    pieces = _pieces(traces)
    for label, names, values in panels:
        sheet.plot(label, names)
        for piece in pieces:
            table = np.array([values(t) for t in piece])
            for k, name in enumerate(names):
                sheet.line([t.time_s for t in piece], table[:, k], name)
        sheet.close()


def _pieces(traces: Sequence[NetworkTrace], gap_s: float = 0.3) -> list[list[NetworkTrace]]:
    """Runs of ticks without a gap."""
    number, previous, keyed = 0, None, []
    for t in traces:
        if previous is not None and t.time_s - previous > gap_s:
            number += 1
        previous = t.time_s
        keyed.append((number, t))
    return [[t for _, t in group] for _, group in groupby(keyed, key=lambda kt: kt[0])]
