"""What a pose network would say of a simulated person: joints in the picture with the errors that such networks
make."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from services.common.skeleton import COCO_SIGMAS, INDEX, MIRROR, VISIBLE_MIN
from training.simulator.body import J
from training.simulator.camera import Camera
from training.simulator.motion import Motion
from training.simulator.occlusion import hidden

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
_TORSO_M: Final = 0.53  # shoulders to hips; noise is in units of its size in the picture
_LIMBS: Final = tuple(
    tuple(INDEX[f"{s}_{n}"] for n in names) for s in ("left", "right")
    for names in (("elbow", "wrist"), ("wrist",), ("knee", "ankle"), ("ankle",))
)  # fmt: skip
_SPREAD: Final = np.array([0.6, 0.6, 0.6, 0.6, 0.6, 1.0, 1.0, 1.4, 1.4, 2.0, 2.0, 1.0, 1.0, 1.1, 1.1, 1.0, 1.0])
"""(17,) jitter of each joint against that of a shoulder, as MoveNet's poses of real lifters show it: wrists most."""
_SCORE: Final = np.array([-0.08] * 5 + [0.03, 0.03, -0.05, -0.05, -0.12, -0.12, 0.04, 0.04, 0.0, 0.0, 0.02, 0.02])
_FACE, _TORSO = list(range(5)), [5, 6, 11, 12]
_GROUPS: Final = (tuple(range(5, 11)), tuple(range(11, 17)), (13, 14, 15, 16), tuple(range(17)))


@dataclass(frozen=True, slots=True)
class Estimator:
    """How good the pose network is. Lengths in torso sizes, times in s, rates per s.

    ``jitter``: standard deviation of the place of a seen shoulder (other joints by ``_SPREAD``), with correlation time
    ``colour_s``; ``white``: the part of it that is new in every frame. ``bias``: steady misplacement of a joint of
    average COCO sigma. ``drift``: of a covered joint, slowly, and
    ``pull``: how far it is drawn to its twin on the other side. ``score``: of a seen joint, ``covered``: of a covered
    one; ``bold``: share of covered joints that are given as sure. ``swaps``, ``jumps``, ``losses``: of left and right
    (in side view), of a limb to a wrong place, of the whole person. ``drops``: share of frames without a pose.
    ``smooth_s``: the network's own smoothing.
    """

    jitter: float = 0.007
    colour_s: float = 0.15
    white: float = 0.4
    bias: float = 0.02
    drift: float = 0.12
    pull: float = 0.3
    score: float = 0.75
    covered: float = 0.22
    bold: float = 0.2
    guess: float = 0.6
    swaps: float = 0.05
    jumps: float = 0.02
    losses: float = 0.01
    drops: float = 0.002
    smooth_s: float = 0.0

    @classmethod
    def exact(cls) -> "Estimator":
        """No error at all; covered joints still score low."""
        return cls(
            jitter=0.0, bias=0.0, drift=0.0, pull=0.0, score=0.9, covered=0.1, bold=0.0, guess=0.0, swaps=0.0,
            jumps=0.0, losses=0.0, drops=0.0,
        )  # fmt: skip

    @classmethod
    def sample(cls, rng: np.random.Generator) -> "Estimator":
        """From a good network on a sharp picture to a poor one on a bad picture."""
        return cls(
            jitter=float(np.exp(rng.normal(np.log(0.0075), 0.65))),
            colour_s=float(rng.uniform(0.05, 0.4)),
            white=float(rng.uniform(0.1, 0.7)),
            bias=float(rng.uniform(0.0, 0.05)),
            drift=float(rng.uniform(0.03, 0.3)),
            pull=float(rng.uniform(0.0, 0.9)),
            score=float(rng.uniform(0.55, 0.95)),
            covered=float(rng.uniform(0.08, 0.42)),
            bold=float(rng.uniform(0.0, 0.6)),
            guess=float(rng.uniform(0.2, 1.0)),
            swaps=float(rng.exponential(0.12)) if rng.random() < 0.5 else 0.0,
            jumps=float(rng.exponential(0.08)) if rng.random() < 0.5 else 0.0,
            losses=float(rng.exponential(0.03)) if rng.random() < 0.3 else 0.0,
            drops=float(rng.exponential(0.02)) if rng.random() < 0.4 else 0.0,
            smooth_s=float(rng.uniform(0.02, 0.12)) if rng.random() < 0.4 else 0.0,
        )


def observe(
    motion: Motion, camera: Camera, rng: np.random.Generator, estimator: Estimator | None = None
) -> tuple[F32, F32]:
    """The motion as a pose network sees it through ``camera``.

    Returns:
        keypoints (T, 17, 2) px and scores (T, 17) in [0, 1]; below ``skeleton.VISIBLE_MIN`` a joint counts as hidden.
        A frame without a pose is all zero.
    """
    e = estimator or Estimator()
    fps, n = motion.fps, len(motion.joints)
    px, depth = camera.view(motion.joints.astype(np.float64), np.arange(n) / fps)
    cover = hidden(px, depth, motion.joints, camera.eye, camera.focal_px)
    cover[:, _FACE + _TORSO] *= 1.0 - e.guess
    torso = camera.focal_px * _TORSO_M / depth[:, J["pelvis"]]
    outside = _outside(px[:, :17], camera)
    keypoints = px[:, :17] + _errors(e, rng, cover, torso, px[:, :17], fps)
    scores = _scores(e, rng, cover, outside, fps)
    _swap(e, rng, keypoints, scores, torso, fps)
    _jump(e, rng, keypoints, scores, torso, fps)
    if e.smooth_s > 0:
        a = float(np.exp(-1.0 / (fps * e.smooth_s)))
        keypoints = lfilter([1 - a], [1, -a], keypoints, axis=0, zi=a * keypoints[:1])[0]
    lost = _lost(e, rng, n, fps)
    keypoints[lost], scores[lost] = 0.0, 0.0
    return keypoints.astype(np.float32), scores.astype(np.float32)


def normalised_per_frame(keypoints: F32, scores: F32) -> F32:
    """(T, 17, 2) each axis of each frame scaled to 0..1 over its joints, as some data sets come; lost frames stay 0."""
    low, high = keypoints.min(axis=1, keepdims=True), keypoints.max(axis=1, keepdims=True)
    out = (keypoints - low) / np.maximum(high - low, 1e-3)
    out[scores.max(axis=1) <= 0] = 0.0
    return out


def coloured(rng: np.random.Generator, shape: tuple[int, ...], correlation_s: float, fps: float) -> F64:
    """Gaussian noise of unit variance, correlated along the first axis over ``correlation_s``."""
    a = float(np.exp(-1.0 / max(fps * correlation_s, 1e-3)))
    white = rng.standard_normal(shape)
    white[0] /= np.sqrt(1 - a * a)
    out: F64 = lfilter([np.sqrt(1 - a * a)], [1, -a], white, axis=0)
    return out


def _errors(e: Estimator, rng: np.random.Generator, cover: F64, torso: F64, true: F64, fps: float) -> F64:
    """(T, 17, 2) px by which the network is off."""
    shape = (len(cover), 17, 2)
    slow = coloured(rng, shape, e.colour_s, fps) if e.jitter else np.zeros(shape)
    fast = rng.standard_normal(shape) if e.jitter * e.white else np.zeros(shape)
    size = e.jitter * _SPREAD * (1 + 2 * cover)
    off = (np.sqrt(1 - e.white**2) * slow + e.white * fast) * size[..., None]
    covered = cover[..., None]
    if e.drift:
        off += e.drift * covered * coloured(rng, shape, 0.7, fps)
    off *= torso[:, None, None]
    bias = (
        e.bias
        * rng.standard_normal((1, 17, 2))
        * (COCO_SIGMAS / COCO_SIGMAS[5:].mean())[:, None]
        * torso[:, None, None]
    )
    return off + bias + e.pull * covered * (1 - covered[:, MIRROR]) * (true[:, MIRROR] - true)


def _scores(e: Estimator, rng: np.random.Generator, cover: F64, outside: F64, fps: float) -> F64:
    n = len(cover)
    seen = e.score + _SCORE + 0.04 * coloured(rng, (n, 17), 0.3, fps) + 0.05 * rng.standard_normal((1, 17))
    low = np.where(rng.random((1, 17)) < e.bold, 0.75 * e.score, e.covered) + 0.1 * coloured(rng, (n, 17), 0.4, fps)
    scores = seen + cover * (low - seen)
    scores = np.where(outside > 0, np.minimum(scores, e.covered) * (1 - 0.6 * outside), scores)
    return np.clip(scores, 0.01, 0.999)


def _outside(px: F64, camera: Camera) -> F64:
    """(T, 17) 0 inside the picture .. 1 well outside."""
    size = np.array([camera.width_px, camera.height_px])
    beyond = np.maximum(-px, px - size).max(axis=2)
    return np.clip(beyond / (0.03 * camera.height_px), 0.0, 1.0)


def _spans(rng: np.random.Generator, n: int, fps: float, rate: float, mean_s: float) -> list[slice]:
    """Random spans of frames, ``rate`` per second, of exponential length."""
    count = int(rng.poisson(rate * n / fps)) if rate > 0 else 0
    starts = rng.integers(0, n, count)
    lengths = 1 + np.round(rng.exponential(mean_s * fps, count)).astype(int)
    return [slice(int(a), int(min(a + k, n))) for a, k in zip(starts, lengths, strict=True)]


def _swap(e: Estimator, rng: np.random.Generator, keypoints: F64, scores: F64, torso: F64, fps: float) -> None:
    """Exchange left and right of a part of the body, mostly where both sides lie close together in the picture."""
    for span in _spans(rng, len(keypoints), fps, e.swaps, 0.3):
        group = list(_GROUPS[int(rng.integers(len(_GROUPS)))])
        apart = np.abs(keypoints[span.start, 5, 0] - keypoints[span.start, 6, 0]) / torso[span.start]
        if apart > 0.35 and rng.random() < 0.9:
            continue
        twins = MIRROR[group]
        keypoints[span, group], scores[span, group] = keypoints[span, twins], scores[span, twins]


def _jump(e: Estimator, rng: np.random.Generator, keypoints: F64, scores: F64, torso: F64, fps: float) -> None:
    """Let a limb jump to its twin or to nowhere for a moment, as often surely as unsurely."""
    for span in _spans(rng, len(keypoints), fps, e.jumps, 0.25):
        limb = list(_LIMBS[int(rng.integers(len(_LIMBS)))])
        if rng.random() < 0.5:
            keypoints[span, limb] = keypoints[span, MIRROR[limb]]
        else:
            keypoints[span, limb] += rng.normal(0, 0.4, 2) * torso[span.start]
        if rng.random() < 0.5:
            scores[span, limb] = np.minimum(scores[span, limb], rng.uniform(0.05, VISIBLE_MIN + 0.2))


def _lost(e: Estimator, rng: np.random.Generator, n: int, fps: float) -> NDArray[np.bool_]:
    lost = rng.random(n) < e.drops
    for span in _spans(rng, n, fps, e.losses, 0.8):
        lost[span] = True
    return lost
