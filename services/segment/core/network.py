"""What the core asks of the recurrent network, and how its outputs are read."""

from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from services.segment.core.features import mirror_features

F32 = NDArray[np.float32]

EXERCISES: Final = (
    "bicep_curl", "hammer_curl", "zottman_curl", "shoulder_press", "arnold_press", "lateral_raise", "front_raise",
    "shrug", "bent_over_row", "one_arm_row", "triceps_kickback", "overhead_triceps_extension", "lunge", "squat",
    "goblet_squat", "romanian_deadlift", "chest_press", "chest_fly", "unknown",
)  # fmt: skip
"""(19,) what the exercise head tells apart, in its order."""

_COMMON: Final = {
    "bicep_curl": 0.16, "hammer_curl": 0.07, "zottman_curl": 0.01, "shoulder_press": 0.11, "arnold_press": 0.02,
    "lateral_raise": 0.11, "front_raise": 0.07, "shrug": 0.04, "bent_over_row": 0.08, "one_arm_row": 0.05,
    "triceps_kickback": 0.03, "overhead_triceps_extension": 0.04, "lunge": 0.09, "squat": 0.10, "goblet_squat": 0.05,
    "romanian_deadlift": 0.06, "chest_press": 0.06, "chest_fly": 0.03, "unknown": 0.02,
}  # fmt: skip
_TRAINED: Final = {n: 0.15 if n == "unknown" else 0.85 / 19.5 * (2.5 if n == "lunge" else 1) for n in EXERCISES}
LOG_PRIOR: Final = np.array([np.log(_COMMON[n] / _TRAINED[n]) for n in EXERCISES], np.float32)
"""(19,) how much commoner each is where people train with dumbbells (a rough guess) than in training, logarithm.

An exercise done badly is far commoner than one that is not among these; what the small share of ``unknown`` costs:
of simulated movements of no name 0.70 instead of 0.76 are called so (of named ones none is, either way).
Some differ in nothing that 17 joints show (a Zottman curl turns the hand on the way down): the commoner one is said.
"""

ECCENTRIC_FIRST: Final = frozenset({"squat", "goblet_squat", "lunge", "romanian_deadlift", "chest_press", "chest_fly"})
"""Exercises whose way out is the lowering one."""

TARGET_DELAY_TICKS: Final = 4
"""The outputs at a tick speak of the tick this many before: the network's look at what comes next."""

PHASE: Final = slice(0, 4)  # rest, out, back, hold
EVENTS: Final = slice(4, 7)  # onset, turn, offset
PROGRESS: Final = 7
ACTIVITY: Final = 8
EXERCISE: Final = slice(9, 9 + len(EXERCISES))
ELAPSED: Final = 9 + len(EXERCISES)  # since the onset of the repetition under way, s
OUTPUTS: Final = ELAPSED + 1


class RecurrentNetwork(Protocol):
    """One tick of N rows. ``state`` (N, S) is all that it remembers; a new row starts with zeros."""

    @property
    def state_size(self) -> int: ...

    def step(self, features: F32, state: F32) -> tuple[F32, F32]:
        """features (N, F), state (N, S) → raw outputs (N, OUTPUTS) before any squashing, next state (N, S)."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """The network's outputs for one body at one tick."""

    phase: F32  # (4,) probabilities of rest, out, back, hold
    events: F32  # (3,) probabilities of onset, turn, offset
    progress: float  # 0 at rest .. 1 at the far end
    activity: float  # probability that the body exercises
    exercise: F32  # (19,) log probabilities in the order of EXERCISES
    elapsed_s: float = 0.0  # how long ago the repetition under way began; means nothing at rest


def _sigmoid(x: F32) -> F32:
    return np.asarray(0.5 + 0.5 * np.tanh(0.5 * x), np.float32)


def _log_softmax(x: F32) -> F32:
    shifted = x - x.max(axis=-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)), np.float32)


def read(raw: F32) -> Reading:
    """One row of raw outputs (OUTPUTS,) as probabilities."""
    return Reading(
        phase=np.exp(_log_softmax(raw[PHASE])),
        events=_sigmoid(raw[EVENTS]),
        progress=float(_sigmoid(raw[PROGRESS])),
        activity=float(_sigmoid(raw[ACTIVITY])),
        exercise=_log_softmax(raw[EXERCISE]),
        elapsed_s=max(float(raw[ELAPSED]), 0.0),
    )


def step_both_ways(network: RecurrentNetwork, features: F32, state: F32) -> tuple[F32, F32]:
    """The network on N bodies and on their mirror images, averaged: a mirrored body gives the same outputs.

    features (N, F), state (N, 2, S) → raw outputs (N, OUTPUTS), next state (N, 2, S).
    """
    n = len(features)
    rows = np.concatenate([features, mirror_features(features)])
    raw, following = network.step(rows, np.concatenate([state[:, 0], state[:, 1]]))
    return 0.5 * (raw[:n] + raw[n:]), np.stack([following[:n], following[n:]], axis=1)
