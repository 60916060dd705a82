"""A camera and a pose network in a few lines, wide rather than faithful: any direction, lens, noise and rate."""

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from services.common.layouts import unsqueeze
from services.common.skeleton import INDEX, K

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

_LOOSE = np.array([0.5] * 5 + [0.7, 0.7, 1.0, 1.0, 1.3, 1.3, 1.0, 1.0, 1.0, 1.0, 1.2, 1.2])
"""How much a joint jitters relative to others."""


def quick_view(joints: F32, rng: np.random.Generator, fps: float, squeezed: bool = False) -> tuple[F32, F32]:
    """joints (T, 27, 3) m → keypoints (T, 17, 2) px, scores (T, 17): a random camera with slow drift.

    ``squeezed``: as from a data set whose axes are scaled frame by frame, rebuilt as the layout adapter does.
    """
    right, up, depth = _camera_space(joints.astype(np.float64), rng)
    n = len(joints)
    distance = float(np.exp(rng.uniform(np.log(1.6), np.log(7.0))))
    scale = 500.0 / (1.0 + depth / distance).clip(0.25, None)
    roll = float(rng.normal(0, 0.06))
    u, v = right * scale, -up * scale
    points = np.stack([u * np.cos(roll) - v * np.sin(roll), u * np.sin(roll) + v * np.cos(roll)], axis=-1)
    far = _far_side(depth[:, :K])
    noise = _jitter(n, fps, rng) * (1.0 + 1.2 * far)[..., None]
    scores = np.clip(rng.normal(0.85, 0.08, (1, K)) - 0.3 * far * rng.random() + _slow(n, rng), 0.05, 1.0)
    points[:, :K] += noise
    if not squeezed:
        return (points[:, :K] + 320.0).astype(np.float32), scores.astype(np.float32)
    deep = depth * 500.0 * float(rng.uniform(0.5, 1.2)) + 15.0 * rng.normal(0, 1, (1, len(joints[0])))
    body = np.concatenate([points, deep[..., None]], axis=-1)
    low, high = body.min(axis=1, keepdims=True), body.max(axis=1, keepdims=True)
    body = (body - low) / np.maximum(high - low, 1e-6)
    places = unsqueeze(body[:, :K].astype(np.float32), np.ones(n, np.bool_))
    return places * np.float32(500), np.ones((n, K), np.float32)


def _camera_space(joints: F64, rng: np.random.Generator) -> tuple[F64, F64, F64]:
    """Joints (T, J, 3) as right, up and away from a camera of random direction: three of (T, J), m."""
    n = len(joints)
    x = joints - joints[:, :K].reshape(-1, 3).mean(axis=0)
    azimuth, lift = float(rng.uniform(0, 2 * np.pi)), float(rng.normal(0.08, 0.16))
    if rng.random() < 0.1:
        lift = float(rng.uniform(0.3, 0.9))
    angle = azimuth + np.cumsum(rng.normal(0, 0.002, n)) * (rng.random() < 0.3)
    cos, sin = np.cos(angle)[:, None], np.sin(angle)[:, None]
    right = cos * x[..., 0] + sin * x[..., 2]
    away = sin * x[..., 0] - cos * x[..., 2]
    up = x[..., 1] * np.cos(lift) + away * np.sin(lift)
    return right, up, away * np.cos(lift) - x[..., 1] * np.sin(lift)


def _far_side(depth: F64) -> F64:
    """(T, 17) 0..1: how much a joint is behind its counterpart."""
    out = np.zeros_like(depth)
    for name, i in INDEX.items():
        if name.startswith("left_"):
            j = INDEX["right_" + name[5:]]
            gap = np.clip((depth[:, i] - depth[:, j]) / 0.3, -1, 1)
            out[:, i], out[:, j] = np.maximum(gap, 0), np.maximum(-gap, 0)
    return out


def _jitter(n: int, fps: float, rng: np.random.Generator) -> F64:
    """(T, 17, 2) px: noise coloured by an autoregression of 0.1–0.5 s plus a white part, plus a fixed bias."""
    level = float(np.exp(rng.uniform(np.log(1.0), np.log(9.0))))
    keep = float(np.exp(-1.0 / (fps * rng.uniform(0.08, 0.5))))
    white = rng.normal(0, 1, (n, K, 2))
    slow = lfilter([np.sqrt(1 - keep**2)], [1.0, -keep], white, axis=0)
    fast = 0.4 * rng.normal(0, 1, (n, K, 2))
    bias = rng.normal(0, 1.0, (1, K, 2))
    return np.asarray((slow + fast + bias) * level * _LOOSE[:, None])


def _slow(n: int, rng: np.random.Generator) -> F64:
    knots = np.linspace(0, 1, 12)
    values = rng.normal(0, 0.07, (12, K))
    return np.stack([np.interp(np.linspace(0, 1, n), knots, values[:, k]) for k in range(K)], axis=1)
