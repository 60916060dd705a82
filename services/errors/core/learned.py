"""The learned part of the verdict: a small network that is shared by all exercises, and per exercise and error a
calibrated sum of what it says and what the rule says.

Learned on simulated mistakes; ``training/errors`` makes the weights. It says nothing of errors that it has not learned,
and a rule that is sure of the contrary has the last word.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from services.common.errors import ShapeError
from services.errors.core.features import MIRROR_ORDER, MIRROR_SIGN, NAMES, F
from services.errors.core.view import ViewKind

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

FLAGS: Final = np.array([i for i, name in enumerate(NAMES) if name.endswith((".high", ".0"))])
"""Numbers of whose absence the network is told: one of each measure and of each curve."""
CLIP: Final = 4.0
"""Standardised numbers are cut off here: beyond it nothing was learned."""
RULE_MOST: Final = 8.0
"""The rule's logit is cut off here."""
STRICT_LEAST: Final = 0.8
"""Share of the rule's own shift by which strictness moves the verdict at least."""
VIEWS: Final = tuple(ViewKind)


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """What is known of one repetition before anything is judged.

    ``features`` (F,); ``measured``: code → value and gain of its measure (on the worse side, that of joints that are
    seen if there are any); ``seen``: codes whose joints are seen; ``view``: index into ``ViewKind``.
    """

    features: F64
    measured: Mapping[str, tuple[float, float]]
    seen: frozenset[str]
    view: int


@dataclass(frozen=True, slots=True)
class Head:
    """One error of one exercise: probability = sigmoid(model * network + rule * rule's logit + bias).

    ``threshold``: named from this probability on; ``views``: from where it was told well enough in the calibration.
    """

    model: float
    rule: float
    bias: float
    threshold: float
    views: frozenset[str]


@dataclass(frozen=True, slots=True)
class Opinion:
    """The network's logit of one error, to be joined with the rule's."""

    head: Head
    network: float

    def probability(self, rule: float, shift: float = 0.0) -> float:
        """Calibrated probability of the error.

        Args:
            rule: the rule's logit at the published limit; shift: by how much strictness moves it.
        """
        moved = max(self.head.rule, STRICT_LEAST) * shift
        rule = max(-RULE_MOST, min(RULE_MOST, rule))
        z = self.head.model * self.network + self.head.rule * rule + self.head.bias + moved
        return 1 / (1 + math.exp(-max(-40.0, min(40.0, z))))


def standardised(features: NDArray[np.floating], mean: F64, scale: F64) -> F32:
    """(..., F) → (..., F + flags): in units of the training's spread, cut off, 0 for what is not seen, then flags."""
    scaled = np.clip((features - mean) / scale, -CLIP, CLIP)
    hidden = ~np.isfinite(scaled)
    return np.concatenate([np.where(hidden, 0.0, scaled), hidden[..., FLAGS]], axis=-1).astype(np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Learned:
    """The network's weights and the heads. ``layers``: (weight (in, out), bias (out,)) in order; the first one's input
    is the standardised features, then one of ``exercises`` as one-hot. The last one's outputs are ``codes``."""

    exercises: tuple[str, ...]
    codes: tuple[str, ...]
    mean: F64
    scale: F64
    layers: tuple[tuple[F32, F32], ...]
    heads: Mapping[tuple[str, str], Head]

    def __post_init__(self) -> None:
        width = F + len(FLAGS) + len(self.exercises)
        if self.mean.shape != (F,) or self.scale.shape != (F,) or self.layers[0][0].shape[0] != width:
            raise ShapeError(
                f"The learned part reads {width} numbers; its weights were made for others. Train it anew."
            )
        if self.layers[-1][0].shape[1] != len(self.codes):
            raise ShapeError(f"The learned part has {len(self.codes)} codes but {self.layers[-1][0].shape[1]} outputs.")

    def network(self, features: F64, exercises: NDArray[np.int64]) -> F32:
        """(N, F) and (N,) indices → (N, C) logits, the mean over both sides of the mirror."""
        both = np.stack([features, features[:, MIRROR_ORDER] * MIRROR_SIGN])
        kind = np.stack([np.eye(len(self.exercises), dtype=np.float32)[exercises]] * 2)
        return self._forward(np.concatenate([standardised(both, self.mean, self.scale), kind], axis=-1)).mean(axis=0)

    def _forward(self, x: F32) -> F32:
        for weight, bias in self.layers[:-1]:
            x = np.maximum(x @ weight + bias, 0.0)
        weight, bias = self.layers[-1]
        return np.asarray(x @ weight + bias, dtype=np.float32)

    def opinions(self, exercise: str, features: F64) -> dict[str, Opinion]:
        """Code → what is said of one repetition of an exercise that it knows."""
        row = self.network(features[None], np.array([self.exercises.index(exercise)]))[0]
        return {
            code: Opinion(self.heads[exercise, code], float(row[i]))
            for i, code in enumerate(self.codes)
            if (exercise, code) in self.heads
        }
