"""From the network's and the rule's logits to a probability that means what it says, and to the threshold from which on
an error is told: fitted on repetitions that the network has not seen.

Per exercise and error a logistic regression on both logits with weights that are not negative (Platt, 1999), drawn
towards the one of all errors together where there are few examples.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

from services.errors.core.catalogue import ABOVE, Catalogue, ErrorSpec
from services.errors.core.features import INDEX_OF
from services.errors.core.learned import RULE_MOST, VIEWS, Head, Learned
from services.errors.core.rules import VIEW_CONFIDENCE_MIN
from training.errors.dataset import NEGATIVE, POSITIVE, Samples, codes, exercises, target
from training.errors.metrics import Counts

F64 = NDArray[np.float64]
Key = tuple[str, str]
"""(exercise, code)"""
PRECISION: Final = 0.9
FLOOR: Final = 0.8
"""A verdict that is right less often than this is not to be had for any recall."""
PRIOR: Final = 4.0
"""Strength of the draw towards the common regression, in examples."""
PRIOR_COUNT: Final = 6.0
THRESHOLDS: Final = np.round(np.arange(0.5, 0.96, 0.02), 2)
RULE_ONLY: Final = frozenset({"JERKY", "RANGE_LOST", "TEMPO_UNEVEN", "TORSO_RISES"})
"""Left to their rules. The law of motion that is trained on never pauses: what it takes for jerks is a sticking point.
Of what changes over a set, told once in it, single repetitions say little."""
GAIN: Final = 0.02
"""By so much F0.5 (false blame weighs more than a miss) must be better than the rule's on simulated people for a head
to be worth its risk."""
LEEWAY: Final = 0.1
"""By so much it may be worse in one exercise, of which there are few examples."""
FEW: Final = 8
"""Fewer mistakes than this decide nothing on their own."""
AUC_LEAST: Final = 0.8
"""From a view that tells right from wrong less well, an error is not observable."""


@dataclass(frozen=True, slots=True, eq=False)
class Cell:
    """All repetitions of one exercise in which one error is shown and its truth known: (M,) each.

    ``rule``: logit at the published limit; ``beyond``: the measure is beyond the strict limit, without which nothing is
    named.
    """

    rows: NDArray[np.int64]
    network: F64
    rule: F64
    beyond: NDArray[np.bool_]
    degree: F64
    view: NDArray[np.int64]

    def probability(self, head: Head) -> F64:
        return np.asarray(expit(head.model * self.network + head.rule * self.rule + head.bias), dtype=np.float64)

    def named(self, head: Head) -> NDArray[np.bool_]:
        return (self.probability(head) >= head.threshold) & self.beyond

    def inside(self, views: Iterable[str]) -> NDArray[np.bool_]:
        """Which are seen from one of these views."""
        return np.isin(self.view, [i for i, kind in enumerate(VIEWS) if kind in views])

    @property
    def sure(self) -> NDArray[np.bool_]:
        return (self.degree >= POSITIVE) | (self.degree <= NEGATIVE)

    @property
    def wrong(self) -> NDArray[np.bool_]:
        return self.degree >= POSITIVE


def cell(samples: Samples, spec: ErrorSpec, exercise: int, column: int, network: NDArray[np.floating]) -> Cell:
    """What is shown by the exercise's file and known."""
    confidence = samples.features[:, INDEX_OF["view.confidence"]]
    views = [i for i, kind in enumerate(VIEWS) if kind in spec.views]
    rows = np.flatnonzero(
        (samples.exercise == exercise) & samples.seen[:, column] & np.isfinite(samples.value[:, column])
        & np.isfinite(samples.degree[:, column]) & np.isin(samples.view, views) & (confidence >= VIEW_CONFIDENCE_MIN)
    )  # fmt: skip
    value = samples.value[rows, column].astype(np.float64)
    noise = spec.noise * samples.gain[rows, column].astype(np.float64)
    sign = 1.0 if spec.direction == ABOVE else -1.0
    rule = np.clip(sign * (value - spec.limits[1]) / (noise * np.sqrt(3) / np.pi), -RULE_MOST, RULE_MOST)
    return Cell(
        rows, network[rows, column].astype(np.float64), rule, sign * (value - spec.limits[2]) > 0,
        samples.degree[rows, column].astype(np.float64), samples.view[rows],
    )  # fmt: skip


def cells(samples: Samples, network: NDArray[np.floating], catalogue: Catalogue) -> dict[Key, Cell]:
    """(exercise, code) → what is shown and known there."""
    order = codes(catalogue)
    out: dict[Key, Cell] = {}
    for e, exercise in enumerate(exercises()):
        for spec in catalogue[exercise].errors:
            if spec.measure is not None:
                found = cell(samples, spec, e, order.index(spec.code), network)
                if len(found.rows):
                    out[exercise, spec.code] = found
    return out


def regression(network: F64, rule: F64, wanted: F64, towards: F64 | None, strength: float) -> F64:
    """(3,) weights of network, rule and 1."""
    x = np.stack([network, rule, np.ones(len(rule))], axis=1)
    centre = np.zeros(3) if towards is None else towards
    spread = np.array([0.5, 0.5, 1.0])

    def cost(w: F64) -> tuple[float, F64]:
        z = x @ w
        pull = (w - centre) / spread
        value = float((np.logaddexp(0, z) - wanted * z).sum() + 0.5 * strength * (pull**2).sum())
        return value, x.T @ (expit(z) - wanted) + strength * pull / spread

    start = np.array([0.7, 0.3, -1.0]) if towards is None else towards
    found = minimize(cost, start, jac=True, method="L-BFGS-B", bounds=[(0, 3), (0, 3), (-12, 12)])
    return np.asarray(found.x, dtype=np.float64)


def threshold_of(probability: F64, wrong: NDArray[np.bool_]) -> float:
    """The smallest threshold whose precision is ``PRECISION``, with the probabilities themselves as prior."""
    for t in THRESHOLDS:
        told = probability >= t
        expected = float(probability[told].mean()) if told.any() else float(t)
        if (wrong[told].sum() + PRIOR_COUNT * expected) / (told.sum() + PRIOR_COUNT) >= PRECISION:
            return float(t)
    return float(THRESHOLDS[-1])


def auc(wrong: NDArray[np.bool_], value: F64) -> float:
    """Area under the ROC curve; ties count half; NaN where a class is absent."""
    high, low = value[wrong], np.sort(value[~wrong])
    if not len(high) or not len(low):
        return float("nan")
    below = np.searchsorted(low, high, side="left") + np.searchsorted(low, high, side="right")
    return float(below.mean() / 2 / len(low))


def _views(found: Cell, probability: F64, allowed: frozenset[str]) -> frozenset[str]:
    """The views from which wrong and right can be told apart; without examples the exercise's file is believed."""
    out = set()
    for kind in allowed:
        here = found.inside((kind,)) & found.sure
        wrong = found.wrong[here]
        enough = wrong.sum() >= FEW and (~wrong).sum() >= FEW
        if not enough or auc(wrong, probability[here]) >= AUC_LEAST:
            out.add(kind)
    return frozenset(out)


def _joined(found: Sequence[Cell]) -> tuple[F64, F64, F64]:
    network, rule, degree = (np.concatenate([getattr(c, n) for c in found]) for n in ("network", "rule", "degree"))
    return network, rule, target(degree).astype(np.float64)


def _told(found: Sequence[Cell], head: Head) -> tuple[F64, NDArray[np.bool_]]:
    """Probability and truth of what could be named at all."""
    rows = [(c.probability(head), c.wrong, c.sure & c.beyond & c.inside(head.views)) for c in found]
    return np.concatenate([p[k] for p, _, k in rows]), np.concatenate([w[k] for _, w, k in rows])


def compared(head: Head | None, spec: ErrorSpec, found: Cell) -> Counts:
    """What a head (None: the rule alone) says where it is sure what is so."""
    sure, floor = found.sure & found.inside(spec.views), spec.precision_floor
    if head is None:
        return Counts.of((found.rule >= np.log(floor / (1 - floor)))[sure], found.wrong[sure])
    return Counts.of((found.named(head) & found.inside(head.views))[sure], found.wrong[sure])


def _worse(by_rule: Counts, by_head: Counts, gain: float) -> bool:
    """Whether a head misses a gain in F0.5 over the rule; where neither says anything it does not."""
    return bool(by_head.f_half < by_rule.f_half + gain)


def proven(
    drafts: Mapping[Key, Head], without: Mapping[Key, Head | None], found: Mapping[Key, Cell],
    specs: Mapping[Key, ErrorSpec], gain: float,
) -> dict[Key, Head]:  # fmt: skip
    """Only those heads that are better than what would be ``without`` them (None: the plain rule): their error in all
    exercises together, and clearly worse in none."""
    out = dict(drafts)
    for code in {code for _, code in drafts}:
        pairs = {
            key: (compared(without.get(key), specs[key], found[key]), compared(head, specs[key], found[key]))
            for key, head in drafts.items()
            if key[1] == code
        }
        together = [sum((pair[k] for pair in pairs.values()), Counts()) for k in (0, 1)]
        # Where what it would replace blames too often, it may miss more, but not nearly all.
        needed = together[0].precision < FLOOR <= together[1].precision
        for key, (before, after) in pairs.items():
            lost = before.hits > 0 and after.recall < 0.3 * before.recall
            if lost or (not needed and (_worse(together[0], together[1], gain) or _worse(before, after, -LEEWAY))):
                out.pop(key)
    return out


def drafted(every: Mapping[Key, Cell], specs: Mapping[Key, ErrorSpec], *, network: bool) -> dict[Key, Head]:
    """Heads of every exercise and error, with the network or with the rule's logit alone. Those with few examples lean
    on their error in all exercises together, and this one on all errors."""
    if not network:
        every = {key: replace(c, network=np.zeros(len(c.network))) for key, c in every.items()}
    common = regression(*_joined(list(every.values())), None, 1.0)
    out: dict[Key, Head] = {}
    for code in sorted({code for _, code in every} - RULE_ONLY):
        alike = {exercise: c for (exercise, other), c in every.items() if other == code}
        if sum(int(c.wrong.sum()) for c in alike.values()) < FEW:
            continue
        own = regression(*_joined(list(alike.values())), common, PRIOR)
        for exercise, found in alike.items():
            if not found.wrong.any():
                continue
            allowed = specs[exercise, code].views
            w = regression(*_joined([found]), own, PRIOR)
            draft = Head(float(w[0]) if network else 0.0, float(w[1]), float(w[2]), 0.5, allowed)
            draft = replace(draft, views=_views(found, found.probability(draft), allowed))
            enough = found.wrong.sum() >= FEW and (~found.wrong & found.sure).sum() >= FEW
            p, wrong = _told([found] if enough else list(alike.values()), draft)
            out[exercise, code] = replace(draft, threshold=threshold_of(p, wrong))
    return out


def heads(learned: Learned, fresh: Samples, real: Samples | None, catalogue: Catalogue) -> dict[Key, Head]:
    """The heads that are worth having: the rule's logit calibrated where that is no worse than the plain rule, with the
    network where that is better still; on recorded repetitions neither may be worse than the plain rule."""
    specs = {(spec.id, e.code): e for spec in catalogue for e in spec.errors}

    def seen(samples: Samples) -> dict[Key, Cell]:
        return cells(samples, learned.network(samples.features.astype(np.float64), samples.exercise), catalogue)

    found, recorded = seen(fresh), {} if real is None else seen(real)

    def holds(drafts: Mapping[Key, Head]) -> dict[Key, Head]:
        return {
            key: head for key, head in drafts.items() if key not in recorded
            or not _worse(compared(None, specs[key], recorded[key]), compared(head, specs[key], recorded[key]), 0.0)
        }  # fmt: skip

    plain = holds(proven(drafted(found, specs, network=False), {}, found, specs, 0.0))
    return plain | holds(proven(drafted(found, specs, network=True), plain, found, specs, GAIN))
