"""Pictures of our own making for recording what the original pose networks say: formulas only, so that a test makes
exactly the same ones without storing them."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

NAMES = ("noise", "waves", "figure", "figure_left", "two_figures", "lying")

_LIMBS = (  # from, to, radius, colour; shares of the picture
    ((0.46, 0.55), (0.45, 0.72), 0.030, (40, 50, 90)),  # thighs
    ((0.54, 0.55), (0.55, 0.72), 0.030, (40, 50, 90)),
    ((0.45, 0.72), (0.45, 0.89), 0.022, (205, 160, 130)),  # shins
    ((0.55, 0.72), (0.55, 0.89), 0.022, (205, 160, 130)),
    ((0.45, 0.90), (0.43, 0.91), 0.020, (230, 230, 230)),  # shoes
    ((0.55, 0.90), (0.57, 0.91), 0.020, (230, 230, 230)),
    ((0.47, 0.34), (0.48, 0.52), 0.050, (170, 40, 40)),  # trunk
    ((0.53, 0.34), (0.52, 0.52), 0.050, (170, 40, 40)),
    ((0.43, 0.32), (0.38, 0.45), 0.022, (205, 160, 130)),  # upper arms
    ((0.57, 0.32), (0.64, 0.42), 0.022, (205, 160, 130)),
    ((0.38, 0.45), (0.40, 0.57), 0.018, (205, 160, 130)),  # forearms
    ((0.64, 0.42), (0.60, 0.31), 0.018, (205, 160, 130)),
    ((0.50, 0.26), (0.50, 0.29), 0.025, (205, 160, 130)),  # neck
    ((0.50, 0.19), (0.50, 0.22), 0.045, (205, 160, 130)),  # head
    ((0.49, 0.155), (0.51, 0.155), 0.038, (50, 35, 25)),  # hair
    ((0.482, 0.195), (0.483, 0.195), 0.006, (30, 30, 30)),  # eyes
    ((0.518, 0.195), (0.517, 0.195), 0.006, (30, 30, 30)),
    ((0.50, 0.208), (0.50, 0.215), 0.006, (180, 130, 105)),  # nose
    ((0.488, 0.235), (0.512, 0.235), 0.004, (150, 70, 70)),  # mouth
)  # fmt: skip


def picture(name: str, size_px: int) -> NDArray[np.uint8]:
    """One of ``NAMES``: (size_px, size_px, 3) uint8 RGB."""
    if name == "noise":
        y, x, c = np.mgrid[:size_px, :size_px, :3].astype(np.uint64)
        mixed = (x * 7919 + y * 104729 + c * 1299709 + x * y * 31) * 2654435761 % 2**32
        return (mixed >> 24).astype(np.uint8)
    image = _waves(size_px)
    if name == "figure":
        _draw(image, 1.0, (0.0, 0.0))
    elif name == "figure_left":
        _draw(image, 0.7, (-0.22, 0.05))
    elif name == "two_figures":
        _draw(image, 0.75, (-0.2, 0.03))
        _draw(image, 0.65, (0.24, 0.07))
    elif name == "lying":
        _draw(image, 1.0, (0.0, 0.0))
        image = np.ascontiguousarray(np.rot90(image, -1))
    return image.clip(0, 255).astype(np.uint8)


def pictures(names: Sequence[str], size_px: int) -> NDArray[np.uint8]:
    """(N, size_px, size_px, 3) uint8 RGB."""
    return np.stack([picture(name, size_px) for name in names])


def _waves(size_px: int) -> NDArray[np.float64]:
    """A smooth wall above a smooth floor."""
    y, x = (np.mgrid[:size_px, :size_px] + 0.5) / size_px
    wall = 170 + 25 * np.sin(5 * x + 1) * np.cos(3 * y)
    floor = 110 + 20 * np.sin(9 * x) * y
    grey = np.where(y < 0.86, wall, floor)
    return grey[..., None] * np.array([1.0, 0.97, 0.9])


def _draw(image: NDArray[np.float64], scale: float, shift: tuple[float, float]) -> None:
    """A person of capsules into the picture, edges softened over a pixel."""
    size = image.shape[0]
    y, x = (np.mgrid[:size, :size] + 0.5) / size
    for begin, end, radius, colour in _LIMBS:
        a, b = (np.array(p) * scale + (1 - scale) / 2 + shift for p in (begin, end))
        along = b - a
        t = np.clip(((x - a[0]) * along[0] + (y - a[1]) * along[1]) / max(along @ along, 1e-12), 0, 1)
        distance = np.hypot(x - a[0] - t * along[0], y - a[1] - t * along[1]) - radius * scale
        cover = np.clip(0.5 - distance * size, 0, 1)[..., None]
        light = 1.0 - 0.35 * np.clip(distance / (radius * scale) + 1, 0, 1)[..., None]
        image += cover * (np.array(colour) * light - image)
