"""Numbers about verdicts: precision, recall and F1 per error, calibration error, macro averages."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Counts:
    """Verdicts against the truth: right and wrong blame, misses, rightly left alone."""

    hits: int = 0
    blamed: int = 0
    missed: int = 0
    passed: int = 0

    @classmethod
    def of(cls, named: NDArray[np.bool_], wrong: NDArray[np.bool_]) -> "Counts":
        return cls(
            int((named & wrong).sum()), int((named & ~wrong).sum()), int((~named & wrong).sum()),
            int((~named & ~wrong).sum()),
        )  # fmt: skip

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(
            self.hits + other.hits, self.blamed + other.blamed, self.missed + other.missed, self.passed + other.passed
        )

    @property
    def precision(self) -> float:
        return self.hits / (self.hits + self.blamed) if self.hits + self.blamed else float("nan")

    @property
    def recall(self) -> float:
        return self.hits / (self.hits + self.missed) if self.hits + self.missed else float("nan")

    @property
    def f1(self) -> float:
        total = 2 * self.hits + self.blamed + self.missed
        return 2 * self.hits / total if total else float("nan")

    @property
    def f_half(self) -> float:
        """F with beta 0.5: a false blame weighs four times a miss."""
        total = 1.25 * self.hits + 0.25 * self.missed + self.blamed
        return 1.25 * self.hits / total if total else float("nan")

    def row(self) -> dict[str, Any]:
        return {
            "precision": _round(self.precision), "recall": _round(self.recall), "f1": _round(self.f1),
            "wrong": self.hits + self.missed, "right": self.blamed + self.passed,
        }  # fmt: skip


def _round(value: float) -> float | None:
    return None if np.isnan(value) else round(value, 3)


def macro(counts: Iterable[Counts], least: int = 5) -> float:
    """Mean F1 of the classes with at least so many mistakes."""
    values = [c.f1 for c in counts if c.hits + c.missed >= least]
    return float(np.mean(values)) if values else float("nan")


def two_class_macro(counts: Counts) -> float:
    """Mean of the F1 of ``wrong`` and that of ``right``."""
    other = Counts(counts.passed, counts.missed, counts.blamed, counts.hits)
    return (counts.f1 + other.f1) / 2


def reliability(probability: F64, wrong: NDArray[np.bool_], bins: int = 10) -> list[tuple[float, float, int]]:
    """(mean probability, share that is wrong, count) of each bin that has any."""
    index = np.minimum((probability * bins).astype(int), bins - 1)
    return [
        (float(probability[index == b].mean()), float(wrong[index == b].mean()), int((index == b).sum()))
        for b in range(bins)
        if (index == b).any()
    ]


def calibration_error(probability: F64, wrong: NDArray[np.bool_], bins: int = 10) -> float:
    """Expected calibration error (Naeini et al., AAAI 2015): mean gap of the bins, weighted by their counts."""
    rows = reliability(probability, wrong, bins)
    total = sum(n for _, _, n in rows)
    return sum(n * abs(p - w) for p, w, n in rows) / total if total else float("nan")


def by_code(counts: Mapping[tuple[str, str], Counts]) -> dict[str, Counts]:
    """Counts of each code over all exercises."""
    out: dict[str, Counts] = {}
    for (_, code), one in counts.items():
        out[code] = out.get(code, Counts()) + one
    return out
