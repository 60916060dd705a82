"""Does a number grow? A line through samples, with an error that knows that neighbours resemble each other."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_LEAST = 4


@dataclass(frozen=True, slots=True)
class Slope:
    """Per minute; ``error``: one standard error. ``mean``: of the samples."""

    per_min: float
    error: float
    mean: float
    samples: int

    def grows_beyond(self, bound_per_min: float) -> bool:
        """Surely: by more than two standard errors."""
        return self.per_min - 2 * self.error > bound_per_min


def slope(times_s: Sequence[float], values: Sequence[float]) -> Slope:
    """Least squares over time; the error is widened by what the residuals' lag-1 autocorrelation r leaves of the
    number of samples: n (1 - r) / (1 + r).

    Raises: ValueError: fewer than four samples, or all at one time.
    """
    t, y = np.asarray(times_s, float) / 60, np.asarray(values, float)
    n = len(t)
    if n < _LEAST or len(y) != n or np.ptp(t) <= 0:
        raise ValueError(f"a slope needs {_LEAST} samples at different times, not {n}")
    centred = t - t.mean()
    spread = float((centred**2).sum())
    per_min = float((centred * (y - y.mean())).sum() / spread)
    residuals = y - y.mean() - per_min * centred
    power = float((residuals**2).sum())
    r = float((residuals[1:] * residuals[:-1]).sum() / power) if power > 0 else 0.0
    r = min(max(r, 0.0), 0.95)
    widened = float(np.sqrt((1 + r) / (1 - r)))
    error = float(np.sqrt(power / (n - 2) / spread)) * widened
    return Slope(per_min, error, float(y.mean()), n)
