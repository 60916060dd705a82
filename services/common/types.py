"""What travels between the stages. Times are event time in seconds of the stream session; places are px of the
source picture (after rotation), origin top-left; images are RGB.

Arrays make ``==`` meaningless, so these classes compare by identity; tests compare through
``services.common.codec``.
"""

from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class StreamKey:
    """Names one session of one stream. ``str(key)`` is ``tenant/stream_id/session_id``."""

    tenant: str
    stream_id: str
    session_id: str

    def __str__(self) -> str:
        return f"{self.tenant}/{self.stream_id}/{self.session_id}"


LOCAL_STREAM = StreamKey("local", "file", "0")


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One sampled picture.

    ``cut``: a hard cut lies between this frame and the one before. ``frozen``: the picture is the one before
    (a freeze frame of an edited video, or a stuck camera).
    """

    stream: StreamKey
    sequence: int
    time_s: float
    image: NDArray[np.uint8]  # (H, W, 3)
    cut: bool = False
    frozen: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class TrackedPose:
    """One person in one frame. A joint with ``scores < skeleton.VISIBLE_MIN`` is hidden; its place means nothing."""

    track_id: int
    keypoints: F32  # (17, 2) px
    scores: F32  # (17,) in [0, 1]
    box: F32  # (4,) x0 y0 x1 y1 px


@dataclass(frozen=True, slots=True, eq=False)
class PoseFrame:
    """All people of one frame. ``ended``: tracks that will not be seen again."""

    stream: StreamKey
    sequence: int
    time_s: float
    width_px: int
    height_px: int
    people: tuple[TrackedPose, ...]
    ended: tuple[int, ...] = ()
    cut: bool = False
    frozen: bool = False


class Phase(StrEnum):
    REST = "rest"
    CONCENTRIC = "concentric"
    ECCENTRIC = "eccentric"
    HOLD = "hold"


class Status(StrEnum):
    PROVISIONAL = "provisional"
    CONFIRMED = "confirmed"
    RETRACTED = "retracted"
    ATTEMPT = "attempt"


class Reason(StrEnum):
    """Why a candidate is not counted (attempt, retracted)."""

    PARTIAL_RANGE = "PARTIAL_RANGE"
    INTERRUPTED = "INTERRUPTED"
    SET_UP = "SET_UP"
    OUT_OF_FRAME = "OUT_OF_FRAME"
    LOW_VISIBILITY = "LOW_VISIBILITY"
    TOO_SHORT = "TOO_SHORT"
    TOO_LONG = "TOO_LONG"
    NOT_EXERCISE = "NOT_EXERCISE"


@dataclass(frozen=True, slots=True, eq=False)
class PoseWindow:
    """The keypoints of one repetition, from a little before its onset to its offset, in source px."""

    times_s: NDArray[np.float64]  # (T,)
    keypoints: F32  # (T, 17, 2)
    scores: F32  # (T, 17)


@dataclass(frozen=True, slots=True)
class Phases:
    """Durations of one repetition's parts, s. ``rest_s``: pause at rest before it, since the last offset."""

    concentric_s: float
    hold_s: float
    eccentric_s: float
    rest_s: float


@dataclass(frozen=True, slots=True, eq=False)
class Repetition:
    """One event of one repetition. The same ``id`` goes provisional → confirmed | retracted | attempt.

    ``turn_s`` and ``offset_s`` are None while not yet seen. ``decided_s`` is the watermark at which the event was made.
    Only confirmed and attempt events carry ``window``. ``index`` counts confirmed repetitions of the set from 1.
    """

    id: str
    stream: StreamKey
    track_id: int
    status: Status
    onset_s: float
    decided_s: float
    turn_s: float | None = None
    offset_s: float | None = None
    set_index: int = 0
    index: int = 0
    exercise: str = "unknown"
    exercise_probability: float = 0.0
    confidence: float = 0.0
    reason: Reason | None = None
    phases: Phases | None = None
    window: PoseWindow | None = None


@dataclass(frozen=True, slots=True, eq=False)
class NetworkTrace:
    """What the segmentation network said of one track at one tick: for pictures and debugging, never published."""

    stream: StreamKey
    track_id: int
    time_s: float  # of the tick the outputs speak of
    phase: F32  # (4,) probabilities in the order of Phase
    events: F32  # (3,) onset, turn, offset
    progress: float  # 0 = rest, 1 = far end
    activity: float  # probability that the person exercises


@dataclass(frozen=True, slots=True)
class ErrorFinding:
    """One named mistake. ``value`` against ``limit`` in ``unit``; ``at_s`` is the moment of the worst frame."""

    code: str
    severity: float  # 0 (just over the limit) .. 1
    probability: float
    value: float
    limit: float
    unit: str
    side: str | None  # left | right | both | None
    at_s: float


@dataclass(frozen=True, slots=True, eq=False)
class Assessment:
    """The verdict on one repetition. ``score`` 0..100, 100 = clean; any entry in ``errors`` means it is done wrong.

    ``not_observable``: codes of errors that this view hides. ``measures``: name with unit suffix → value
    (None where it cannot be seen).
    """

    repetition: Repetition
    score: float
    errors: tuple[ErrorFinding, ...]
    not_observable: tuple[str, ...]
    cue: str | None
    range_of_motion_deg: dict[str, float | None]  # left, right
    asymmetry: float | None
    measures: dict[str, float | None] = field(default_factory=dict)
