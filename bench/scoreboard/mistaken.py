"""Planted mistakes against named errors: what is right, what is wrong, and what is neither.

- positive: the planted code, on repetitions whose true degree is at least 0.5 ("plain to see").
- neither: codes that the planted mistake brings along (a one-sided range makes the range short; a dropped weight is
  lowered too fast), codes noted in the truth at any degree, and codes that yield to one another in the exercise files.
- everything else that is named is a false blame.
- mistakes of the whole set (uneven tempo, lost range, a rising trunk) count once per clip, the others per repetition.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from bench.scoreboard.metrics import FoundRep, TrueRep, f1, overlap_matches, ratio
from bench.scoreboard.simulate import SET_WIDE
from services.errors.core.catalogue import Catalogue
from training.simulator.mistakes import MISTAKES, Mistake

PLAIN: Final = 0.5
_SHARE: Final = 0.3


@dataclass(slots=True)
class CodeCounts:
    """Per code: named rightly, named falsely, missed; ``hidden``: of the missed, where the view was said not to show
    it."""

    right: Counter[str] = field(default_factory=Counter)
    false: Counter[str] = field(default_factory=Counter)
    missed: Counter[str] = field(default_factory=Counter)
    hidden: Counter[str] = field(default_factory=Counter)

    def add(self, other: "CodeCounts") -> None:
        for name in ("right", "false", "missed", "hidden"):
            getattr(self, name).update(getattr(other, name))

    def codes(self) -> list[str]:
        """Codes that were planted."""
        return sorted({*self.right, *self.missed})

    def f1(self, code: str) -> float:
        true = self.right[code] + self.missed[code]
        return f1(self.right[code], true, self.right[code] + self.false[code])

    def precision(self, code: str) -> float:
        return ratio(self.right[code], self.right[code] + self.false[code])

    def recall(self, code: str) -> float:
        return ratio(self.right[code], self.right[code] + self.missed[code])

    def macro_f1(self) -> float:
        """Mean over the planted codes; NaN without any."""
        values = [self.f1(c) for c in self.codes()]
        return sum(values) / len(values) if values else float("nan")


def _brings(a: Mistake, b: Mistake) -> bool:
    """Whether mistake ``a`` does to the body or the timing a good part of all that ``b`` does."""
    pairs = [
        (max(a.high, a.weak), b.high), (max(a.low, a.weak), b.low), (max(a.weak, a.high), b.weak), (a.lag, b.lag),
        (a.fall, b.fall), (a.jerk, b.jerk), (a.bounce, b.bounce), (a.uneven, b.uneven),
        (float(bool(a.back_s or a.lower_s)), float(bool(b.back_s or b.lower_s))),
        (float(bool(a.out_s)), float(bool(b.out_s))),
    ]  # fmt: skip
    if any(theirs > 0 and ours < _SHARE * theirs for ours, theirs in pairs):
        return False
    for edit in b.edits:
        same = [e.amount for e in a.edits if e.name == edit.name and e.amount * edit.amount > 0]
        if not same or max(abs(x) for x in same) < _SHARE * abs(edit.amount):
            return False
    return True


@lru_cache(maxsize=512)
def brought_along(exercise: str, planted: str) -> frozenset[str]:
    """Other codes that a planted mistake makes true as well."""
    known = MISTAKES.get(exercise, {})
    if planted not in known:
        return frozenset()
    return frozenset(c for c, m in known.items() if c != planted and _brings(known[planted], m))


def yields(catalogue: Catalogue, exercise: str, code: str) -> frozenset[str]:
    """Codes that give way to ``code`` or that it gives way to."""
    errors = {e.code: e for e in catalogue.get(exercise).errors}
    own = set(errors[code].yields_to) if code in errors else set()
    return frozenset(own | {c for c, e in errors.items() if code in e.yields_to})


def neutral_codes(
    catalogue: Catalogue, exercise: str, planted: str | None, code: str | None, noted: Mapping[str, float]
) -> frozenset[str]:
    """Codes that are neither right nor wrong beside a planted mistake (``code``: what naming it means)."""
    out = set(noted)
    if planted and code:
        out |= brought_along(exercise, planted) | yields(catalogue, exercise, code) | {planted, code}
    for c in noted:
        out |= yields(catalogue, exercise, c)
    return frozenset(out)


def code_counts(
    catalogue: Catalogue,
    exercise: str,
    true: Sequence[TrueRep],
    found: Sequence[FoundRep],
    *,
    planted: str | None = None,
    code: str | None = None,
) -> CodeCounts:
    """One clip's counts. ``true`` repetitions carry the degree of the planted mistake under its own code."""
    out = CodeCounts()
    pairs = overlap_matches([(t.onset_s, t.offset_s) for t in true], [(f.onset_s, f.offset_s) for f in found])
    match_of = {j: i for i, j in pairs}
    noted = {c: d for t in true for c, d in t.mistakes.items()}
    neutral = neutral_codes(catalogue, exercise, planted, code, noted)
    for c in {c for f in found for c in f.errors or ()} & SET_WIDE - neutral:
        out.false[c] += 1
    for f in found:
        out.false.update(c for c in f.errors or () if c not in neutral and c not in SET_WIDE)
    if not planted or not code:
        return out
    plain = [i for i, t in enumerate(true) if t.mistakes.get(planted, 0.0) >= PLAIN]
    verdicts = {i: found[j] for j, i in match_of.items()}
    if planted in SET_WIDE:
        if plain:
            _judge(out, code, list(found))
        return out
    for i in plain:
        _judge(out, code, [verdicts[i]] if i in verdicts else [])
    return out


def _judge(out: CodeCounts, code: str, verdicts: Sequence[FoundRep]) -> None:
    if any(code in (f.errors or ()) for f in verdicts):
        out.right[code] += 1
        return
    out.missed[code] += 1
    out.hidden[code] += bool(verdicts) and all(code in f.hidden for f in verdicts)
