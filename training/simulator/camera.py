"""A pinhole camera: where it stands, where it looks, and how it moves. Also what the renderer draws through."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]
_SIZES = ((640, 480), (640, 360), (480, 640), (360, 640), (1280, 720), (720, 1280), (480, 480))


@dataclass(frozen=True, slots=True)
class Camera:
    """A camera on a circle around ``target``.

    ``azimuth_deg``: 0 looks into the face of a person at heading 0, 90 sees their left side, 180 their back.
    ``fov_deg``: vertical field of view. ``pan_deg_s``: steady turn (positive: the picture slides to the left).
    ``shake_deg``: amplitude of a hand-held tremble, drawn with ``shake_seed``.
    """

    width_px: int = 640
    height_px: int = 480
    azimuth_deg: float = 30.0
    height_m: float = 1.3
    distance_m: float = 3.2
    roll_deg: float = 0.0
    fov_deg: float = 50.0
    target: tuple[float, float, float] = (0.0, 0.95, 0.0)
    pan_deg_s: float = 0.0
    shake_deg: float = 0.0
    shake_seed: int = 0

    @classmethod
    def sample(
        cls,
        rng: np.random.Generator,
        joints: NDArray[np.floating],
        *,
        size: tuple[int, int] | None = None,
        near: bool = False,
    ) -> "Camera":
        """Where someone might put a phone: any side (mostly the front half), any height, now and then too near so that
        the feet or the head are cut off.

        Args:
            joints: (T, 27, 3) m, the motion to frame; size: width and height of the picture, px; near: the trunk and
                arms fill the picture, the legs are cut off.
        """
        some = joints[::7]
        middle = np.median(some[:, 17], axis=0)
        spread = np.percentile(np.abs(some - some[:, 17:18]), 97, axis=(0, 1))
        tall = max(float(np.hypot(spread[1], 0.5 * spread[2])), 0.8)
        width, height = size or _SIZES[int(rng.integers(len(_SIZES)))]
        azimuth = float(rng.uniform(-100, 100)) if rng.random() < 0.8 else float(rng.uniform(-180, 180))
        distance = float(np.exp(rng.uniform(np.log(1.8), np.log(7.0))))
        fill = float(np.clip(rng.normal(0.72, 0.2), 0.3, 1.25)) * min(1.0, 1.3 * width / height)
        fov = float(np.degrees(2 * np.arctan(tall / fill / distance)))
        off = rng.normal(0, 0.12, 3) * tall
        if near:
            fov *= 1.0 / float(rng.uniform(1.3, 1.9))
            off[1] += float(rng.uniform(0.25, 0.45)) * tall
        moving = rng.random() < 0.25
        return cls(
            width, height, azimuth,
            height_m=float(rng.uniform(0.2, 2.3)), distance_m=distance,
            roll_deg=float(np.clip(rng.normal(0, 3), -9, 9)), fov_deg=float(np.clip(fov, 12, 95)),
            target=(float(middle[0] + off[0]), float(middle[1] + 0.05 + off[1]), float(middle[2] + off[2])),
            pan_deg_s=float(rng.normal(0, 0.25)) if moving else 0.0,
            shake_deg=float(rng.exponential(0.25)) if moving else 0.0, shake_seed=int(rng.integers(1 << 31)),
        )  # fmt: skip

    @property
    def focal_px(self) -> float:
        """Focal length, px."""
        return 0.5 * self.height_px / float(np.tan(np.radians(0.5 * self.fov_deg)))

    @property
    def eye(self) -> F64:
        """(3,) where it stands, m."""
        a = np.radians(self.azimuth_deg)
        x, _, z = self.target
        return np.array([x + self.distance_m * np.sin(a), self.height_m, z + self.distance_m * np.cos(a)])

    @property
    def axes(self) -> F64:
        """(3, 3) rows: right, down, forward of the picture in the world, before pan and shake."""
        forward = np.array(self.target) - self.eye
        forward /= np.linalg.norm(forward)
        right = np.cross(forward, np.array([0.0, 1.0, 0.0]))
        right /= np.linalg.norm(right)
        down = np.cross(forward, right)
        c, s = np.cos(np.radians(self.roll_deg)), np.sin(np.radians(self.roll_deg))
        return np.stack([c * right + s * down, c * down - s * right, forward])

    def drift_px(self, times_s: F64) -> F64:
        """(T, 2) by how much pan and shake slide the picture."""
        out = np.zeros((len(times_s), 2))
        px_per_deg = self.focal_px * np.pi / 180.0
        out[:, 0] = -self.pan_deg_s * px_per_deg * times_s
        if self.shake_deg:
            rng = np.random.default_rng(self.shake_seed)
            freq, phase = rng.uniform(0.4, 5.0, (2, 5)), rng.uniform(0, 2 * np.pi, (2, 5))
            waves = np.sin(2 * np.pi * freq * times_s[:, None, None] + phase) / np.sqrt(freq)
            out += self.shake_deg * px_per_deg * waves.sum(axis=2) * 0.5
        return out

    def view(self, points: NDArray[np.floating], times_s: F64 | None = None) -> tuple[F64, F64]:
        """Places in the picture and depth.

        Args:
            points: (T, N, 3) m; times_s: (T,) of the rows, for pan and shake (None: a still camera).
        Returns:
            (T, N, 2) px, origin top-left; (T, N) distance along the view axis, m (behind the camera: clamped to 5 cm).
        """
        local = (points - self.eye) @ self.axes.T
        depth = np.maximum(local[..., 2], 0.05)
        px = self.focal_px * local[..., :2] / depth[..., None] + np.array([0.5 * self.width_px, 0.5 * self.height_px])
        if times_s is not None and (self.pan_deg_s or self.shake_deg):
            px = px + self.drift_px(times_s)[:, None]
        return px, depth

    def project(self, points: NDArray[np.floating], times_s: F64 | None = None) -> F64:
        """(T, N, 2) px of points (T, N, 3) m; see ``view``."""
        return self.view(points, times_s)[0]
