"""Between the dataclasses of the cores and the protobuf messages of topics and RPCs. Protobuf stops here.

Times, places and scores of poses survive exactly (float64, float32); a repetition's window is quantised:
times to 1 µs, places to ``PoseWindow.scale_px`` (the window's extent over 65,000), scores to 1/255.
"""

from dataclasses import dataclass

import numpy as np
from formcheck.v1 import events_pb2, state_pb2, types_pb2

from services.common.errors import ShapeError
from services.common.processor import Mark, MarkKind
from services.common.skeleton import K
from services.common.types import (
    Assessment,
    ErrorFinding,
    Phases,
    PoseFrame,
    PoseWindow,
    Reason,
    Repetition,
    Status,
    StreamKey,
    TrackedPose,
)

_HALF_RANGE = 32_500  # of int16, with room for rounding
_MIN_SCALE_PX = 1e-4
_SIDES = {None: types_pb2.SIDE_UNSPECIFIED, "left": types_pb2.SIDE_LEFT, "right": types_pb2.SIDE_RIGHT,
          "both": types_pb2.SIDE_BOTH}  # fmt: skip
_SIDE_NAMES = {v: k for k, v in _SIDES.items()}


def stream_to_proto(key: StreamKey) -> types_pb2.StreamKey:
    return types_pb2.StreamKey(tenant=key.tenant, stream_id=key.stream_id, session_id=key.session_id)


def stream_from_proto(message: types_pb2.StreamKey) -> StreamKey:
    return StreamKey(message.tenant, message.stream_id, message.session_id)


def mark_to_proto(mark: Mark) -> events_pb2.Mark:
    return events_pb2.Mark(
        stream=stream_to_proto(mark.stream),
        kind=events_pb2.MarkKind.Value(f"MARK_KIND_{mark.kind.name}"),
        time_s=mark.time_s,
    )


def mark_from_proto(message: events_pb2.Mark) -> Mark:
    """Raises: ValueError: the kind is unspecified or unknown."""
    name = events_pb2.MarkKind.Name(message.kind).removeprefix("MARK_KIND_")
    return Mark(stream_from_proto(message.stream), MarkKind(name.lower()), message.time_s)


@dataclass(frozen=True, slots=True)
class EncodedFrame:
    """One sampled picture as it travels: ``jpeg`` may be smaller than the source, whose size after rotation is
    ``width_px`` × ``height_px``. ``captured_unix_s`` is wall time and serves the measuring of latency only.
    """

    stream: StreamKey
    sequence: int
    time_s: float
    jpeg: bytes
    width_px: int
    height_px: int
    cut: bool = False
    frozen: bool = False
    captured_unix_s: float = 0.0


def frame_to_proto(frame: EncodedFrame) -> events_pb2.Frame:
    return events_pb2.Frame(
        stream=stream_to_proto(frame.stream),
        sequence=frame.sequence,
        time_s=frame.time_s,
        jpeg=frame.jpeg,
        width_px=frame.width_px,
        height_px=frame.height_px,
        cut=frame.cut,
        frozen=frame.frozen,
        captured_unix_s=frame.captured_unix_s,
    )


def frame_from_proto(message: events_pb2.Frame) -> EncodedFrame:
    """Raises: ShapeError: no picture, or the source has no size."""
    if not message.jpeg or message.width_px <= 0 or message.height_px <= 0:
        raise ShapeError(
            f"frame {message.sequence} has {len(message.jpeg)} bytes of JPEG of a "
            f"{message.width_px} x {message.height_px} px picture; all three must be positive"
        )
    return EncodedFrame(
        stream=stream_from_proto(message.stream),
        sequence=message.sequence,
        time_s=message.time_s,
        jpeg=message.jpeg,
        width_px=message.width_px,
        height_px=message.height_px,
        cut=message.cut,
        frozen=message.frozen,
        captured_unix_s=message.captured_unix_s,
    )


def pose_frame_to_proto(frame: PoseFrame) -> events_pb2.PoseFrame:
    return events_pb2.PoseFrame(
        stream=stream_to_proto(frame.stream),
        sequence=frame.sequence,
        time_s=frame.time_s,
        width_px=frame.width_px,
        height_px=frame.height_px,
        people=[
            types_pb2.TrackedPose(
                track_id=p.track_id,
                keypoints_px=p.keypoints.ravel().tolist(),
                scores=p.scores.tolist(),
                box_px=p.box.tolist(),
            )
            for p in frame.people
        ],
        ended_track_ids=frame.ended,
        cut=frame.cut,
        frozen=frame.frozen,
    )


def _person_from_proto(message: types_pb2.TrackedPose) -> TrackedPose:
    """Raises: ShapeError: not 17 joints or not four box sides."""
    if len(message.keypoints_px) != 2 * K or len(message.scores) != K or len(message.box_px) != 4:
        raise ShapeError(
            f"a pose has {len(message.keypoints_px)} coordinates, {len(message.scores)} scores and "
            f"{len(message.box_px)} box sides; expected {2 * K}, {K} and 4"
        )
    return TrackedPose(
        track_id=message.track_id,
        keypoints=np.array(message.keypoints_px, np.float32).reshape(K, 2),
        scores=np.array(message.scores, np.float32),
        box=np.array(message.box_px, np.float32),
    )


def pose_frame_from_proto(message: events_pb2.PoseFrame) -> PoseFrame:
    """Raises: ShapeError: a pose has not 17 joints."""
    return PoseFrame(
        stream=stream_from_proto(message.stream),
        sequence=message.sequence,
        time_s=message.time_s,
        width_px=message.width_px,
        height_px=message.height_px,
        people=tuple(_person_from_proto(p) for p in message.people),
        ended=tuple(message.ended_track_ids),
        cut=message.cut,
        frozen=message.frozen,
    )


def window_to_proto(window: PoseWindow) -> types_pb2.PoseWindow:
    """Quantise a window. Raises: ShapeError: the arrays do not belong together."""
    t = len(window.times_s)
    if window.keypoints.shape != (t, K, 2) or window.scores.shape != (t, K):
        raise ShapeError(
            f"a window of {t} times has keypoints {window.keypoints.shape} and scores {window.scores.shape}; "
            f"expected {(t, K, 2)} and {(t, K)}"
        )
    if t == 0:
        return types_pb2.PoseWindow(scale_px=_MIN_SCALE_PX)
    low, high = window.keypoints.min((0, 1)), window.keypoints.max((0, 1))
    origin = ((low + high) / 2).astype(np.float32)
    scale = np.float32(max(float((high - low).max()) / 2 / _HALF_RANGE, _MIN_SCALE_PX))
    values = np.rint((window.keypoints - origin) / scale).astype("<i2")
    return types_pb2.PoseWindow(
        times_us=np.rint(window.times_s * 1e6).astype(np.int64).tolist(),
        keypoints_i16=values.tobytes(),
        scores_u8=np.rint(np.clip(window.scores, 0, 1) * 255).astype(np.uint8).tobytes(),
        scale_px=float(scale),
        origin_x_px=float(origin[0]),
        origin_y_px=float(origin[1]),
    )


def window_from_proto(message: types_pb2.PoseWindow) -> PoseWindow:
    """Raises: ShapeError: byte lengths do not fit the number of times."""
    t = len(message.times_us)
    if len(message.keypoints_i16) != t * K * 4 or len(message.scores_u8) != t * K:
        raise ShapeError(
            f"a window of {t} times has {len(message.keypoints_i16)} bytes of keypoints; expected {t * K * 4}"
        )
    values = np.frombuffer(message.keypoints_i16, "<i2").reshape(t, K, 2).astype(np.float32)
    origin = np.array([message.origin_x_px, message.origin_y_px], np.float32)
    return PoseWindow(
        times_s=np.array(message.times_us, np.int64) / 1e6,
        keypoints=(values * np.float32(message.scale_px) + origin).astype(np.float32),
        scores=np.frombuffer(message.scores_u8, np.uint8).reshape(t, K).astype(np.float32) / np.float32(255),
    )


def repetition_to_proto(rep: Repetition) -> events_pb2.RepetitionEvent:
    message = events_pb2.RepetitionEvent(
        id=rep.id,
        stream=stream_to_proto(rep.stream),
        track_id=rep.track_id,
        status=types_pb2.RepetitionStatus.Value(f"REPETITION_STATUS_{rep.status.name}"),
        reason=types_pb2.Reason.Value(f"REASON_{rep.reason.name}") if rep.reason else types_pb2.REASON_UNSPECIFIED,
        onset_s=rep.onset_s,
        turn_s=rep.turn_s,
        offset_s=rep.offset_s,
        decided_s=rep.decided_s,
        set_index=rep.set_index,
        index=rep.index,
        exercise=rep.exercise,
        exercise_probability=rep.exercise_probability,
        confidence=rep.confidence,
    )
    if rep.phases is not None:
        p = rep.phases
        message.phases.CopyFrom(
            types_pb2.Phases(concentric_s=p.concentric_s, hold_s=p.hold_s, eccentric_s=p.eccentric_s, rest_s=p.rest_s)
        )
    if rep.window is not None:
        message.window.CopyFrom(window_to_proto(rep.window))
    return message


def repetition_from_proto(message: events_pb2.RepetitionEvent) -> Repetition:
    """Raises: ShapeError: the window is malformed; ValueError: the status is unspecified or unknown."""
    status = types_pb2.RepetitionStatus.Name(message.status).removeprefix("REPETITION_STATUS_")
    reason = types_pb2.Reason.Name(message.reason).removeprefix("REASON_")
    p = message.phases
    return Repetition(
        id=message.id,
        stream=stream_from_proto(message.stream),
        track_id=message.track_id,
        status=Status(status.lower()),
        onset_s=message.onset_s,
        decided_s=message.decided_s,
        turn_s=message.turn_s if message.HasField("turn_s") else None,
        offset_s=message.offset_s if message.HasField("offset_s") else None,
        set_index=message.set_index,
        index=message.index,
        exercise=message.exercise,
        exercise_probability=message.exercise_probability,
        confidence=message.confidence,
        reason=Reason(reason) if message.reason else None,
        phases=Phases(p.concentric_s, p.hold_s, p.eccentric_s, p.rest_s) if message.HasField("phases") else None,
        window=window_from_proto(message.window) if message.HasField("window") else None,
    )


def assessment_to_proto(a: Assessment) -> events_pb2.AssessmentEvent:
    return events_pb2.AssessmentEvent(
        repetition=repetition_to_proto(a.repetition),
        score=a.score,
        errors=[
            types_pb2.ErrorFinding(
                code=e.code, severity=e.severity, probability=e.probability, value=e.value, limit=e.limit,
                unit=e.unit, side=_SIDES[e.side], at_s=e.at_s,
            )
            for e in a.errors
        ],
        not_observable=a.not_observable,
        cue=a.cue or "",
        range_of_motion_left_deg=a.range_of_motion_deg.get("left"),
        range_of_motion_right_deg=a.range_of_motion_deg.get("right"),
        asymmetry=a.asymmetry,
        measures=[types_pb2.Measure(name=k, value=v) for k, v in a.measures.items()],
    )  # fmt: skip


def assessment_from_proto(message: events_pb2.AssessmentEvent) -> Assessment:
    """Raises: ShapeError, ValueError: as ``repetition_from_proto``."""

    return Assessment(
        repetition=repetition_from_proto(message.repetition),
        score=message.score,
        errors=tuple(
            ErrorFinding(e.code, e.severity, e.probability, e.value, e.limit, e.unit, _SIDE_NAMES[e.side], e.at_s)
            for e in message.errors
        ),
        not_observable=tuple(message.not_observable),
        cue=message.cue or None,
        range_of_motion_deg={
            "left": message.range_of_motion_left_deg if message.HasField("range_of_motion_left_deg") else None,
            "right": message.range_of_motion_right_deg if message.HasField("range_of_motion_right_deg") else None,
        },
        asymmetry=message.asymmetry if message.HasField("asymmetry") else None,
        measures={m.name: m.value if m.HasField("value") else None for m in message.measures},
    )


SNAPSHOT_VERSION = 1


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a stage knows of one stream: restore ``state`` (empty = fresh), then feed the stream's inputs from the
    Kafka offset ``input_offset`` of ``input_topic``/``input_partition`` on.

    ``time_s`` is the event time of the last input (None: none yet); ``ended_session_ids`` are the stream's sessions
    that are over.
    """

    stream: StreamKey
    state: bytes
    input_topic: str
    input_partition: int
    input_offset: int
    time_s: float | None = None
    ended_session_ids: tuple[str, ...] = ()


def snapshot_to_proto(snapshot: Snapshot) -> state_pb2.Snapshot:
    return state_pb2.Snapshot(
        stream=stream_to_proto(snapshot.stream),
        state=snapshot.state,
        version=SNAPSHOT_VERSION,
        input_topic=snapshot.input_topic,
        input_partition=snapshot.input_partition,
        input_offset=snapshot.input_offset,
        time_s=snapshot.time_s,
        ended_session_ids=snapshot.ended_session_ids,
    )


def snapshot_from_proto(message: state_pb2.Snapshot) -> Snapshot:
    """Raises: ShapeError: of another version."""
    if message.version != SNAPSHOT_VERSION:
        raise ShapeError(f"the snapshot is of version {message.version}; this program reads {SNAPSHOT_VERSION}")
    return Snapshot(
        stream=stream_from_proto(message.stream),
        state=message.state,
        input_topic=message.input_topic,
        input_partition=message.input_partition,
        input_offset=message.input_offset,
        time_s=message.time_s if message.HasField("time_s") else None,
        ended_session_ids=tuple(message.ended_session_ids),
    )
