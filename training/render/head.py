"""A head: sculpted as a distance field seen from its middle, hair as a second shell, a painted face.

Head space: m, origin in the middle between the ears, x to the figure's left, y up, z forward; eyes and nose are
where ``bones.FACE`` says.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from training.render.bones import FACE
from training.render.mesh import Colour, Mesh, capsule, ellipsoid, from_arrays, grid_normals, grid_triangles, merge

F64 = NDArray[np.float64]

PAINT_PX: Final = 256
_PAINT_Y: Final = (-0.14, 0.16)  # m at the lower and upper edge of the face's paint
_CENTRE: Final = np.array([0.0, 0.01, 0.005])


@dataclass(frozen=True, slots=True)
class HeadLook:
    """``hair_style``: bald | buzz | short | swept | bob | long | bun | ponytail; ``beard``: 0 (shaved) .. 1."""

    skin: Colour
    hair: Colour = (0.16, 0.11, 0.08)
    hair_style: str = "short"
    beard: float = 0.0
    eyes: Colour = (0.3, 0.22, 0.15)
    lips: Colour = (0.68, 0.38, 0.35)
    jaw: float = 1.0  # width of the jaw, 1 = middling


def _ellipsoid(p: F64, centre: tuple[float, ...], radii: tuple[float, ...]) -> F64:
    q = (p - np.array(centre)) / np.array(radii)
    k = np.linalg.norm(q, axis=-1)
    return k * (k - 1) / np.maximum(np.linalg.norm(q / np.array(radii), axis=-1), 1e-9)


def _segment(p: F64, a: tuple[float, ...], b: tuple[float, ...], ra: float, rb: float) -> F64:
    pa, ba = p - np.array(a), np.array(b) - np.array(a)
    h = np.clip(pa @ ba / (ba @ ba), 0, 1)
    return np.linalg.norm(pa - h[..., None] * ba, axis=-1) - (ra + (rb - ra) * h)


def _blend(a: F64, b: F64, k: float) -> F64:
    h = np.clip(0.5 + 0.5 * (b - a) / k, 0, 1)
    return b * (1 - h) + a * h - k * h * (1 - h)


def skull(p: F64, jaw: float = 1.0) -> F64:
    """Signed distance (approximate), m, of points (..., 3) to the bare head."""
    d = _ellipsoid(p, (0, 0.045, -0.008), (0.076, 0.092, 0.096))
    d = _blend(d, _ellipsoid(p, (0, -0.035, 0.034), (0.058 * jaw, 0.068, 0.056)), 0.04)
    d = _blend(d, _ellipsoid(p, (0, -0.086, 0.062), (0.024 * jaw, 0.018, 0.022)), 0.03)
    x = np.abs(p[..., 0])
    q = np.stack([x, p[..., 1], p[..., 2]], -1)
    d = _blend(d, _ellipsoid(q, (0.04, -0.004, 0.062), (0.02, 0.017, 0.02)), 0.03)
    d = _blend(d, _segment(q, (0.0, 0.05, 0.083), (0.045, 0.05, 0.066), 0.011, 0.008), 0.015)
    d = -_blend(-d, _ellipsoid(q, (0.033, 0.028, 0.097), (0.02, 0.012, 0.016)), 0.012)
    d = _blend(d, _ellipsoid(q, (0.032, 0.029, 0.073), (0.015, 0.0125, 0.0125)), 0.004)
    d = _blend(d, _segment(p, (0, 0.04, 0.086), (0, 0.0, 0.101), 0.006, 0.0095), 0.012)
    d = _blend(d, _ellipsoid(q, (0.009, -0.007, 0.094), (0.009, 0.008, 0.01)), 0.006)
    d = _blend(d, _ellipsoid(p, (0, -0.039, 0.085), (0.024, 0.006, 0.009)), 0.006)
    return _blend(d, _ellipsoid(p, (0, -0.05, 0.083), (0.02, 0.006, 0.009)), 0.006)


def _radii(directions: F64, jaw: float) -> F64:
    """How far the surface is from the centre along unit directions (..., 3), m, by bisection."""
    low, high = np.full(directions.shape[:-1], 0.03), np.full(directions.shape[:-1], 0.2)
    for _ in range(18):
        middle = (low + high) / 2
        inside = skull(_CENTRE + directions * middle[..., None], jaw) < 0
        low, high = np.where(inside, middle, low), np.where(inside, high, middle)
    return (low + high) / 2


def _sphere(rows: int, columns: int) -> tuple[F64, F64, F64]:
    """Unit directions (rows, columns, 3), denser at the face, with latitude and longitude (0 = forward)."""
    lat = np.linspace(-np.pi / 2, np.pi / 2, rows)
    u = np.linspace(-1, 1, columns)
    lon = np.pi * (0.45 * u + 0.55 * u**3)
    lat, lon = np.meshgrid(lat, lon, indexing="ij")
    return np.stack([np.cos(lat) * np.sin(lon), np.sin(lat), np.cos(lat) * np.cos(lon)], -1), lat, lon


def head_mesh(look: HeadLook, layer: int) -> Mesh:
    """The skin of head and ears; the face is painted by texture ``layer`` (see ``face_paint``)."""
    directions, _, lon = _sphere(46, 57)
    p = _CENTRE + directions * _radii(directions, look.jaw)[..., None]
    step = 1e-3
    normals = np.stack([skull(p + step * e, look.jaw) - skull(p - step * e, look.jaw) for e in np.eye(3)], -1)
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    v = (p[..., 1] - _PAINT_Y[0]) / (_PAINT_Y[1] - _PAINT_Y[0])
    uv = np.stack([lon / (2 * np.pi) + 0.5, v], -1)
    triangles = grid_triangles(*p.shape[:2])[:, ::-1].copy()
    skin = from_arrays(p.reshape(-1, 3), normals.reshape(-1, 3), triangles, uv.reshape(-1, 2))
    skin = skin.painted((1, 1, 1), 0.12, layer)
    ears = [
        ellipsoid((s * FACE["ear_x"], 0.004, -0.006), (0.009, 0.032, 0.02), 14).painted(look.skin, 0.1) for s in (-1, 1)
    ]
    inner = (look.skin[0] * 0.8, look.skin[1] * 0.7, look.skin[2] * 0.68)
    ears += [
        ellipsoid((s * (FACE["ear_x"] + 0.005), 0.003, -0.002), (0.006, 0.02, 0.011), 10).painted(inner, 0.05)
        for s in (-1, 1)
    ]
    return merge([skin, *ears])


_THICKNESS: Final = {
    "buzz": 0.004, "short": 0.014, "swept": 0.022, "bob": 0.018, "long": 0.018, "bun": 0.010, "ponytail": 0.010,
}  # fmt: skip


def hair_mesh(look: HeadLook) -> Mesh | None:
    """The shell of hair (None for the bald), with what hangs or stands out of it."""
    if look.hair_style == "bald":
        return None
    directions, _, lon = _sphere(30, 41)
    radius = _radii(directions, look.jaw)
    y = (_CENTRE + directions * radius[..., None])[..., 1]
    turn = np.abs(lon)
    hairline = np.interp(
        turn, [0, 0.6, 0.95, 1.25, 1.55, 1.75, 2.2, np.pi], [0.098, 0.092, 0.07, 0.03, 0.012, 0.0, -0.05, -0.065]
    )
    if look.hair_style in ("bob", "long"):
        hairline = np.interp(turn, [0, 0.55, 0.9, 1.15, 1.4, np.pi], [0.1, 0.09, 0.06, -0.02, -0.06, -0.08])
    mask = np.clip((y - hairline) / 0.02, -1, 1)
    thick = _THICKNESS[look.hair_style]
    shell = np.where(mask > 0, thick * np.sqrt(np.maximum(mask, 0)), 0.02 * mask) - 0.001
    if look.hair_style == "swept":
        shell += 0.012 * np.clip(mask, 0, 1) * np.exp(-((turn / 0.9) ** 2)) * np.clip((y - 0.09) / 0.04, 0, 1)
    strands = 0.0012 * np.sin(lon * 46 + 7 * np.sin(y * 60)) * np.clip(mask, 0, 1)
    p = _CENTRE + directions * (radius + shell + (strands if thick > 0.005 else 0))[..., None]
    normals = grid_normals(p)
    normals[0], normals[-1] = (0, -1, 0), (0, 1, 0)
    triangles = grid_triangles(*p.shape[:2])[:, ::-1].copy()
    shell_mesh = from_arrays(p.reshape(-1, 3), normals.reshape(-1, 3), triangles)
    return merge([m.painted(look.hair, 0.22) for m in [shell_mesh, *_hanging(look.hair_style)]])


def _hanging(style: str) -> list[Mesh]:
    if style == "bun":
        return [ellipsoid((0, 0.085, -0.115), (0.036, 0.034, 0.032), 14)]
    if style == "ponytail":
        return [
            capsule((0, 0.07, -0.105), (0, 0.06, -0.135), 0.02, 0.022),
            capsule((0, 0.06, -0.135), (0, -0.12, -0.145), 0.024, 0.012),
        ]
    if style == "long":
        return [
            ellipsoid((0, -0.06, -0.075), (0.072, 0.12, 0.04), 18),
            *(capsule((s * 0.07, 0.02, -0.03), (s * 0.066, -0.13, -0.045), 0.022, 0.014) for s in (-1, 1)),
        ]
    if style == "bob":
        return [
            ellipsoid((0, -0.02, -0.07), (0.078, 0.07, 0.05), 18),
            *(capsule((s * 0.074, 0.03, -0.02), (s * 0.07, -0.055, -0.01), 0.02, 0.016) for s in (-1, 1)),
        ]
    return []


def _mix(image: F64, colour: Colour, weight: F64) -> None:
    image += (np.array(colour) - image) * np.clip(weight, 0, 1)[..., None]


def face_paint(look: HeadLook, rng: np.random.Generator) -> NDArray[np.uint8]:
    """(PAINT_PX, PAINT_PX, 3) texture of the head: u = longitude, v = height."""
    v, u = (np.mgrid[0:PAINT_PX, 0:PAINT_PX] + 0.5) / PAINT_PX
    y = _PAINT_Y[0] + v * (_PAINT_Y[1] - _PAINT_Y[0])
    lon = (u - 0.5) * 2 * np.pi
    x = 0.09 * np.sin(np.clip(lon, -np.pi / 2, np.pi / 2))
    front, ax, soft = np.cos(lon) > 0, np.abs(x), 0.0016
    image = np.ones((*x.shape, 3)) * np.array(look.skin)
    image *= 1 + rng.normal(0, 0.012, x.shape)[..., None]

    def oval(cx: float, cy: float, rx: float, ry: float, tilt: float = 0.0) -> F64:
        dx, dy = ax - cx, y - cy - tilt * (ax - cx)
        return np.where(front, 0.5 - (np.hypot(dx / rx, dy / ry) - 1) * min(rx, ry) / soft, 0.0)

    skin = np.array(look.skin)
    darker, red = tuple(skin * 0.62), (min(1, skin[0] * 1.02), skin[1] * 0.82, skin[2] * 0.8)
    _mix(image, red, 0.5 * np.exp(-((ax - 0.045) ** 2 + (y + 0.012) ** 2) / 2 / 0.016**2) * front)
    _mix(image, red, 0.5 * np.exp(-(ax**2 + (y + 0.004) ** 2) / 2 / 0.012**2) * front)
    _mix(image, darker, 0.55 * np.exp(-(((ax - 0.033) / 0.02) ** 2 + ((y - 0.032) / 0.012) ** 2)) * front)
    ex, ey = FACE["eye_x"], FACE["eye_y"] - 0.001
    _mix(image, (0.93, 0.92, 0.9), oval(ex, ey, 0.0135, 0.0062))
    _mix(image, look.eyes, oval(ex, ey, 0.0062, 0.0062) * (oval(ex, ey, 0.0135, 0.0062) > 0.3))
    _mix(image, (0.03, 0.03, 0.03), oval(ex, ey, 0.003, 0.003))
    _mix(image, (0.08, 0.06, 0.05), oval(ex + 0.001, ey + 0.0065, 0.0155, 0.0026, -0.12))
    brow = tuple(np.array(look.hair) * 0.85) if look.hair_style != "bald" else tuple(skin * 0.35)
    _mix(image, brow, 0.95 * oval(ex + 0.001, 0.053, 0.0195, 0.0042, -0.1))
    _mix(image, tuple(skin * 0.3), oval(0.0065, -0.0135, 0.0038, 0.0024))
    _mix(image, look.lips, oval(0.0, -0.0415, 0.0245, 0.0062))
    _mix(image, tuple(np.minimum(1, np.array(look.lips) * 1.1)), oval(0.0, -0.049, 0.02, 0.006))
    _mix(image, tuple(np.array(look.lips) * 0.4), oval(0.0, -0.0452, 0.0235, 0.0013))
    if look.beard > 0:
        jaw = (y < -0.018 + 0.9 * np.clip(ax - 0.045, 0, 1)) & (np.abs(lon) < 1.5) & (y > -0.13)
        moustache = oval(0.0, -0.028, 0.026, 0.0075)
        bare = np.clip(oval(0.0, -0.046, 0.026, 0.013), 0, 1)
        grain = 0.75 + 0.25 * rng.random(x.shape)
        _mix(image, look.hair, look.beard * grain * np.maximum(jaw * (1 - bare), moustache))
    return (np.clip(image, 0, 1) * 255).astype(np.uint8)
