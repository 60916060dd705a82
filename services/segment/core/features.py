"""What the network sees of a body at a tick: invariant to place and scale, causal, and exactly mirrorable.

Places are relative to the body and divided by a slow average of its size (never by recent motion: that blows a hold
up into repetitions). A hidden joint stays where it was, relative to the shoulders, with visibility 0.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from services.common.errors import ShapeError
from services.common.skeleton import INDEX, VISIBLE_MIN, K
from services.segment.core.resample import TICK_HZ

F32 = NDArray[np.float32]

_SIDES: Final = ("left", "right")
_DELAY: Final = 4
"""Ticks of the longer velocity."""
_CLIP: Final = 6.0
_SCALE_TICKS: Final = 45.0
"""Time constant of the average size, ticks."""

_PAIRS: Final = (("shoulder", "elbow"), ("shoulder", "wrist"), ("hip", "knee"), ("hip", "ankle"))
_ANGLES: Final = (
    ("elbow", "shoulder", "elbow", "wrist"),
    ("shoulder", "hip", "shoulder", "elbow"),
    ("hip", "shoulder", "hip", "knee"),
    ("knee", "hip", "knee", "ankle"),
)
_VISIBLE: Final = (0, *range(5, K))
_ANGLE_INDEX: Final = np.array([[INDEX[f"{s}_{angle[k]}"] for angle in _ANGLES for s in _SIDES] for k in (1, 2, 3)])
_LIMBS: Final = (
    ("left_shoulder", "right_shoulder", 1.35),
    *((f"{s}_{a}", f"{s}_{b}", r) for s in _SIDES for a, b, r in (
        ("shoulder", "hip", 1.0), ("shoulder", "elbow", 1.5), ("hip", "knee", 1.1), ("knee", "ankle", 1.1)
    )),
)  # fmt: skip
"""Limbs and how many of them make a torso's length."""
_LIMB_INDEX: Final = np.array([[INDEX[a] for a, _, _ in _LIMBS], [INDEX[b] for _, b, _ in _LIMBS]])
_LIMB_RATIO: Final = np.array([r for _, _, r in _LIMBS], np.float32)


def _names() -> tuple[str, ...]:
    """Names of the features in order: ``<what>.<side>.<axis>``; the mirror is derived from them."""
    place = ["nose.mid.x", "nose.mid.y", "shoulders.diff.x", "shoulders.diff.y", "torso.mid.x", "torso.mid.y"]
    place += ["hips.diff.x", "hips.diff.y"]
    place += [f"{a}-{b}.{s}.{c}" for a, b in _PAIRS for s in _SIDES for c in "xy"]
    moving = [*place, "chest.mid.x", "chest.mid.y", "pelvis.mid.x", "pelvis.mid.y"]
    names = [*place, *(f"v1:{n}" for n in moving), *(f"v4:{n}" for n in moving)]
    names += [f"{angle[0]}-{f}.{s}.even" for angle in _ANGLES for s in _SIDES for f in ("cos", "sin")]
    for index in _VISIBLE:
        name = next(n for n, i in INDEX.items() if i == index)
        side, _, joint = name.rpartition("_")
        names.append(f"seen-{joint or name}.{side or 'mid'}.even")
    return (*names, "present.mid.even")


FEATURES: Final = _names()
F: Final = len(FEATURES)
_PLACES: Final = 8 + 4 * len(_PAIRS)


def _mirror_tables() -> tuple[NDArray[np.int64], F32]:
    other = {"left": "right", "right": "left"}
    order, signs = [], []
    for name in FEATURES:
        what, side, axis = name.rsplit(".", 2)
        order.append(FEATURES.index(f"{what}.{other.get(side, side)}.{axis}"))
        flips = (axis == "y") if side == "diff" else (axis == "x")
        signs.append(-1.0 if flips else 1.0)
    return np.array(order), np.array(signs, np.float32)


MIRROR_ORDER, MIRROR_SIGN = _mirror_tables()


def mirror_features(features: F32) -> F32:
    """The features (..., F) of the same body seen in a mirror. Its own inverse."""
    return np.asarray(features[..., MIRROR_ORDER] * MIRROR_SIGN)


def _length(vector: F32) -> F32:
    return np.asarray(np.sqrt((vector * vector).sum(axis=-1)))


class FeatureExtractor:
    """Features of N bodies, tick by tick. All state is float32, so a snapshot is exact."""

    def __init__(self, n: int = 1) -> None:
        self.n = n
        self.offset = np.zeros((n, K, 2), np.float32)  # last place of each joint relative to the chest, px
        self.ever = np.zeros((n, K), np.float32)
        self.chest = np.zeros((n, 2), np.float32)
        self.log_scale = np.zeros(n, np.float32)
        self.ticks = np.zeros(n, np.float32)  # with a body, since the start
        self.history = np.zeros((n, _DELAY, _PLACES + 4), np.float32)
        self.known = np.zeros(n, np.float32)  # ticks in the history

    def step(self, keypoints: F32, scores: F32) -> F32:
        """keypoints (N, 17, 2) px, scores (N, 17) → features (N, F). Raises ShapeError."""
        if keypoints.shape != (self.n, K, 2) or scores.shape != (self.n, K):
            raise ShapeError(f"Expected {self.n} bodies of 17 joints, got {keypoints.shape}, {scores.shape}.")
        seen = scores >= np.float32(VISIBLE_MIN)
        body = self._complete(keypoints.astype(np.float32), seen)
        scale = self._scale(body, seen)
        moving = self._places(body)
        places = moving[:, :_PLACES] / scale[:, None]
        one, four = (v / scale[:, None] for v in self._velocities(moving))
        out = np.concatenate([places, one, four, self._angles(body), self._visibility(scores, seen)], axis=1)
        return np.clip(out, -_CLIP, _CLIP).astype(np.float32)

    def _complete(self, keypoints: F32, seen: NDArray[np.bool_]) -> F32:
        """Places of all joints (N, 17, 2): hidden ones where they were relative to the chest."""
        left, right = INDEX["left_shoulder"], INDEX["right_shoulder"]
        half = 0.5 * (self.offset[:, left] - self.offset[:, right])
        both = (seen[:, left] & seen[:, right])[:, None]
        chest = np.where(
            both,
            0.5 * (keypoints[:, left] + keypoints[:, right]),
            np.where(
                seen[:, left, None],
                keypoints[:, left] - half,
                np.where(seen[:, right, None], keypoints[:, right] + half, self._fallback(keypoints, seen)),
            ),
        )
        self.offset = np.where(seen[..., None], keypoints - chest[:, None], self.offset).astype(np.float32)
        self.ever = np.maximum(self.ever, seen.astype(np.float32))
        self.chest = chest.astype(np.float32)
        self._default_hips()
        return np.asarray(self.chest[:, None] + self.offset)

    def _fallback(self, keypoints: F32, seen: NDArray[np.bool_]) -> F32:
        """The chest without shoulders: carried along by the joints that are seen, else where it was."""
        known = (seen & (self.ever > 0)).astype(np.float32)
        share = known.sum(axis=1, keepdims=True)
        carried = ((keypoints - self.offset) * known[..., None]).sum(axis=1) / np.maximum(share, 1)
        fresh = (keypoints * seen[..., None]).sum(axis=1) / np.maximum(seen.sum(axis=1, keepdims=True), 1)
        start = np.where(seen.any(axis=1, keepdims=True), fresh, self.chest)
        return np.asarray(np.where(share > 0, carried, np.where(self.ticks[:, None] > 0, self.chest, start)))

    def _default_hips(self) -> None:
        """Hips that were never seen hang a torso's length under the shoulders."""
        width = _length(self.offset[:, INDEX["left_shoulder"]] - self.offset[:, INDEX["right_shoulder"]])
        torso = np.where(self.ticks > 0, np.exp(self.log_scale), np.maximum(width * 1.35, 1.0))
        for side in _SIDES:
            hip, shoulder = INDEX[f"{side}_hip"], INDEX[f"{side}_shoulder"]
            guess = np.stack([0.6 * self.offset[:, shoulder, 0], torso], axis=1)
            unknown = (self.ever[:, hip] == 0)[:, None]
            self.offset[:, hip] = np.where(unknown, guess, self.offset[:, hip])

    def _scale(self, body: F32, seen: NDArray[np.bool_]) -> F32:
        """The body's size (N,) px, about its torso's length: the longest of what its limbs say, averaged."""
        a, b = _LIMB_INDEX
        lengths = _length(body[:, a] - body[:, b]) * _LIMB_RATIO * (seen[:, a] & seen[:, b])
        size = lengths.max(axis=1)
        there = size > 1e-3
        self.ticks = self.ticks + there
        rate = np.maximum(1.0 / np.maximum(self.ticks, 1.0), 1.0 / _SCALE_TICKS)
        step = np.where(there, rate * (np.log(np.maximum(size, 1e-3)) - self.log_scale), 0.0)
        self.log_scale = (self.log_scale + step).astype(np.float32)
        return np.asarray(np.where(self.ticks > 0, np.exp(self.log_scale), 1.0).astype(np.float32))

    def _places(self, body: F32) -> F32:
        """(N, 28) px: body-relative places, then chest and pelvis in the picture."""
        part = {name: body[:, i] for name, i in INDEX.items()}
        chest = 0.5 * (part["left_shoulder"] + part["right_shoulder"])
        pelvis = 0.5 * (part["left_hip"] + part["right_hip"])
        nose_known = self.ever[:, :1]
        columns = [(part["nose"] - chest) * nose_known, part["left_shoulder"] - part["right_shoulder"]]
        columns += [chest - pelvis, part["left_hip"] - part["right_hip"]]
        for a, b in _PAIRS:
            for side in _SIDES:
                known = self.ever[:, INDEX[f"{side}_{b}"], None]
                columns.append((part[f"{side}_{b}"] - part[f"{side}_{a}"]) * known)
        return np.concatenate([*columns, chest, pelvis], axis=1).astype(np.float32)

    def _velocities(self, moving: F32) -> tuple[F32, F32]:
        """px per s over one tick (halved) and over four; 0 before there is a past."""
        fresh = self.known == 0
        self.history = np.where(fresh[:, None, None], moving[:, None], self.history)
        one = (moving - self.history[:, -1]) * np.float32(TICK_HZ * 0.5)
        four = (moving - self.history[:, 0]) * np.float32(TICK_HZ / _DELAY)
        here = (self.ticks > 0)[:, None]
        shifted = np.concatenate([self.history[:, 1:], moving[:, None]], axis=1)
        self.history = np.where(here[..., None], shifted, self.history).astype(np.float32)
        self.known = np.where(self.ticks > 0, np.minimum(self.known + 1, _DELAY), 0).astype(np.float32)
        return one * here, four * here

    def _angles(self, body: F32) -> F32:
        """(N, 16) cos and |sin| of the joint angles in the picture; 0, 0 where a joint was never seen."""
        a, b, c = _ANGLE_INDEX
        u, v = body[:, a] - body[:, b], body[:, c] - body[:, b]  # (N, 8, 2)
        norm = np.maximum(_length(u) * _length(v), 1e-3)
        known = self.ever[:, a] * self.ever[:, b] * self.ever[:, c]
        cos = (u * v).sum(axis=-1) / norm * known
        sin = np.abs(u[..., 0] * v[..., 1] - u[..., 1] * v[..., 0]) / norm * known
        return np.stack([cos, sin], axis=-1).reshape(self.n, -1).astype(np.float32)

    def _visibility(self, scores: F32, seen: NDArray[np.bool_]) -> F32:
        """(N, 14): the scores of the joints used, then whether there is a body at all."""
        present = seen.any(axis=1, keepdims=True).astype(np.float32)
        return np.concatenate([scores[:, _VISIBLE], present], axis=1)

    STATE = ("offset", "ever", "chest", "log_scale", "ticks", "history", "known")

    def state(self) -> dict[str, F32]:
        """The arrays that make up the state; ``load`` takes them back."""
        return {name: getattr(self, name) for name in self.STATE}

    def load(self, state: dict[str, F32]) -> None:
        for name in self.STATE:
            setattr(self, name, np.array(state[name], np.float32))
