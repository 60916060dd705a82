"""A pinhole camera that looks at a point."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

F64 = NDArray[np.float64]

NEAR_M, FAR_M = 0.2, 40.0


def unit(v: ArrayLike) -> F64:
    v = np.asarray(v, float)
    return v / np.maximum(np.linalg.norm(v, axis=-1, keepdims=True), 1e-12)


@dataclass(frozen=True, slots=True)
class ViewCamera:
    """``eye`` and ``target`` m in the world (y up), ``fov_deg`` vertical angle of view; pixels square."""

    eye: tuple[float, float, float]
    target: tuple[float, float, float]
    fov_deg: float = 40.0
    width_px: int = 640
    height_px: int = 480
    roll_deg: float = 0.0

    def axes(self) -> F64:
        """(3, 3) rows: right, up, backward in the world."""
        back = unit(np.subtract(self.eye, self.target))
        right = unit(np.cross([0.0, 1.0, 0.0], back))
        up = np.cross(back, right)
        c, s = np.cos(np.radians(self.roll_deg)), np.sin(np.radians(self.roll_deg))
        return np.stack([c * right + s * up, c * up - s * right, back])

    @property
    def focal_px(self) -> float:
        return float(self.height_px / 2 / np.tan(np.radians(self.fov_deg) / 2))

    def matrix(self) -> F64:
        """(4, 4) world → clip space, the picture's first row at clip y = -1 (so a read-back is upright)."""
        view = np.eye(4)
        view[:3, :3] = self.axes()
        view[:3, 3] = -view[:3, :3] @ np.asarray(self.eye, float)
        f = 1 / np.tan(np.radians(self.fov_deg) / 2)
        lens = np.zeros((4, 4))
        lens[0, 0], lens[1, 1] = f * self.height_px / self.width_px, -f
        lens[2, 2], lens[2, 3] = (FAR_M + NEAR_M) / (NEAR_M - FAR_M), 2 * FAR_M * NEAR_M / (NEAR_M - FAR_M)
        lens[3, 2] = -1.0
        return lens @ view

    def project(self, points: ArrayLike) -> tuple[F64, F64]:
        """(..., 3) m in the world → (..., 2) px, origin at the top-left corner, and (...) depth m along the axis."""
        p = np.asarray(points, float)
        local = (p - np.asarray(self.eye, float)) @ self.axes().T
        depth = -local[..., 2]
        scale = self.focal_px / np.where(np.abs(depth) < 1e-6, 1e-6, depth)
        px = np.stack([self.width_px / 2 + local[..., 0] * scale, self.height_px / 2 - local[..., 1] * scale], -1)
        return px, depth
