"""Small charts of one set: a column per repetition."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup, escape

from services.local.report.plots import svg

_COLUMN_PX: Final = 26
_PLOT_PX: Final = 84
_LEFT_PX: Final = 4
_MIN_COLUMNS: Final = 9


@dataclass(frozen=True, slots=True)
class Column:
    """One repetition. ``parts``: (value, CSS class) from the bottom up; ``text`` is written above it."""

    label: str
    parts: tuple[tuple[float, str], ...]
    text: str
    title: str


def column_chart(columns: Sequence[Column], *, label: str, testid: str, side_by_side: bool = False) -> Markup:
    """Columns of stacked parts, or of parts beside each other; a repetition without parts leaves a gap."""
    width = _LEFT_PX * 2 + _COLUMN_PX * max(_MIN_COLUMNS, len(columns))
    heights = [max(v for v, _ in c.parts) if side_by_side else sum(v for v, _ in c.parts) for c in columns if c.parts]
    top = max([*heights, 1e-9])
    body = [f'<line class="axis" x1="0" x2="{width}" y1="{_PLOT_PX + 14.5}" y2="{_PLOT_PX + 14.5}"/>']
    for i, column in enumerate(columns):
        x = _LEFT_PX + i * _COLUMN_PX
        middle = x + _COLUMN_PX / 2
        body.append(_text("tick", middle, _PLOT_PX + 28, column.label))
        if not column.parts:
            body.append(_text("tick", middle, _PLOT_PX + 10, "–"))
            continue
        body.append(f"<g><title>{escape(column.title)}</title>{_parts(column, x, top, side_by_side)}</g>")
    return svg(width, _PLOT_PX + 32, body, label=label, css="chart", testid=testid)


def _parts(column: Column, x: float, top: float, side_by_side: bool) -> str:
    drawn, base, highest = "", 0.0, 0.0
    each = (_COLUMN_PX - 8) / (len(column.parts) if side_by_side else 1)
    for j, (value, css) in enumerate(column.parts):
        height = max(0.0, _PLOT_PX * value / top)
        left = x + 4 + (j * each if side_by_side else 0)
        bottom = _PLOT_PX + 14 - (0 if side_by_side else base)
        drawn += (
            f'<rect class="bar {escape(css)}" x="{left:.1f}" y="{bottom - height:.1f}" '
            f'width="{each - 0.6:.1f}" height="{max(height, 0.5):.1f}" rx="1.5"/>'
        )
        base += height
        highest = max(highest, height if side_by_side else base)
    y = _PLOT_PX + 14 - highest - 3
    return drawn + _text("value", x + _COLUMN_PX / 2, y, column.text)


def _text(css: str, x: float, y: float, text: str) -> str:
    return f'<text class="{css}" text-anchor="middle" x="{x:g}" y="{y:.1f}">{escape(text)}</text>'
