"""Triangle meshes of round things: tubes, ellipsoids, boxes, each bound to one or two bones.

Lengths in metres, in the local space of the bone; triangles are wound anticlockwise seen from outside.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import PchipInterpolator

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
Colour = tuple[float, float, float]

VERTEX: Final = np.dtype(
    [
        ("position", "f4", 3),
        ("normal", "f4", 3),
        ("colour", "f4", 4),  # r, g, b in [0, 1] (sRGB), gloss
        ("skin", "f4", 3),  # first bone, second bone, weight of the second
        ("paint", "f4", 3),  # u, v, texture layer (negative: none)
        ("owner", "f4"),  # 0 the room, 1.. figures
    ]
)


@dataclass(frozen=True, slots=True, eq=False)
class Mesh:
    """``vertices`` (V,) of dtype VERTEX, ``triangles`` (M, 3) int32 indices."""

    vertices: NDArray[np.void]
    triangles: NDArray[np.int32]

    def bound(self, bone: int) -> "Mesh":
        """The same mesh, carried wholly by ``bone``."""
        vertices = self.vertices.copy()
        vertices["skin"] = (bone, bone, 0.0)
        return Mesh(vertices, self.triangles)

    def painted(self, colour: Colour, gloss: float = 0.1, layer: int = -1) -> "Mesh":
        vertices = self.vertices.copy()
        vertices["colour"] = (*colour, gloss)
        vertices["paint"][:, 2] = layer
        return Mesh(vertices, self.triangles)

    def moved(self, matrix: ArrayLike) -> "Mesh":
        """Transformed by an affine (4, 4) matrix; normals by its inverse transpose."""
        m = np.asarray(matrix, float)
        vertices = self.vertices.copy()
        vertices["position"] = self.vertices["position"] @ m[:3, :3].T + m[:3, 3]
        normals = self.vertices["normal"] @ np.linalg.inv(m[:3, :3])
        vertices["normal"] = normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
        triangles = self.triangles if np.linalg.det(m[:3, :3]) > 0 else self.triangles[:, ::-1].copy()
        return Mesh(vertices, triangles)

    def owned(self, owner: int, bone_offset: int) -> "Mesh":
        vertices = self.vertices.copy()
        vertices["owner"] = owner
        vertices["skin"][:, :2] += bone_offset
        return Mesh(vertices, self.triangles)


def from_arrays(positions: F64, normals: F64, triangles: NDArray[np.int32], uv: F64 | None = None) -> Mesh:
    """A white mesh on bone 0 from (V, 3) positions and normals."""
    vertices = np.zeros(len(positions), VERTEX)
    vertices["position"], vertices["normal"] = positions, normals
    vertices["colour"] = (1, 1, 1, 0.1)
    vertices["paint"][:, 2] = -1
    if uv is not None:
        vertices["paint"][:, :2] = uv
    return Mesh(vertices, triangles)


def merge(meshes: Sequence[Mesh]) -> Mesh:
    offsets = np.cumsum([0, *(len(m.vertices) for m in meshes[:-1])])
    triangles = [m.triangles + int(o) for m, o in zip(meshes, offsets, strict=True)]
    return Mesh(np.concatenate([m.vertices for m in meshes]), np.concatenate(triangles).astype(np.int32))


def grid_triangles(rows: int, columns: int) -> NDArray[np.int32]:
    """Triangles of a (rows, columns) grid of vertices, columns not joined at the seam."""
    i = np.arange(rows * columns).reshape(rows, columns)
    a, b, c, d = (x.ravel() for x in (i[:-1, :-1], i[:-1, 1:], i[1:, 1:], i[1:, :-1]))
    return np.concatenate([np.stack([a, d, c], 1), np.stack([a, c, b], 1)]).astype(np.int32)


def grid_normals(p: F64) -> F64:
    """Normals of a (rows, columns, 3) grid whose last column repeats the first."""
    along = np.gradient(p, axis=0)
    wrapped = np.concatenate([p[:, -2:-1], p, p[:, 1:2]], axis=1)
    around = wrapped[:, 2:] - wrapped[:, :-2]
    normals = np.cross(around, along)
    length = np.linalg.norm(normals, axis=2, keepdims=True)
    return normals / np.maximum(length, 1e-12)


def superellipse(angles: F64, power: float) -> tuple[F64, F64]:
    """(sin, cos) bent towards a rounded square as ``power`` grows from 2 (a circle)."""
    s, c = np.sin(angles), np.cos(angles)
    return np.sign(s) * np.abs(s) ** (2 / power), np.sign(c) * np.abs(c) ** (2 / power)


def tube(
    y: ArrayLike,
    rx: ArrayLike,
    rz: ArrayLike | None = None,
    *,
    cx: ArrayLike = 0.0,
    cz: ArrayLike = 0.0,
    power: float = 2.0,
    caps: tuple[float, float] = (0.0, 0.0),
    rings: int = 8,
    segments: int = 14,
) -> Mesh:
    """A closed tube around the y axis through control rings, smoothly interpolated.

    ``y`` (n,) increasing; ``rx``, ``rz`` half axes; ``cx``, ``cz`` shift of each ring; ``caps``: how far the
    rounded ends stand out beyond the first and the last ring (0: flat). u runs around (0 at -z), v along y.
    """
    y = np.asarray(y, float)
    controls = np.stack(
        [np.broadcast_to(np.asarray(a, float), y.shape) for a in (rx, rx if rz is None else rz, cx, cz)], 1
    )
    at = np.linspace(y[0], y[-1], rings)
    values = PchipInterpolator(y, controls)(at) if len(y) > 2 else _linear(y, controls, at)
    turn = np.linspace(0, np.pi / 2, 4)
    head_y, tail_y = y[0] - caps[0] * np.cos(turn[:-1]), y[-1] + caps[1] * np.sin(turn[1:])
    head = values[:1] * np.stack([np.sin(turn[:-1])] * 2 + [np.ones(3)] * 2, 1)
    tail = values[-1:] * np.stack([np.cos(turn[1:])] * 2 + [np.ones(3)] * 2, 1)
    at, values = np.concatenate([head_y, at, tail_y]), np.concatenate([head, values, tail])
    values[:, :2] = np.maximum(values[:, :2], 1e-4)
    angles = np.linspace(-np.pi, np.pi, segments + 1)
    s, c = superellipse(angles, power)
    p = np.empty((len(at), segments + 1, 3))
    p[..., 0] = values[:, 2:3] + values[:, 0:1] * s
    p[..., 1] = at[:, None]
    p[..., 2] = values[:, 3:4] + values[:, 1:2] * c
    normals = grid_normals(p)
    normals[0], normals[-1] = (0, -1, 0), (0, 1, 0)
    uv = np.stack(np.broadcast_arrays((angles + np.pi)[None] / (2 * np.pi), at[:, None]), 2)
    triangles = grid_triangles(len(at), segments + 1)[:, ::-1].copy()
    return from_arrays(p.reshape(-1, 3), normals.reshape(-1, 3), triangles, uv.reshape(-1, 2))


def _linear(y: F64, controls: F64, at: F64) -> F64:
    return np.stack([np.interp(at, y, column) for column in controls.T], 1)


def capsule(a: ArrayLike, b: ArrayLike, ra: float, rb: float, segments: int = 10) -> Mesh:
    """A tapered capsule from ``a`` to ``b``, (3,) m."""
    a, b = np.asarray(a, float), np.asarray(b, float)
    length = float(np.linalg.norm(b - a))
    body = tube([0, length], [ra, rb], caps=(ra, rb), rings=2, segments=segments)
    y = (b - a) / length
    hint = np.eye(3)[int(np.argmin(np.abs(y)))]
    x = np.cross(y, hint)
    x /= np.linalg.norm(x)
    m = np.eye(4)
    m[:3, 0], m[:3, 1], m[:3, 2], m[:3, 3] = x, y, np.cross(x, y), a
    return body.moved(m)


def ellipsoid(centre: ArrayLike, radii: ArrayLike, segments: int = 12) -> Mesh:
    lat, lon = np.linspace(-np.pi / 2, np.pi / 2, segments // 2 + 1), np.linspace(-np.pi, np.pi, segments + 1)
    d = np.stack(
        np.broadcast_arrays(
            np.cos(lat)[:, None] * np.sin(lon), np.sin(lat)[:, None], np.cos(lat)[:, None] * np.cos(lon)
        ),
        2,
    ).reshape(-1, 3)
    radii = np.asarray(radii, float)
    normals = d / radii
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    triangles = grid_triangles(len(lat), len(lon))[:, ::-1].copy()
    return from_arrays(np.asarray(centre, float) + d * radii, normals, triangles)


def box(centre: ArrayLike, half: ArrayLike) -> Mesh:
    """An axis-aligned box with flat faces; uv in metres on each face."""
    half = np.asarray(half, float)
    points, normals, uvs, triangles = [], [], [], []
    for axis in range(3):
        for sign in (-1.0, 1.0):
            n = np.zeros(3)
            n[axis] = sign
            u, v = np.eye(3)[(axis + 1) % 3] * sign, np.eye(3)[(axis + 2) % 3]
            for a, b in ((-1, -1), (1, -1), (1, 1), (-1, 1)):
                points.append((n + a * u + b * v) * half)
                normals.append(n)
                uvs.append((a * abs(u @ half), b * abs(v @ half)))
            o = len(points) - 4
            triangles += [(o, o + 1, o + 2), (o, o + 2, o + 3)]
    return from_arrays(
        np.asarray(points) + np.asarray(centre, float),
        np.asarray(normals),
        np.asarray(triangles, np.int32),
        np.asarray(uvs),
    )


def disc_prism(sides: int, radius: float, half_length: float, bevel: float) -> Mesh:
    """A prism (hexagonal weight, round plate) about the x axis, flat shaded, with a bevelled rim."""
    turn = np.linspace(0, 2 * np.pi, sides + 1)[:-1]
    rim = np.stack([np.zeros(sides), np.cos(turn), np.sin(turn)], 1)
    xs = (-half_length, -half_length + bevel, half_length - bevel, half_length)
    scale = (radius - bevel, radius, radius, radius - bevel)
    rings = [rim * s + np.array([x, 0, 0]) for x, s in zip(xs, scale, strict=True)]
    points: list[F64] = []
    for lower, upper in pairwise(rings):
        for k in range(sides):
            a, b, c, d = lower[k], upper[k], upper[(k + 1) % sides], lower[(k + 1) % sides]
            points += [a, b, c, a, c, d]
    for ring, sign in ((rings[0], -1), (rings[-1], 1)):
        for k in range(1, sides - 1):
            points += [ring[0], ring[k], ring[k + 1]][::sign]
    p = np.asarray(points).reshape(-1, 3, 3)
    flat = np.cross(p[:, 1] - p[:, 0], p[:, 2] - p[:, 0])
    flat /= np.linalg.norm(flat, axis=1, keepdims=True)
    inward = np.einsum("ij,ij->i", flat, p.mean(1)) < 0
    p[inward] = p[inward][:, ::-1]
    flat[inward] *= -1
    triangles = np.arange(3 * len(p), dtype=np.int32).reshape(-1, 3)
    return from_arrays(p.reshape(-1, 3), np.repeat(flat, 3, axis=0), triangles)
