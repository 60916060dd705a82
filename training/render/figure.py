"""A clothed figure: parts on bones, from a skeleton's measures and a look."""

from dataclasses import dataclass, field
from typing import Final

import numpy as np

from training.render.bones import B, Measures
from training.render.head import HeadLook, hair_mesh, head_mesh
from training.render.mesh import Colour, Mesh, capsule, ellipsoid, merge, tube

CUTS: Final = ("tee", "tank", "long_sleeve", "sports_top")
LEGWEAR: Final = ("shorts", "long_shorts", "leggings", "joggers")


@dataclass(frozen=True, slots=True)
class Look:
    """How a figure looks. Widths are factors, 1 = middling; colours sRGB in [0, 1].

    ``cut`` one of CUTS, ``legwear`` one of LEGWEAR; ``shirt_layer``: texture of the shirt (negative: plain).
    """

    head: HeadLook
    shirt: Colour = (0.16, 0.3, 0.62)
    legs: Colour = (0.13, 0.13, 0.16)
    shoes: Colour = (0.85, 0.85, 0.86)
    soles: Colour = (0.95, 0.95, 0.95)
    socks: Colour = (0.9, 0.9, 0.9)
    cut: str = "tee"
    legwear: str = "shorts"
    shirt_layer: int = -1
    arm: float = 1.0
    leg: float = 1.0
    torso: float = 1.0
    belly: float = 0.0
    bust: float = 0.0
    hips: float = 1.0
    weight_radius_m: float = 0.055
    weight_shape: str = "hex"  # hex | round
    weight_colour: Colour = field(default=(0.12, 0.12, 0.13))

    @property
    def skin(self) -> Colour:
        return self.head.skin


def shade(colour: Colour, by: float) -> Colour:
    r, g, b = (min(1.0, c * by) for c in colour)
    return r, g, b


def _torso_profile(look: Look, m: Measures) -> tuple[np.ndarray, ...]:
    """Fractions of the trunk's height from pelvis (0) to neck (1) with half widths, half depths and shifts, m."""
    shoulder, hip = m.shoulder_half / 0.185, look.hips * m.hip_half / 0.095
    f = np.array([-0.17, -0.08, 0.02, 0.16, 0.36, 0.56, 0.74, 0.86, 0.95, 1.0])
    wide = np.array([0.10, 0.160, 0.170, 0.160, 0.138, 0.150, 0.168, 0.170, 0.145, 0.085])
    mix = np.interp(f, [0.0, 0.6], [0, 1])
    rx = wide * look.torso * (hip * (1 - mix) + shoulder * mix)
    belly = look.belly * np.exp(-(((f - 0.3) / 0.2) ** 2))
    rz = np.array([0.08, 0.112, 0.116, 0.106, 0.095, 0.103, 0.114, 0.111, 0.094, 0.066]) * look.torso
    rz = rz + 0.05 * belly
    cz = np.array([0.0, -0.014, -0.014, -0.004, 0.004, 0.004, 0.006, 0.0, -0.008, -0.012]) + 0.035 * belly
    return f, rx + 0.025 * belly, rz, cz


def _trunk(look: Look, m: Measures, low: float, high: float, grow: float, caps: tuple[float, float]) -> Mesh:
    """The part of the trunk between two fractions of its height, bent between pelvis and chest."""
    f, rx, rz, cz = _torso_profile(look, m)
    at = np.unique(np.concatenate([[low], f[(f > low) & (f < high)], [high]]))
    height = m.lower_spine + m.upper_spine
    mesh = tube(
        at * height,
        np.interp(at, f, rx) + grow,
        np.interp(at, f, rz) + grow,
        cz=np.interp(at, f, cz),
        power=2.35,
        caps=caps,
        rings=14,
        segments=24,
    )
    vertices = mesh.vertices.copy()
    y = vertices["position"][:, 1].copy()
    # the two bones meet at the spine joint; a smooth hand-over keeps a bent back round
    weight = np.clip((y - m.lower_spine) / (0.7 * height) + 0.5, 0, 1)
    weight = weight * weight * (3 - 2 * weight)
    vertices["skin"] = np.stack([np.full_like(y, B["pelvis"]), np.full_like(y, B["chest"]), weight], 1)
    return Mesh(vertices, mesh.triangles)


def _trunk_parts(look: Look, m: Measures) -> list[Mesh]:
    pants = _trunk(look, m, -0.17, 0.2, 0.006, (0.03, 0.0)).painted(look.legs, 0.06)
    hem = {"sports_top": 0.36}.get(look.cut, 0.02)
    top = 0.93 if look.cut in ("tank", "sports_top") else 0.965
    shirt = _trunk(look, m, hem, top, 0.013, (0.0, 0.02)).painted(look.shirt, 0.05, look.shirt_layer)
    skin = _trunk(look, m, 0.1, 1.0, 0.0, (0.0, 0.02)).painted(look.skin, 0.1)
    band = _trunk(look, m, 0.13, 0.17, 0.010, (0.0, 0.0)).painted(shade(look.legs, 0.7), 0.05)
    # across the chest from shoulder to shoulder, where the collars meet the trunk
    height = m.lower_spine + m.upper_spine
    yoke = ellipsoid(
        (0, 0.83 * height, -0.002),
        (m.shoulder_half + 0.01, 0.17 * height, 0.119 * look.torso + 0.004),
        20,
    )
    bare = look.cut in ("tank", "sports_top")
    yoke = yoke.bound(B["chest"]).painted(look.skin if bare else look.shirt, 0.05)
    parts = [pants, shirt, skin, band] if bare else [pants, shirt, skin, band, yoke]
    if look.bust > 0:
        chest = 0.7 * (m.lower_spine + m.upper_spine)
        for s in (-1, 1):
            cup = ellipsoid((s * 0.056, chest, 0.05 * look.torso), (0.085, 0.085, 0.082 + 0.022 * look.bust), 18)
            parts.append(cup.bound(B["chest"]).painted(look.shirt, 0.05))
    return parts


def _neck_and_head(look: Look, m: Measures, face_layer: int) -> list[Mesh]:
    r = 0.054 * (0.5 + 0.5 * look.arm)
    neck = tube([-0.05, 0.0, m.neck * 0.5, m.neck], [r * 1.25, r * 1.12, r, r], caps=(0.02, 0.02), rings=10)
    parts = [neck.bound(B["neck"]).painted(shade(look.skin, 0.97), 0.08)]
    parts.append(head_mesh(look.head, face_layer).bound(B["head"]))
    hair = hair_mesh(look.head)
    return parts if hair is None else [*parts, hair.bound(B["head"])]


def _arm(look: Look, m: Measures, side: str, sign: int) -> list[Mesh]:
    a, upper, fore = look.arm, m.upper_arm, m.forearm
    bare = look.cut in ("tank", "sports_top")
    parts = []
    # trapezius and collar: from the neck to the shoulder joint
    collar = B[f"{side}_collar"]
    reach = float(np.hypot(m.shoulder_half, 0.06))
    cloth = 0.011 if not bare else 0.0
    deep, tall = np.array([0.05, 0.052, 0.057]) * a + cloth, np.array([0.05, 0.05, 0.056]) * a + cloth
    slope = tube([0.0, reach * 0.5, reach], deep, tall, caps=(0.03, 0.04))
    parts.append(slope.bound(collar).painted(look.skin if bare else look.shirt, 0.06))
    if bare:
        strap = tube([reach * 0.16, reach * 0.5], [0.056 * a, 0.058 * a], caps=(0.0, 0.0), rings=4)
        parts.append(strap.bound(collar).painted(look.shirt, 0.05))
    radii = np.array([0.058, 0.056, 0.051, 0.043, 0.041]) * a
    arm = tube(np.array([0.0, 0.25, 0.5, 0.85, 1.0]) * upper, radii, caps=(radii[0], radii[-1]))
    parts.append(arm.bound(B[f"{side}_upper"]).painted(look.skin, 0.12))
    r = np.array([0.041, 0.047, 0.045, 0.034, 0.027]) * a
    flat = np.array([0.041, 0.044, 0.041, 0.029, 0.021]) * a
    forearm = tube(np.array([0.0, 0.18, 0.38, 0.75, 1.0]) * fore, r, flat, caps=(r[0], 0.02))
    parts.append(forearm.bound(B[f"{side}_fore"]).painted(look.skin, 0.12))
    if not bare:
        parts += _sleeve(look, m, side, radii)
    return [*parts, *_hand(look, m, side)]


def _sleeve(look: Look, m: Measures, side: str, radii: np.ndarray) -> list[Mesh]:
    long = look.cut == "long_sleeve"
    end = 1.0 if long else 0.56
    at = np.array([0.0, 0.3, end]) * m.upper_arm
    size = np.interp(at, np.array([0, 0.25, 0.5, 0.85, 1]) * m.upper_arm, radii)
    grow = np.array([0.012, 0.011, 0.010 if long else 0.014])
    sleeve = tube(at, size + grow, caps=(float(size[0]) + 0.012, 0.04 if long else 0.0), rings=6)
    # a sleeve is a little darker than the trunk: of another piece, and turned away from the light from above
    tint = shade(look.shirt, 0.88)
    parts = [sleeve.bound(B[f"{side}_upper"]).painted(tint, 0.05)]
    if long:
        r = np.array([0.052, 0.055, 0.045, 0.037]) * look.arm
        lower = tube(np.array([0.0, 0.2, 0.7, 0.95]) * m.forearm, r, r * 0.92, caps=(float(r[0]), 0.0))
        cuff = tube(np.array([0.88, 0.96]) * m.forearm, r[3] + 0.003, r[3] * 0.92 + 0.003, rings=3)
        parts.append(lower.bound(B[f"{side}_fore"]).painted(tint, 0.05))
        parts.append(cuff.bound(B[f"{side}_fore"]).painted(shade(look.shirt, 0.6), 0.05))
    return parts


def _hand(look: Look, m: Measures, side: str) -> list[Mesh]:
    """A fist about the handle (x), with the wrist at -y."""
    a = 0.6 + 0.4 * look.arm
    back = ellipsoid((0, -0.02, 0), (0.041 * a, 0.05 * a, 0.027 * a))
    palm = ellipsoid((0, 0.008, 0.0), (0.043 * a, 0.034 * a, 0.031 * a))
    fingers = [
        capsule((x * a, 0.012, -0.024 * a), (x * a, 0.016, 0.024 * a), 0.0115 * a, 0.0115 * a, 8)
        for x in (-0.032, -0.011, 0.011, 0.032)
    ]
    thumb = capsule((0.03 * a, -0.02, 0.022 * a), (0.008 * a, 0.018, 0.032 * a), 0.012 * a, 0.010 * a, 8)
    tint = shade(look.skin, 0.96)
    return [p.bound(B[f"{side}_hand"]).painted(tint, 0.1) for p in (back, palm, *fingers, thumb)]


def _leg(look: Look, m: Measures, side: str) -> list[Mesh]:
    g, thigh, shin = look.leg, m.thigh, m.shin
    tight, loose = look.legwear == "leggings", look.legwear == "joggers"
    covered = tight or loose
    r = np.array([0.088 * look.hips, 0.084, 0.074, 0.058, 0.054]) * g
    at = np.array([0.0, 0.2, 0.5, 0.88, 1.0]) * thigh
    colour, gloss = (look.legs, 0.08) if covered else (look.skin, 0.1)
    upper = tube(at, r, caps=(float(r[0]) * 0.8, float(r[-1])), rings=9)
    parts = [upper.bound(B[f"{side}_thigh"]).painted(colour, gloss)]
    # local +z of a shin is backward: the calf
    cr = np.array([0.053, 0.056, 0.055, 0.040, 0.034]) * g
    cz = np.array([0.0, 0.010, 0.012, 0.006, 0.002])
    calf = tube(np.array([0.0, 0.2, 0.36, 0.75, 1.0]) * shin, cr, cz=cz, caps=(float(cr[0]), 0.03), rings=9)
    parts.append(calf.bound(B[f"{side}_shin"]).painted(colour, gloss))
    if not covered:
        end = {"shorts": 0.55, "long_shorts": 0.85}[look.legwear]
        to = np.array([0.0, 0.3, end]) * thigh
        size = np.interp(to, at, r) + np.array([0.012, 0.012, 0.02])
        short = tube(to, size, size * 1.03, caps=(float(size[0]) * 0.8, 0.0), rings=6)
        parts.append(short.bound(B[f"{side}_thigh"]).painted(look.legs, 0.06))
    if loose:
        size = np.interp(to := np.array([0.0, 0.4, 1.0]) * thigh, at, r) + np.array([0.012, 0.016, 0.02])
        leg = tube(to, size, caps=(float(size[0]) * 0.8, float(size[-1])), rings=6)
        parts.append(leg.bound(B[f"{side}_thigh"]).painted(look.legs, 0.05))
        wide = np.array([0.073, 0.07, 0.056, 0.046]) * g
        lower = tube(np.array([0.0, 0.3, 0.75, 0.93]) * shin, wide, cz=[0, 0.008, 0.004, 0], caps=(0.07, 0.0))
        parts.append(lower.bound(B[f"{side}_shin"]).painted(look.legs, 0.05))
    sock = tube(np.array([0.86, 1.0]) * shin, [0.0385 * g, 0.037 * g], caps=(0.0, 0.02), rings=3)
    parts.append(sock.bound(B[f"{side}_shin"]).painted(look.socks, 0.04))
    return [*parts, *_shoe(look, m, side)]


def _shoe(look: Look, m: Measures, side: str) -> list[Mesh]:
    """Along the foot's y from heel to toe; local +z is up (the foot's frame has x to the left)."""
    length = m.foot
    at = np.array([-0.06, 0.1, 0.35, 0.62, 0.85, 1.02]) * length
    wide = np.array([0.03, 0.037, 0.037, 0.045, 0.045, 0.032])
    tall = np.array([0.036, 0.046, 0.043, 0.034, 0.028, 0.022])
    up = tall + 0.004
    upper = tube(at, wide, tall, cz=up, power=2.5, caps=(0.012, 0.014), rings=9)
    sole = tube(at, wide + 0.004, np.full(6, 0.013), cz=0.013, power=3.0, caps=(0.014, 0.017), rings=9)
    collar = ellipsoid((0, 0.16 * length, 0.085), (0.036, 0.048, 0.032), 14)
    stripe = tube(at[2:4], wide[2:4] + 0.0025, tall[2:4] * 0.8, cz=up[2:4], power=2.5, rings=4)
    bone = B[f"{side}_foot"]
    return [
        upper.bound(bone).painted(look.shoes, 0.15),
        sole.bound(bone).painted(look.soles, 0.1),
        collar.bound(bone).painted(look.shoes, 0.1),
        stripe.bound(bone).painted(shade(look.shoes, 0.75), 0.1),
    ]


def figure_mesh(look: Look, measures: Measures, face_layer: int) -> Mesh:
    """Everything of one figure but what it holds, on bones 0..len(BONES)."""
    parts = [*_trunk_parts(look, measures), *_neck_and_head(look, measures, face_layer)]
    for side, sign in (("left", 1), ("right", -1)):
        parts += _arm(look, measures, side, sign)
        parts += _leg(look, measures, side)
    return merge(parts)
