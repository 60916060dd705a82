"""One number: 100 for a clean repetition, less for each error by its weight, its probability and its severity."""

from collections.abc import Iterable
from typing import Final

from services.errors.core.rules import Judged

DOUBT_FREE: Final = 0.5
"""Below this probability an error costs nothing: a clean repetition has 100."""
BASE_SHARE: Final = 0.4
"""Share of an error's weight that it costs at severity 0; the rest grows with the severity."""


def penalty(judged: Judged) -> float:
    """What one error costs, 0..weight; it never falls when the measured value gets worse."""
    doubt = max(0.0, (judged.probability - DOUBT_FREE) / (1 - DOUBT_FREE))
    return judged.spec.weight * doubt * (BASE_SHARE + (1 - BASE_SHARE) * judged.severity)


def score(judged: Iterable[Judged]) -> float:
    """100 times the product of what each error leaves. Each factor is in (0, 1], so one more error never helps."""
    left = 1.0
    for one in judged:
        left *= 1.0 - penalty(one)
    return round(100.0 * left, 2)
