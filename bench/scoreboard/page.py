"""The table as one HTML file, with the pictures of the worst sequences."""

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Final

from bench.scoreboard.numbers import COUNT_COLUMNS, FORM_COLUMNS, Cell
from bench.scoreboard.table import Block, interval, judged, number, tells, used

_STYLE: Final = """
body{font:14px/1.45 system-ui,sans-serif;margin:24px;color:#222;max-width:1500px}
table{border-collapse:collapse;margin:12px 0 28px}
th,td{padding:5px 9px;border-bottom:1px solid #e4e4e4;text-align:right;vertical-align:top;white-space:nowrap}
th{font-weight:600;white-space:normal;max-width:80px;vertical-align:bottom}
td:first-child,td:nth-child(2),th:first-child,th:nth-child(2){text-align:left;white-space:normal}
small{color:#777;display:block}.met{color:#2e7d32}.missed{color:#c62828}.absent{color:#8a5a00}
tr.first td{border-top:2px solid #bbb}figure{margin:10px 0 26px}img{width:100%;max-width:1000px;border:1px solid #eee}
li{margin:3px 0}code{background:#f4f4f4;padding:1px 4px}
"""


def _cell(cell: Cell | None) -> str:
    if cell is None or math.isnan(cell.value):
        return "<td></td>"
    css = "" if cell.met is None else "met" if cell.met else "missed"
    target = f'<small class="{css}">{escape(cell.target)} {"met" if cell.met else "missed"}</small>' if css else ""
    spread = f"<small>{interval(cell)}</small>" if interval(cell) else ""
    return f'<td><span class="{css}">{number(cell.value)}</span>{spread}{target}</td>'


def _table(blocks: Sequence[Block], columns: Mapping[str, str]) -> str:
    shown = used(blocks, columns)
    heads = "".join(f"<th>{escape(t)}</th>" for t in shown.values())
    rows = []
    for block in blocks:
        name = escape(f"{block.title} ({block.sequences})" if block.sequences else block.title)
        if block.absent:
            cell = f'<td colspan="{len(shown) + 1}" class="absent" style="text-align:left">{escape(block.absent)}</td>'
            rows.append(f'<tr class="first"><td>{name}</td>{cell}</tr>')
            continue
        first = True
        for method, cells in block.methods.items():
            if not tells(cells, shown):
                continue
            values = "".join(_cell(cells.get(n)) for n in shown)
            css, title = (' class="first"', name) if first else ("", "")
            rows.append(f"<tr{css}><td>{title}</td><td>{escape(method)}</td>{values}</tr>")
            first = False
    return f"<table><tr><th>data</th><th>method</th>{heads}</tr>{''.join(rows)}</table>"


def _missed(blocks: Sequence[Block]) -> str:
    of_all = judged(blocks)
    lines = "".join(
        f"<li>{escape(b.title)}, {escape(method)}: {escape(title)} {number(c.value)} (target {escape(c.target)})</li>"
        for b, method, title, c in of_all
        if not c.met
    )
    return f"<p>{sum(bool(c.met) for *_, c in of_all)} of {len(of_all)} targets met. Missed:</p><ul>{lines}</ul>"


def html(blocks: Sequence[Block], about: Sequence[str], pictures: Mapping[str, Sequence[str]]) -> str:
    """``about``: sentences for the head; ``pictures``: data set → paths of SVGs beside the page."""
    head = "".join(f"<p>{escape(a)}</p>" for a in about)
    body = [f"<h1>Scoreboard</h1>{head}", "<h2>Repetitions</h2>", _table(blocks, COUNT_COLUMNS)]
    body += ["<h2>Form</h2>", _table([b for b in blocks if not b.absent], FORM_COLUMNS)]
    body += ["<h2>Targets</h2>", _missed(blocks)]
    for block in blocks:
        if block.per_kind:
            kinds = Block(block.key, block.title, methods=block.per_kind)
            columns = COUNT_COLUMNS | FORM_COLUMNS
            body += [f"<h2>{escape(block.title)} by exercise</h2>", _table([kinds], columns)]
    for block in blocks:
        if not block.worst:
            continue
        lines = "".join(f"<li><code>{escape(n)}</code> {escape(what)}</li>" for n, what in block.worst)
        figures = "".join(
            f'<figure><img loading="lazy" alt="{escape(path)}" src="{escape(path)}"></figure>'
            for path in pictures.get(block.key, ())
        )
        body.append(f"<h2>The worst of {escape(block.title)}</h2><ol>{lines}</ol>{figures}")
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Scoreboard</title><style>{_STYLE}</style>'
        f"<body>{''.join(body)}</body></html>"
    )
