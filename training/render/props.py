"""Things in the gym: dumbbells, seats, benches, and the room with its floor, walls and clutter."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from training.render.mesh import Colour, Mesh, box, disc_prism, ellipsoid, from_arrays, merge, tube

F64 = NDArray[np.float64]

CHROME: Final[Colour] = (0.66, 0.67, 0.7)
LAYER_PX: Final = 256


def turned(degrees: float, axis: str = "y", shift: tuple[float, float, float] = (0, 0, 0)) -> F64:
    """(4, 4) rotation about a coordinate axis, then a shift."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    i, j = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]
    m = np.eye(4)
    m[i, i], m[i, j], m[j, i], m[j, j] = c, -s, s, c
    m[:3, 3] = shift
    return m


def dumbbell(radius_m: float, shape: str, colour: Colour) -> Mesh:
    """Along x, origin in the middle of the handle."""
    handle = tube([-0.085, -0.03, 0.03, 0.085], [0.014, 0.016, 0.016, 0.014], rings=6, segments=12)
    parts = [handle.moved(turned(90, "z")).painted(CHROME, 0.6)]
    half = 0.45 * radius_m + 0.012
    for s in (-1, 1):
        sides = 6 if shape == "hex" else 20
        head = disc_prism(sides, radius_m, half, 0.3 * half).moved(turned(0, shift=(s * (0.072 + half), 0, 0)))
        parts.append(head.painted(colour, 0.25))
        if shape == "round":
            rim = disc_prism(20, radius_m * 0.55, half * 1.04, 0.002)
            parts.append(rim.moved(turned(0, shift=(s * (0.072 + half), 0, 0))).painted(CHROME, 0.5))
    return merge(parts)


def seat(height_m: float, colour: Colour = (0.1, 0.1, 0.11)) -> Mesh:
    """A flat seat with its top at ``height_m``, centred on the origin."""
    pad = box((0, height_m - 0.035, 0), (0.17, 0.035, 0.2)).painted(colour, 0.2)
    legs = [
        box((x, (height_m - 0.07) / 2, z), (0.02, (height_m - 0.07) / 2, 0.02))
        for x in (-0.12, 0.12)
        for z in (-0.15, 0.15)
    ]
    return merge([pad, *(leg.painted((0.3, 0.3, 0.32), 0.3) for leg in legs)])


def bench(height_m: float, length_m: float = 1.25, colour: Colour = (0.12, 0.12, 0.13)) -> Mesh:
    """A flat bench along z, its top at ``height_m``, centred on the origin."""
    half = length_m / 2
    pad = box((0, height_m - 0.035, 0), (0.14, 0.035, half)).painted(colour, 0.2)
    frame = [box((0, height_m - 0.1, 0), (0.03, 0.03, half * 0.9))]
    for z in (-0.8 * half, 0.8 * half):
        frame.append(box((0, (height_m - 0.1) / 2, z), (0.025, (height_m - 0.1) / 2, 0.025)))
        frame.append(box((0, 0.02, z), (0.24, 0.02, 0.03)))
    return merge([pad, *(f.painted((0.55, 0.1, 0.1), 0.3) for f in frame)])


def plane(corner: F64, along: F64, up: F64, metres_per_tile: float) -> Mesh:
    """A rectangle from ``corner`` spanned by two vectors; its front is where along × up points."""
    points = np.array([corner, corner + along, corner + along + up, corner + up])
    n = np.cross(along, up)
    w, h = np.linalg.norm(along) / metres_per_tile, np.linalg.norm(up) / metres_per_tile
    uv = np.array([[0, 0], [w, 0], [w, h], [0, h]])
    normals = np.tile(n / np.linalg.norm(n), (4, 1))
    return from_arrays(points, normals, np.array([[0, 1, 2], [0, 2, 3]], np.int32), uv)


@dataclass(frozen=True, slots=True)
class RoomLook:
    """A box of a room around the origin, turned by ``yaw_deg``; layers index the paints (see ``room_paints``)."""

    half_width_m: float = 5.0
    behind_m: float = 2.5
    height_m: float = 3.2
    yaw_deg: float = 0.0
    floor: Colour = (0.5, 0.5, 0.5)
    wall: Colour = (0.75, 0.76, 0.78)
    skirting: Colour = (0.3, 0.3, 0.32)
    stripe: Colour | None = None
    clutter: int = 6
    mat: Colour | None = None
    floor_kind: str = "rubber"  # rubber | wood | tiles
    wall_kind: str = "plaster"  # plaster | brick | concrete


def _noise(rng: np.random.Generator, octaves: tuple[int, ...], size: int = LAYER_PX) -> F64:
    """(size, size) smooth tileable noise of unit standard deviation."""
    spectrum = np.fft.fft2(rng.normal(size=(size, size)))
    f = np.hypot(*np.meshgrid(np.fft.fftfreq(size) * size, np.fft.fftfreq(size) * size))
    shape = sum(np.exp(-((f - o) ** 2) / (2 * (0.5 * o) ** 2)) / max(o, 1) for o in octaves)
    out = np.fft.ifft2(spectrum * shape).real
    return out / out.std()


def room_paints(look: RoomLook, rng: np.random.Generator) -> list[NDArray[np.uint8]]:
    """Floor (2 m a tile) and wall (3 m a tile), (LAYER_PX, LAYER_PX, 3) each, to be multiplied by a colour."""
    y, x = np.mgrid[0:LAYER_PX, 0:LAYER_PX] / LAYER_PX
    floor = 0.9 + 0.02 * _noise(rng, (3, 12))
    if look.floor_kind == "rubber":
        specks = rng.random((LAYER_PX, LAYER_PX)) < 0.02
        floor = np.where(specks, floor * rng.uniform(0.7, 1.12, floor.shape), floor)
        gap = [np.minimum(a % 0.5, 0.5 - a % 0.5) < 0.003 for a in (x, y)]
        floor *= 1 - 0.25 * (gap[0] | gap[1])
    elif look.floor_kind == "wood":
        board = np.floor(x * 14).astype(int)
        tone = rng.uniform(0.78, 1.0, 14)[board]
        grain = _noise(rng, (4, 30))
        floor = tone + 0.02 * np.sin(2 * np.pi * (x * 60 + 0.4 * grain))
        joint = (y + rng.random(14)[board]) % 1.0 < 0.004
        floor *= 1 - 0.35 * ((x * 14 % 1 < 0.03) | joint)
    else:
        floor *= 1 - 0.2 * ((x % 0.25 < 0.006) | (y % 0.25 < 0.006))
    wall = 0.93 + 0.012 * _noise(rng, (2, 8)) + 0.008 * rng.normal(size=x.shape)
    if look.wall_kind == "brick":
        row = np.floor(y * 36).astype(int)
        column = np.floor(x * 12 + 0.5 * (row % 2)).astype(int)
        tone = rng.uniform(0.82, 1.0, (36, 13))[row, np.minimum(column, 12)]
        mortar = (y * 36 % 1 < 0.12) | ((x * 12 + 0.5 * (row % 2)) % 1 < 0.04)
        wall *= np.where(mortar, 0.97, tone)
    elif look.wall_kind == "concrete":
        wall += 0.03 * _noise(rng, (1, 4, 16))
    return [(np.clip(np.stack([p] * 3, -1), 0, 1) * 255).astype(np.uint8) for p in (floor, wall)]


def room_mesh(look: RoomLook, rng: np.random.Generator, floor_layer: int, wall_layer: int) -> Mesh:
    """The room seen from +z: floor, back and side walls, skirting and what stands at the back wall."""
    w, b, h, front = look.half_width_m, -look.behind_m, look.height_m, 9.0
    floor = plane(np.array([-w, 0, front]), np.array([2 * w, 0, 0]), np.array([0, 0, b - front]), 2.0)
    walls = [
        plane(np.array([-w, 0, b]), np.array([2 * w, 0, 0]), np.array([0, h, 0]), 3.0),
        plane(np.array([-w, 0, front]), np.array([0, 0, b - front]), np.array([0, h, 0]), 3.0),
        plane(np.array([w, 0, b]), np.array([0, 0, front - b]), np.array([0, h, 0]), 3.0),
    ]
    parts = [floor.painted(look.floor, 0.06, floor_layer)]
    parts += [m.painted(look.wall, 0.03, wall_layer) for m in walls]
    ceiling = plane(np.array([-w, h, b]), np.array([2 * w, 0, 0]), np.array([0, 0, front - b]), 3.0)
    parts.append(ceiling.painted((0.8, 0.8, 0.8), 0.0))
    parts.append(box((0, 0.05, b), (w, 0.05, 0.015)).painted(look.skirting, 0.1))
    for s in (-1, 1):
        side = box((s * w, 0.05, (b + front) / 2), (0.015, 0.05, (front - b) / 2))
        parts.append(side.painted(look.skirting, 0.1))
    if look.stripe is not None:
        parts.append(box((0, 1.05, b), (w, 0.06, 0.004)).painted(look.stripe))
    if look.mat is not None:
        parts.append(box((0.0, 0.004, 0.1), (0.9, 0.004, 0.6)).painted(look.mat, 0.05))
    parts += _clutter(look, rng)
    return merge(parts).moved(turned(look.yaw_deg))


def _clutter(look: RoomLook, rng: np.random.Generator) -> list[Mesh]:
    """Posters, a window, a rack, plates and balls along the back wall."""
    b, w = -look.behind_m, look.half_width_m
    spots = rng.permutation(np.linspace(-0.85 * w, 0.85 * w, max(look.clutter, 1)))
    out: list[Mesh] = []
    for x in spots[: look.clutter]:
        # balls stand out into the room: not in the middle, where the lifter is
        near = ["ball", "box"] if abs(x) > 1.2 else ["rack"]
        kind = rng.choice(["poster", "window", "rack", "plates", "kettlebells", *near])
        red, green, blue = (float(c) for c in rng.uniform(0.2, 0.85, 3))
        out += [m.moved(turned(0, shift=(float(x), 0, b))) for m in _thing(str(kind), (red, green, blue), rng)]
    return out


def _thing(kind: str, tint: Colour, rng: np.random.Generator) -> list[Mesh]:
    """One piece of clutter about x = 0, standing before the wall at z = 0."""
    dark = (0.15, 0.15, 0.16)
    if kind == "poster":
        u, v = rng.uniform(0.2, 0.4), rng.uniform(0.3, 0.5)
        frame = box((0, 1.7, 0.01), (u, v, 0.012)).painted(dark, 0.2)
        sheet = box((0, 1.7, 0.02), (u - 0.03, v - 0.03, 0.006)).painted(tint)
        bar = box((0, 1.6, 0.024), (u * 0.6, 0.03, 0.004)).painted((0.9, 0.9, 0.88))
        return [frame, sheet, bar]
    if kind == "window":
        pane = box((0, 1.75, 0.005), (0.55, 0.6, 0.01)).painted((0.96, 0.98, 1.0), 0.3)
        bars = [box((x, 1.75, 0.02), (0.025, 0.63, 0.012)) for x in (-0.56, 0, 0.56)]
        bars += [box((0, y, 0.02), (0.56, 0.025, 0.012)) for y in (1.14, 1.75, 2.36)]
        return [pane, *(m.painted((0.85, 0.85, 0.85)) for m in bars)]
    if kind == "rack":
        parts = [box((x, 0.5, 0.2), (0.025, 0.5, 0.15)).painted(dark, 0.2) for x in (-0.6, 0.6)]
        for y in (0.35, 0.8):
            parts.append(box((0, y, 0.2), (0.6, 0.015, 0.14)).painted((0.35, 0.35, 0.37), 0.3))
            for x in np.linspace(-0.5, 0.5, 6):
                bell = dumbbell(0.05, "hex", (0.1, 0.1, 0.1)).moved(turned(90, shift=(float(x), y + 0.06, 0.2)))
                parts.append(bell)
        return parts
    if kind == "plates":
        return [
            disc_prism(24, r, 0.02, 0.005).moved(turned(8, "z", (x, r, 0.12))).painted(c, 0.2)
            for r, x, c in ((0.22, -0.1, tint), (0.18, 0.0, dark), (0.15, 0.1, (0.7, 0.15, 0.12)))
        ]
    if kind == "ball":
        return [ellipsoid((0, 0.3, 0.4), (0.3, 0.3, 0.3), 24).painted(tint, 0.3)]
    if kind == "kettlebells":
        return [ellipsoid((x, 0.1, 0.25), (0.1, 0.1, 0.1), 16).painted(dark, 0.3) for x in (-0.25, 0.0, 0.25)]
    return [box((0, 0.25, 0.4), (0.3, 0.25, 0.25)).painted((0.62, 0.46, 0.3), 0.05)]
