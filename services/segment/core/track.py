"""Everything that is remembered of one body: recent frames, features, network state, decoder, set."""

from collections import deque
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from services.common.skeleton import VISIBLE_MIN, K
from services.segment.core.candidate import HINDSIGHT_BACK_S
from services.segment.core.decoder import TrackDecoder
from services.segment.core.features import FeatureExtractor
from services.segment.core.network import TARGET_DELAY_TICKS
from services.segment.core.resample import TICK_HZ, TICK_S, TrackResampler
from services.segment.core.sets import SetTracker
from services.segment.core.window import WindowRecorder

F32 = NDArray[np.float32]

POSE_FEATURES: Final = 24
"""The first features are the body-relative places: the pose whose size of movement the decoder compares."""


class Track:
    """One body of one stream. It sleeps while it is not seen; only its set is kept then."""

    def __init__(self, track_id: int, state_size: int, step_px: float, exercise: str | None) -> None:
        self.track_id = track_id
        self.state_size = state_size
        self.step_px = step_px
        self.sets = SetTracker(exercise)
        self.decoder = TrackDecoder()
        self.rest_start()

    def rest_start(self) -> None:
        """Forgets the motion: a cut, a long absence. The set goes on."""
        self.awake = False
        self.next_tick = 0
        self.last_seen_s = -1e9
        self.resampler = TrackResampler()
        self.extractor = FeatureExtractor()
        self.recorder = WindowRecorder(self.step_px)
        self.network_state = np.zeros((2, self.state_size), np.float32)
        self.waiting: deque[tuple[float, float, F32]] = deque()
        self.last_body: tuple[F32, F32] | None = None
        self.decoder.reset()

    def push(self, time_s: float, keypoints: F32, scores: F32) -> None:
        """A frame that shows it (motion time)."""
        if not self.awake:
            self.awake = True
            self.next_tick = int(np.ceil(time_s * TICK_HZ - 1e-6))
        self.last_seen_s = time_s
        self.resampler.push(time_s, keypoints, scores)

    def tick_time_s(self) -> float:
        return self.next_tick * TICK_S

    def features(self, still: bool = False) -> F32:
        """Takes the next tick: features (1, F). ``still``: the body as it was at the tick before."""
        time_s = self.tick_time_s()
        if still and self.last_body is not None:
            keypoints, scores = self.last_body
        else:
            keypoints, scores = self.resampler.at(time_s)
        self.last_body = (keypoints, scores)
        features = self.extractor.step(keypoints[None], scores[None])
        self.resampler.forget(time_s + TICK_S)
        if not still:
            candidate = self.decoder.candidate
            keep_s = candidate.onset_s - HINDSIGHT_BACK_S - 0.4 if candidate else None
            self.recorder.push(time_s, keypoints, scores, keep_s)
        seen = float((scores[5:] >= VISIBLE_MIN).mean())
        self.waiting.append((time_s, seen, features[0, :POSE_FEATURES].copy()))
        self.next_tick += 1
        return features

    def spoken_of(self) -> tuple[float, float, F32] | None:
        """Time, share of joints seen and pose of the tick that the network now speaks of; None before the first."""
        if len(self.waiting) <= TARGET_DELAY_TICKS:
            return None
        return self.waiting.popleft()

    def state(self) -> dict[str, Any]:
        frames = self.resampler.frames
        n = len(frames)
        return {
            "track_id": self.track_id,
            "step_px": self.step_px,
            "awake": self.awake,
            "next_tick": self.next_tick,
            "last_seen_s": self.last_seen_s,
            "sets": self.sets.state(),
            "decoder": self.decoder.state(),
            "frame_times_s": np.array([f[0] for f in frames], np.float64),
            "frame_keypoints": np.stack([f[1] for f in frames]) if n else np.zeros((0, K, 2), np.float32),
            "frame_scores": np.stack([f[2] for f in frames]) if n else np.zeros((0, K), np.float32),
            "extractor": self.extractor.state(),
            "recorder": self.recorder.state(),
            "network_state": self.network_state,
            "waiting": [list(w) for w in self.waiting],
            "last_body": list(self.last_body) if self.last_body else None,
        }

    @classmethod
    def of(cls, state: dict[str, Any], state_size: int, exercise: str | None) -> "Track":
        track = cls(state["track_id"], state_size, state["step_px"], exercise)
        track.awake, track.next_tick = state["awake"], state["next_tick"]
        track.last_seen_s = state["last_seen_s"]
        track.sets.load(state["sets"])
        track.decoder.load(state["decoder"])
        for t, k, s in zip(state["frame_times_s"], state["frame_keypoints"], state["frame_scores"], strict=True):
            track.resampler.push(float(t), k, s)
        track.extractor.load(state["extractor"])
        track.recorder = WindowRecorder.of(state["recorder"])
        track.network_state = np.array(state["network_state"], np.float32)
        track.waiting.extend((float(t), float(s), np.array(p, np.float32)) for t, s, p in state["waiting"])
        if state["last_body"] is not None:
            track.last_body = (state["last_body"][0], state["last_body"][1])
        return track
