"""Inline SVG for the report: lanes over one time axis, and small charts per set. Colours come from the page's CSS."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from markupsafe import Markup, escape
from numpy.typing import NDArray

from services.local.report.words import clock

F64 = NDArray[np.float64]

LEFT_PX: Final = 30
_MIN_WIDTH_PX: Final = 960
_MAX_WIDTH_PX: Final = 16000
_PX_PER_S: Final = 16
_TOLERANCE_PX: Final = 0.35
_GAP_S: Final = 0.5  # a curve is not drawn across a longer hole between samples


@dataclass(frozen=True, slots=True)
class TimeAxis:
    """Maps event time to px of the timeline. At least 16 px per s, so a long clip is wider than the screen.

    The first ``LEFT_PX`` are the gutter in which the numbers of the vertical axes stand.
    """

    duration_s: float

    @property
    def width_px(self) -> int:
        return round(min(_MAX_WIDTH_PX, max(_MIN_WIDTH_PX, self.duration_s * _PX_PER_S)))

    def x(self, time_s: float) -> float:
        share = min(1.0, max(0.0, time_s / max(self.duration_s, 1e-6)))
        return round(LEFT_PX + (self.width_px - LEFT_PX) * share, 1)

    def ticks(self) -> list[float]:
        """Times at round numbers, at least 56 px apart."""
        steps = (0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1200, 3600)
        fit = (s for s in steps if s / max(self.duration_s, 1e-6) * self.width_px >= 56)
        step = next(fit, steps[-1])
        return [i * step for i in range(int(self.duration_s / step + 1e-9) + 1)]


@dataclass(frozen=True, slots=True)
class Series:
    """One curve. ``css`` is its colour class; ``values`` (T,), NaN = a gap."""

    name: str
    css: str
    values: F64


@dataclass(frozen=True, slots=True)
class Block:
    """One span of a repetition lane. ``kind``: CSS class; ``turn_s``: drawn as a tick; ``href``: makes it a link."""

    start_s: float
    end_s: float
    kind: str
    label: str = ""
    title: str = ""
    turn_s: float | None = None
    href: str | None = None


@dataclass(frozen=True, slots=True)
class Lane:
    """One drawn lane. ``legend``: (CSS class, text); ``data``: series for the read-out under the pointer."""

    key: str
    title: str
    svg: Markup
    legend: tuple[tuple[str, str], ...] = ()
    data: dict[str, object] = field(default_factory=dict)


def svg(width: float, height: float, body: Iterable[str], *, label: str, css: str = "", testid: str = "") -> Markup:
    """An accessible SVG of a fixed size; ``body`` is trusted markup, the rest is escaped."""
    return Markup(
        f'<svg class="{escape(css)}" data-testid="{escape(testid)}" role="img" aria-label="{escape(label)}" '
        f'width="{width:g}" height="{height:g}" viewBox="0 0 {width:g} {height:g}">{"".join(body)}</svg>'
    )


def simplify(x: F64, y: F64, tolerance: float = _TOLERANCE_PX) -> NDArray[np.bool_]:
    """Which points of a polyline to keep so that none moves by more than ``tolerance`` (Ramer, Douglas, Peucker).

    Args:
        x, y: (T,) px, finite.
    Returns:
        (T,) bool; the first and the last point are always kept.
    """
    keep = np.zeros(len(x), dtype=bool)
    if len(x) == 0:
        return keep
    keep[[0, -1]] = True
    todo = [(0, len(x) - 1)]
    while todo:
        a, b = todo.pop()
        if b - a < 2:
            continue
        inner = slice(a + 1, b)
        span = max(x[b] - x[a], 1e-9)
        off = np.abs(y[inner] - (y[a] + (y[b] - y[a]) * (x[inner] - x[a]) / span))
        worst = int(np.argmax(off))
        if off[worst] > tolerance:
            keep[a + 1 + worst] = True
            todo += [(a, a + 1 + worst), (a + 1 + worst, b)]
    return keep


def path(x: F64, y: F64) -> str:
    """SVG path data of a curve, broken where ``y`` is NaN or ``x`` jumps (given as NaN)."""
    parts: list[str] = []
    good = np.isfinite(x) & np.isfinite(y)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], good, [False]]).astype(np.int8)))
    for start, end in zip(edges[::2], edges[1::2], strict=True):
        px, py = x[start:end], y[start:end]
        keep = simplify(px, py)
        points = " ".join(f"{a:g},{b:g}" for a, b in zip(px[keep].round(1), py[keep].round(1), strict=True))
        parts.append(f"M{points}" if end - start > 1 else f"M{points}h.5")
    return "".join(parts)


def _xs(axis: TimeAxis, times_s: F64) -> F64:
    return LEFT_PX + (axis.width_px - LEFT_PX) * np.clip(times_s / max(axis.duration_s, 1e-6), 0.0, 1.0)


def _with_gaps(times_s: F64, values: F64) -> tuple[F64, F64]:
    """NaN put in wherever samples are further apart than ``_GAP_S``."""
    holes = np.flatnonzero(np.diff(times_s) > _GAP_S) + 1
    return np.insert(times_s, holes, np.nan), np.insert(values, holes, np.nan)


def _bands(blocks: Sequence[Block], axis: TimeAxis, height: float) -> str:
    spans = ((axis.x(b.start_s), axis.x(b.end_s)) for b in blocks)
    return "".join(
        f'<rect class="band" x="{a:g}" y="0" width="{max(b - a, 1):g}" height="{height:g}"/>' for a, b in spans
    )


def line_lane(
    axis: TimeAxis,
    times_s: F64,
    series: Sequence[Series],
    *,
    low: float,
    high: float,
    ticks: Sequence[tuple[float, str]],
    height: float,
    label: str,
    testid: str,
    bands: Sequence[Block] = (),
) -> Markup:
    """Curves over time; ``ticks``: (value, text) of the horizontal grid lines."""
    inner, top = height - 8, 4

    def y(value: F64 | float) -> F64:
        return np.asarray(top + inner * (1 - (np.clip(value, low, high) - low) / (high - low)), dtype=np.float64)

    body = [_bands(bands, axis, height)]
    for value, _ in ticks:
        at = float(y(value))
        body.append(f'<line class="grid" x1="{LEFT_PX}" x2="{axis.width_px}" y1="{at:g}" y2="{at:g}"/>')
    for one in series:
        t, v = _with_gaps(times_s, one.values)
        body.append(f'<path class="curve {escape(one.css)}" d="{path(_xs(axis, t), y(v))}"/>')
    if not any(np.isfinite(one.values).any() for one in series):
        body.append(f'<text class="absent" x="{LEFT_PX + 10}" y="{height / 2 + 4:g}">not in sight</text>')
    for value, text in ticks:
        at = float(y(value))
        body.append(f'<text class="tick" x="{LEFT_PX - 4}" y="{at + 4:g}" text-anchor="end">{escape(text)}</text>')
    return svg(axis.width_px, height, body, label=label, testid=testid)


def stacked_lane(
    axis: TimeAxis, times_s: F64, series: Sequence[Series], *, height: float, label: str, testid: str
) -> Markup:
    """Shares that add up to one at each time, as areas on top of each other, the first at the bottom."""
    body: list[str] = []
    total = np.maximum(sum((s.values for s in series), np.zeros(len(times_s))), 1e-9)
    pieces = np.split(np.arange(len(times_s)), np.flatnonzero(np.diff(times_s) > _GAP_S) + 1)
    for piece in pieces:
        if len(piece) < 2:
            continue
        x, below = _xs(axis, times_s[piece]), np.zeros(len(piece))
        for one in series:
            above = below + one.values[piece] / total[piece]
            lower, upper = height * (1 - below), height * (1 - above)
            keep = simplify(x, lower) | simplify(x, upper)
            xs = np.concatenate([x[keep], x[keep][::-1]])
            ys = np.concatenate([upper[keep], lower[keep][::-1]])
            points = " ".join(f"{a:g},{b:g}" for a, b in zip(xs.round(1), ys.round(1), strict=True))
            body.append(f'<path class="area {escape(one.css)}" d="M{points}z"/>')
            below = above
    return svg(axis.width_px, height, body, label=label, testid=testid)


def block_lane(
    axis: TimeAxis, blocks: Sequence[Block], *, height: float, label: str, testid: str, bands: Sequence[Block] = ()
) -> Markup:
    """Repetitions as blocks, each with its turn as a tick."""
    body = [_bands(bands, axis, height)]
    for block in blocks:
        a, b = axis.x(block.start_s), axis.x(block.end_s)
        width = max(b - a - 1, 2)
        parts = [
            f'<g class="block {escape(block.kind)}"><title>{escape(block.title)}</title>',
            f'<rect x="{a + 0.5:g}" y="2" width="{width:g}" height="{height - 4:g}" rx="3"/>',
        ]
        if block.turn_s is not None:
            x = axis.x(block.turn_s)
            parts.append(f'<line class="turn" x1="{x:g}" x2="{x:g}" y1="2" y2="{height - 2:g}"/>')
        if block.label and width >= 7 * len(block.label) + 4:
            parts.append(f'<text x="{a + 6:g}" y="{height / 2 + 4:g}">{escape(block.label)}</text>')
        drawn = "".join(parts) + "</g>"
        body.append(f'<a href="#{escape(block.href)}">{drawn}</a>' if block.href else drawn)
    return svg(axis.width_px, height, body, label=label, testid=testid)


def axis_lane(axis: TimeAxis) -> Markup:
    """The time axis itself."""
    body = [f'<line class="axis" x1="{LEFT_PX}" x2="{axis.width_px}" y1=".5" y2=".5"/>']
    for time_s in axis.ticks():
        x = axis.x(time_s)
        text = clock(time_s).removesuffix(".0")
        anchor = "end" if x > axis.width_px - 20 else "middle"
        body.append(f'<line class="axis" x1="{x:g}" x2="{x:g}" y1="0" y2="5"/>')
        body.append(f'<text class="tick" x="{x:g}" y="17" text-anchor="{anchor}">{escape(text)}</text>')
    return svg(axis.width_px, 22, body, label="time axis, minutes and seconds", testid="plot-axis")
