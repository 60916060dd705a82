"""What ``formcheck watch`` prints."""

from collections.abc import Iterator
from typing import Final

from services.common import topics
from services.common.kafka.clients import KafkaConfig
from services.common.types import Assessment
from services.local.stack.client import StackClient

_HEAD: Final = f"{'STREAM':24s} {'TIME':>8s}  {'EXERCISE':24s} {'SET':>3s} {'REP':>3s} {'SCORE':>5s}  CUE"


def assessments(kafka: KafkaConfig, name: str | None, from_beginning: bool = False) -> Iterator[str]:
    """A line for each assessment of the stream (``tenant/stream_id``; None = of all), for ever.

    Raises: as ``StackClient``.
    """
    with StackClient(kafka, read=(topics.ASSESSMENTS,), from_beginning=from_beginning) as client:
        yield _HEAD
        for _, item in client.follow():
            if isinstance(item, Assessment):
                key = item.repetition.stream
                if name in (None, f"{key.tenant}/{key.stream_id}"):
                    yield line(item)


def line(assessment: Assessment) -> str:
    """``local/camera1  12.3  bicep_curl  1  4  81  Keep your elbows at your sides.``"""
    r = assessment.repetition
    said = assessment.cue or ", ".join(e.code for e in assessment.errors) or "good"
    return (
        f"{f'{r.stream.tenant}/{r.stream.stream_id}':24s} {_clock(r.offset_s or r.decided_s):>8s}  {r.exercise:24s} "
        f"{r.set_index:3d} {r.index:3d} {assessment.score:5.0f}  {said}"
    )


def _clock(time_s: float) -> str:
    """``1:02:03.4``; event time of a stream's session."""
    minutes, seconds = divmod(time_s, 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours}:{minutes:02d}:{seconds:04.1f}" if hours else f"{minutes}:{seconds:04.1f}"
