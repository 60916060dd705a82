"""95 % intervals: percentile bootstrap, whole sequences (or groups of them) drawn with replacement."""

from collections.abc import Callable, Hashable, Sequence
from typing import TypeVar

import numpy as np

Row = TypeVar("Row")


def bootstrap(
    rows: Sequence[Row],
    statistic: Callable[[Sequence[Row]], dict[str, float]],
    *,
    draws: int = 1000,
    seed: int = 0,
    groups: Sequence[Hashable] | None = None,
) -> dict[str, tuple[float, float]]:
    """Name of a number → (2.5th, 97.5th percentile). Numbers that are NaN in a draw are left out of it.

    Args:
        groups: one per row: rows of a group are drawn together (default: every row is its own group).
    """
    if not rows or draws <= 0:
        return {}
    keys = list(groups) if groups is not None else list(range(len(rows)))
    members: dict[Hashable, list[Row]] = {}
    for key, row in zip(keys, rows, strict=True):
        members.setdefault(key, []).append(row)
    blocks = list(members.values())
    rng = np.random.default_rng(seed)
    values: dict[str, list[float]] = {}
    for _ in range(draws):
        sample = [row for k in rng.integers(0, len(blocks), len(blocks)) for row in blocks[k]]
        for name, value in statistic(sample).items():
            if not np.isnan(value):
                values.setdefault(name, []).append(value)
    return {
        name: (float(np.percentile(v, 2.5)), float(np.percentile(v, 97.5))) for name, v in values.items() if len(v) > 1
    }
