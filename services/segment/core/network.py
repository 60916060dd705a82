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

ECCENTRIC_FIRST: Final = frozenset({"squat", "goblet_squat", "lunge", "romanian_deadlift", "chest_press", "chest_fly"})
"""Exercises whose way out is the lowering one."""

TARGET_DELAY_TICKS: Final = 4
"""The outputs at a tick speak of the tick this many before: the network's look at what comes next."""

PHASE: Final = slice(0, 4)  # rest, out, back, hold
EVENTS: Final = slice(4, 7)  # onset, turn, offset
PROGRESS: Final = 7
ACTIVITY: Final = 8
EXERCISE: Final = slice(9, 9 + len(EXERCISES))
OUTPUTS: Final = 9 + len(EXERCISES)


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
    )


def step_both_ways(network: RecurrentNetwork, features: F32, state: F32) -> tuple[F32, F32]:
    """The network on N bodies and on their mirror images, averaged: a mirrored body gives the same outputs.

    features (N, F), state (N, 2, S) → raw outputs (N, OUTPUTS), next state (N, 2, S).
    """
    n = len(features)
    rows = np.concatenate([features, mirror_features(features)])
    raw, following = network.step(rows, np.concatenate([state[:, 0], state[:, 1]]))
    return 0.5 * (raw[:n] + raw[n:]), np.stack([following[:n], following[n:]], axis=1)
