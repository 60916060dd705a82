"""Who is the main person: the one who fills the picture, stands in its middle and has been there longest."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from services.pose.core import similarity
from services.pose.core.tracking import State, Track

DECIDE_S: Final = 1.0
"""After this long with somebody to choose from the choice stands, and the others are no longer followed."""
BETTER: Final = 1.5
"""How much more prominent another must be to take over before that."""


def prominence(track: Track, time_s: float, width_px: int, height_px: int) -> float:
    """Larger, more central, longer seen: more."""
    x0, y0, x1, y1 = track.box
    share = max(float((x1 - x0) / width_px), float((y1 - y0) / height_px))
    off = abs(float(similarity.torso_centre(track.keypoints, track.scores)[0]) / width_px - 0.5)
    age = min(time_s - track.first_s, 5.0) / 5.0
    return share * (1.2 - off) * track.quality * (1.0 + 0.5 * age)


@dataclass(slots=True)
class MainPerson:
    """Remembers who it is. ``settled``: decided."""

    track_id: int | None = None
    since_s: float = math.inf
    settled: bool = field(default=False)

    def choose(
        self, tracks: Sequence[Track], seen: Sequence[Track], time_s: float, width_px: int, height_px: int
    ) -> tuple[Track | None, list[Track]]:
        """The main person's track (None: nobody), and the tracks to forget."""
        by_id = {t.track_id: t for t in tracks}
        current = by_id.get(self.track_id) if self.track_id is not None else None
        if current is None:
            self.track_id, self.since_s, self.settled = None, math.inf, False
        best = max(seen, key=lambda t: prominence(t, time_s, width_px, height_px), default=None)
        if not self.settled and best is not None:
            if current is None:
                self.since_s = time_s
            now = prominence(current, time_s, width_px, height_px) if current is not None else 0.0
            if prominence(best, time_s, width_px, height_px) > BETTER * now:
                self.track_id = best.track_id
            self.settled = time_s - self.since_s >= DECIDE_S
        chosen = by_id.get(self.track_id) if self.track_id is not None else None
        # While the main person is away others may be candidates again, but nobody is shown in their place.
        if not self.settled or chosen is None or chosen.state is State.LOST:
            return chosen, []
        return chosen, [t for t in tracks if t is not chosen]

    def state(self) -> dict[str, Any]:
        """For a snapshot."""
        since = None if math.isinf(self.since_s) else self.since_s
        return {"track_id": self.track_id, "since_s": since, "settled": self.settled}

    def restore(self, state: dict[str, Any]) -> None:
        """Take back what ``state`` gave."""
        self.track_id, self.settled = state["track_id"], state["settled"]
        self.since_s = math.inf if state["since_s"] is None else state["since_s"]
