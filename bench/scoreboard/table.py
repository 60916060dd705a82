"""The table as text for the terminal and as markdown."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from bench.scoreboard.evaluate import Row
from bench.scoreboard.numbers import COUNT_COLUMNS, FORM_COLUMNS, Cell

Cells = Mapping[str, Cell]
_METHOD_WIDTH: Final = 34
_WIDTH: Final = 12


@dataclass(frozen=True, slots=True)
class Block:
    """One data set of the table: its title, how many sequences, numbers by method, its worst sequences."""

    key: str
    title: str
    sequences: int = 0
    absent: str = ""
    note: str = ""
    methods: Mapping[str, Cells] = field(default_factory=dict)
    worst: Sequence[tuple[str, str]] = ()
    per_kind: Mapping[str, Cells] = field(default_factory=dict)
    rows: Sequence[Row] = ()


def number(value: float) -> str:
    """Two decimals, – for none."""
    return "–" if math.isnan(value) else f"{value:.2f}"


def interval(cell: Cell) -> str:
    if math.isnan(cell.low) or math.isnan(cell.value):
        return ""
    return f"{_short(cell.low)}–{_short(cell.high)}"


def _short(value: float) -> str:
    """.84 for 0.84."""
    return f"{value:.2f}".replace("0.", ".", 1) if abs(value) < 1 else f"{value:.2f}"


def mark(cell: Cell) -> str:
    return "" if cell.met is None else " ✓" if cell.met else " ✗"


def used(blocks: Sequence[Block], columns: Mapping[str, str]) -> dict[str, str]:
    """Columns in which any block has a number."""
    return {
        name: title
        for name, title in columns.items()
        if any(not math.isnan(c[name].value) for b in blocks for c in b.methods.values() if name in c)
    }


def tells(cells: Cells, shown: Iterable[str]) -> bool:
    """Whether a method has any of these numbers."""
    return any(n in cells and not math.isnan(cells[n].value) for n in shown)


def _heads(columns: Mapping[str, str]) -> list[str]:
    """Titles over two or three lines."""
    words = []
    for title in columns.values():
        lines: list[str] = []
        for word in title.split():
            if lines and len(lines[-1]) + 1 + len(word) <= _WIDTH - 1:
                lines[-1] += f" {word}"
            else:
                lines.append(word)
        words.append(lines)
    height = max((len(w) for w in words), default=0)
    padded = [[""] * (height - len(w)) + w for w in words]
    return [" " * _METHOD_WIDTH + "".join(f"{w[i]:>{_WIDTH}s}" for w in padded) for i in range(height)]


def text_table(blocks: Sequence[Block], columns: Mapping[str, str], title: str) -> str:
    """Data sets × methods; under each of our numbers its 95 % interval and its target."""
    shown = used(blocks, columns)
    if not shown:
        return ""
    out = [title, *_heads(shown)]
    for block in blocks:
        if block.absent:
            out.append(f"{block.title}: {block.absent}")
            continue
        methods = {m: c for m, c in block.methods.items() if tells(c, shown)}
        if not methods:
            continue
        out.append(f"{block.title} ({block.sequences})" + (f": {block.note}" if block.note else ""))
        for method, cells in methods.items():
            empty = Cell(float("nan"))
            row = [cells.get(name, empty) for name in shown]
            lines = [
                (f"  {method}", [number(c.value) + mark(c) for c in row]),
                ("    95 %", [interval(c) for c in row]),
            ]
            if any(c.target for c in row):
                lines.append(("    target", [c.target for c in row]))
            out += [f"{head:{_METHOD_WIDTH}s}" + "".join(f"{v:>{_WIDTH}s}" for v in line) for head, line in lines]
    return "\n".join(out)


def text(blocks: Sequence[Block]) -> str:
    """Everything for the terminal."""
    parts = [
        text_table(blocks, COUNT_COLUMNS, "Repetitions (✓ target met, ✗ missed; F1 of repetitions at IoU 0.5)"),
        text_table([b for b in blocks if not b.absent], FORM_COLUMNS, "Form"),
        targets_line(blocks),
    ]
    return "\n\n".join(p for p in parts if p)


def judged(blocks: Sequence[Block]) -> list[tuple[Block, str, str, Cell]]:
    """(block, method, number's title, cell) of every number that has a target."""
    titles = COUNT_COLUMNS | FORM_COLUMNS
    return [
        (b, method, titles[name], cell)
        for b in blocks
        for method, cells in b.methods.items()
        for name, cell in cells.items()
        if cell.met is not None
    ]


def targets_line(blocks: Sequence[Block]) -> str:
    """How many targets are met, and which are not."""
    all_of_them = judged(blocks)
    missed = [
        f"  {b.title}, {method}: {title} {number(c.value)} (target {c.target})"
        for b, method, title, c in all_of_them
        if not c.met
    ]
    head = f"targets met: {len(all_of_them) - len(missed)} of {len(all_of_them)}"
    return "\n".join([head + ("; missed:" if missed else ""), *missed])


def markdown(blocks: Sequence[Block], about: Sequence[str]) -> str:
    """The same as a document: two tables, the missed targets, the worst sequences."""
    out = ["# Scoreboard", "", *about, ""]
    for columns, title in ((COUNT_COLUMNS, "Repetitions"), (FORM_COLUMNS, "Form")):
        shown = used(blocks, columns)
        if not shown:
            continue
        out += [f"## {title}", "", "| data | method | " + " | ".join(shown.values()) + " |"]
        out.append("|---|---|" + "---|" * len(shown))
        for block in blocks:
            if block.absent:
                if columns is COUNT_COLUMNS:
                    out.append(f"| {block.title} | {block.absent} |" + " |" * len(shown))
                continue
            for method, cells in block.methods.items():
                row = [_markdown_cell(cells[n]) if n in cells else "" for n in shown]
                if tells(cells, shown):
                    out.append(f"| {block.title} ({block.sequences}) | {method} | " + " | ".join(row) + " |")
        out.append("")
    out += ["## Targets", "", "```", targets_line(blocks), "```", ""]
    for block in blocks:
        if block.worst:
            out += [f"## The worst of {block.title}", "", *(f"- `{n}`: {what}" for n, what in block.worst), ""]
    return "\n".join(out)


def _markdown_cell(cell: Cell) -> str:
    if math.isnan(cell.value):
        return ""
    value = f"**{number(cell.value)}**" if cell.met else number(cell.value)
    spread = f" [{interval(cell)}]" if interval(cell) else ""
    return f"{value}{spread}" + (f" ({cell.target}{mark(cell)})" if cell.target else "")
