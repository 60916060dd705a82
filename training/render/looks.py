"""Random people, rooms, lights and cameras."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from training.render.camera import ViewCamera, unit
from training.render.figure import CUTS, LEGWEAR, Look
from training.render.head import HeadLook
from training.render.mesh import Colour
from training.render.props import RoomLook
from training.render.renderer import Lighting

F64 = NDArray[np.float64]

SKINS: Final[tuple[Colour, ...]] = (
    (0.93, 0.76, 0.66), (0.88, 0.68, 0.56), (0.80, 0.60, 0.47), (0.70, 0.50, 0.38), (0.55, 0.38, 0.28),
    (0.42, 0.28, 0.21), (0.33, 0.22, 0.17),
)  # fmt: skip
HAIRS: Final[tuple[Colour, ...]] = (
    (0.10, 0.08, 0.07), (0.20, 0.13, 0.09), (0.36, 0.23, 0.13), (0.62, 0.47, 0.28), (0.55, 0.26, 0.12),
    (0.62, 0.61, 0.60),
)  # fmt: skip
SHIRTS: Final[tuple[Colour, ...]] = (
    (0.16, 0.30, 0.62), (0.72, 0.15, 0.15), (0.90, 0.90, 0.88), (0.12, 0.12, 0.13), (0.15, 0.48, 0.30),
    (0.88, 0.55, 0.12), (0.45, 0.22, 0.55), (0.30, 0.65, 0.78), (0.55, 0.56, 0.58), (0.92, 0.82, 0.25),
)  # fmt: skip
LEGS: Final[tuple[Colour, ...]] = (
    (0.11, 0.11, 0.13), (0.15, 0.18, 0.32), (0.40, 0.41, 0.43), (0.24, 0.26, 0.20), (0.45, 0.14, 0.2),
)  # fmt: skip
SHOES: Final[tuple[Colour, ...]] = (
    (0.88, 0.88, 0.88), (0.14, 0.14, 0.15), (0.75, 0.2, 0.15), (0.2, 0.35, 0.7), (0.55, 0.8, 0.25)
)  # fmt: skip
WALLS: Final[tuple[Colour, ...]] = (
    (0.80, 0.81, 0.82), (0.72, 0.76, 0.80), (0.83, 0.79, 0.72), (0.60, 0.64, 0.66), (0.76, 0.70, 0.66),
    (0.56, 0.62, 0.60), (0.86, 0.86, 0.84),
)  # fmt: skip
FLOORS: Final[dict[str, tuple[Colour, ...]]] = {
    "rubber": ((0.30, 0.30, 0.32), (0.36, 0.37, 0.40)),
    "wood": ((0.72, 0.55, 0.38), (0.60, 0.43, 0.29), (0.78, 0.66, 0.50)),
    "tiles": ((0.66, 0.66, 0.65), (0.52, 0.53, 0.55)),
}


def _pick(rng: np.random.Generator, options: tuple[Colour, ...]) -> Colour:
    return options[int(rng.integers(len(options)))]


def tinted(rng: np.random.Generator, colour: Colour, by: float = 0.05) -> Colour:
    r, g, b = (float(np.clip(c * rng.normal(1.0, by), 0.03, 0.97)) for c in colour)
    return r, g, b


def _contrast(a: Colour, b: Colour) -> float:
    return float(np.abs(np.subtract(a, b)).sum())


def sample_head(rng: np.random.Generator, woman: bool) -> HeadLook:
    styles = ("bob", "long", "bun", "ponytail") if woman else ("short", "buzz", "swept", "short", "bald")
    skin = tinted(rng, _pick(rng, SKINS), 0.03)
    dark = skin[0] < 0.6
    return HeadLook(
        skin=skin,
        hair=tinted(rng, HAIRS[int(rng.integers(2 if dark else len(HAIRS)))]),
        hair_style=str(rng.choice(styles)),
        beard=float(rng.uniform(0.5, 0.9)) if not woman and rng.random() < 0.35 else 0.0,
        eyes=((0.3, 0.22, 0.15), (0.3, 0.42, 0.55), (0.28, 0.4, 0.28))[0 if dark else int(rng.integers(3))],
        lips=(skin[0] * 0.85, skin[1] * 0.62, skin[2] * 0.64),
        jaw=float(rng.uniform(0.85, 0.98) if woman else rng.uniform(0.97, 1.12)),
    )


def sample_look(rng: np.random.Generator, avoid: tuple[Colour, ...] = ()) -> Look:
    """A random figure; its shirt differs from its skin and from the colours to ``avoid``."""
    woman = bool(rng.random() < 0.5)
    head = sample_head(rng, woman)
    shirts = [s for s in SHIRTS if all(_contrast(s, a) > 0.45 for a in (*avoid, head.skin))] or list(SHIRTS)
    shirt = tinted(rng, shirts[int(rng.integers(len(shirts)))])
    legs = [c for c in LEGS if _contrast(c, shirt) > 0.3] or list(LEGS)
    cuts = CUTS if woman else CUTS[:3]
    wear = LEGWEAR if woman else ("shorts", "long_shorts", "joggers", "shorts")
    build = float(np.clip(rng.normal(1.0, 0.09), 0.82, 1.2))
    return Look(
        head=head,
        shirt=shirt,
        legs=tinted(rng, legs[int(rng.integers(len(legs)))]),
        shoes=_pick(rng, SHOES),
        socks=(0.9, 0.9, 0.9) if rng.random() < 0.6 else (0.15, 0.15, 0.16),
        cut=str(rng.choice(cuts)),
        legwear=str(rng.choice(wear)),
        arm=build * (0.88 if woman else 1.06),
        leg=build * float(rng.uniform(0.95, 1.08)),
        torso=build * (0.93 if woman else 1.03),
        belly=float(np.clip(rng.normal(0.1, 0.3), 0, 1)) * (build > 1.0),
        bust=float(rng.uniform(0.2, 0.8)) if woman else 0.0,
        hips=float(rng.uniform(1.03, 1.12)) if woman else float(rng.uniform(0.94, 1.02)),
        weight_radius_m=float(rng.uniform(0.042, 0.068)),
        weight_shape=str(rng.choice(["hex", "round"])),
        weight_colour=tinted(rng, _pick(rng, ((0.12, 0.12, 0.13), (0.3, 0.3, 0.32), (0.5, 0.12, 0.12)))),
    )


def sample_room(rng: np.random.Generator, facing_deg: float = 0.0, shirts: tuple[Colour, ...] = ()) -> RoomLook:
    """A room whose back wall lies opposite a camera at azimuth ``facing_deg``, in none of the shirts' colours."""
    kind = str(rng.choice(list(FLOORS)))
    walls = [w for w in WALLS if all(_contrast(w, s) > 0.3 for s in shirts)] or list(WALLS)
    bright = (float(rng.uniform(0.2, 0.8)), float(rng.uniform(0.2, 0.6)), float(rng.uniform(0.1, 0.6)))
    return RoomLook(
        half_width_m=float(rng.uniform(3.6, 6.0)),
        behind_m=float(rng.uniform(1.8, 3.2)),
        height_m=float(rng.uniform(2.7, 3.6)),
        yaw_deg=facing_deg + float(rng.uniform(-14, 14)),
        floor=tinted(rng, _pick(rng, FLOORS[kind])),
        wall=tinted(rng, walls[int(rng.integers(len(walls)))], 0.03),
        stripe=bright if rng.random() < 0.35 else None,
        clutter=int(rng.integers(2, 8)),
        mat=bright[::-1] if rng.random() < 0.4 else None,
        floor_kind=kind,
        wall_kind=str(rng.choice(["plaster", "plaster", "brick", "concrete"])),
    )


def sample_lighting(rng: np.random.Generator, facing_deg: float = 0.0) -> Lighting:
    """A key light somewhere behind the camera at azimuth ``facing_deg``, ambient light of another warmth."""
    azimuth = np.radians(facing_deg + rng.uniform(25, 70) * rng.choice([-1, 1]))
    height = np.radians(rng.uniform(38, 68))
    sun = (np.sin(azimuth) * np.cos(height), np.sin(height), np.cos(azimuth) * np.cos(height))
    other = 2 * np.radians(facing_deg) - azimuth
    warm, key = rng.uniform(-0.06, 0.08), rng.uniform(0.7, 1.0)
    sky = rng.uniform(0.4, 0.6)
    return Lighting(
        sun=(float(sun[0]), float(sun[1]), float(sun[2])),
        sun_colour=(float(key * (1 + warm)), float(key), float(key * (1 - 1.5 * warm))),
        fill=(float(np.sin(other)), 0.35, float(np.cos(other))),
        sky_colour=(float(sky), float(sky * 1.02), float(sky * 1.06)),
        exposure=float(rng.uniform(1.1, 1.45)),
    )


def framed(
    points: F64,
    azimuth_deg: float,
    *,
    height_m: float = 1.2,
    fov_deg: float = 42.0,
    size_px: tuple[int, int] = (640, 480),
    fill: float = 0.86,
    roll_deg: float = 0.0,
) -> ViewCamera:
    """A camera at that azimuth (0 = before a person at yaw 0) from which all points (..., 3) m fill the picture."""
    p = np.asarray(points, float).reshape(-1, 3)
    low, high = p.min(0), p.max(0)
    target = (low + high) / 2
    direction = np.array([np.sin(np.radians(azimuth_deg)), 0.0, np.cos(np.radians(azimuth_deg))])

    def at(distance: float) -> ViewCamera:
        x, y, z = (float(t) for t in target)
        eye = (x + float(direction[0]) * distance, height_m, z + float(direction[2]) * distance)
        return ViewCamera(eye, (x, y, z), fov_deg, *size_px, roll_deg)

    near, far = 2.2, 14.0
    half = np.array(size_px) / 2
    for _ in range(24):
        middle = (near + far) / 2
        px, depth = at(middle).project(p)
        inside = (depth > 0.3).all() and (np.abs(px - half) <= half * fill).all()
        near, far = (near, middle) if inside else (middle, far)
    return at(far)


def direction_of(azimuth_deg: float) -> F64:
    return unit([np.sin(np.radians(azimuth_deg)), 0.0, np.cos(np.radians(azimuth_deg))])
