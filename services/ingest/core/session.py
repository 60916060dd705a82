"""Where a stream's session is: its name, its time, what has been promised about it."""

import math
from dataclasses import dataclass

from services.common.types import StreamKey


@dataclass(frozen=True, slots=True)
class FilePosition:
    """The last frame of a file that was handed on: commit it with the frame, and start from it again."""

    sequence: int
    time_s: float


class Session:
    """A live session is named after the wall clock at its time 0 (ms since 1970), so its name is all that another
    replica needs to go on with it. Its sequence numbers stay below 1,000 for each second: those of a session that is
    gone on with start at ``1,000 * elapsed`` and never repeat.
    """

    def __init__(self, key: StreamKey, *, origin_s: float = 0.0, started_unix_s: float | None = None) -> None:
        self.key = key
        self.origin_s = origin_s  # the monotonic clock at time 0
        self.started_unix_s = started_unix_s
        self.promised_s = 0.0  # nothing earlier will follow
        self.next_sequence = 0
        self.after_s: float | None = None  # (file) of the last frame received
        self.begun = False
        self.position: FilePosition | None = None

    @staticmethod
    def live(
        tenant: str, stream_id: str, unix_s: float, monotonic_s: float,
        session_id: str | None = None, floor_s: float | None = None,
    ) -> "Session":  # fmt: skip
        """A new session, or (``session_id``) one that is gone on with; ``floor_s``: event time known to be reached.

        Raises: ValueError: ``session_id`` is not the name of a live session.
        """
        if session_id is None:
            session_id = str(round(unix_s * 1000))
        started_unix_s = int(session_id) / 1000
        elapsed_s = max(0.0, unix_s - started_unix_s, floor_s if floor_s is not None else 0.0)
        session = Session(
            StreamKey(tenant, stream_id, session_id), origin_s=monotonic_s - elapsed_s, started_unix_s=started_unix_s
        )
        if elapsed_s > 0.01 or floor_s is not None:
            session.promised_s = elapsed_s
            session.next_sequence = math.ceil(elapsed_s * 1000)
            session.begun = True
        return session

    @staticmethod
    def file(tenant: str, stream_id: str, revision: int, position: FilePosition | None = None) -> "Session":
        session = Session(StreamKey(tenant, stream_id, f"f{revision}"))
        if position is not None:
            session.next_sequence = position.sequence + 1
            session.after_s = session.promised_s = position.time_s
            session.position = position
            session.begun = True
        return session

    def now_s(self, monotonic_s: float) -> float:
        """Session time (live)."""
        return monotonic_s - self.origin_s

    def promise(self, time_s: float) -> None:
        self.promised_s = max(self.promised_s, time_s, 0.0)

    def accept(self, sequence: int, time_s: float, *, live: bool) -> bool:
        """Whether a frame that a reader sends may still follow; if so it is noted."""
        if sequence < self.next_sequence or (live and time_s <= self.promised_s):
            return False
        self.begun = True
        self.next_sequence = sequence + 1
        self.after_s = time_s
        self.promised_s = max(self.promised_s, time_s)
        return True

    def handed(self, sequence: int, time_s: float) -> None:
        self.position = FilePosition(sequence, time_s)
