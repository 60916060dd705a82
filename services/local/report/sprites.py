"""Text panels to lay over video frames, with OpenCV's built-in anti-aliased sans-serif font."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

Colour = tuple[int, int, int]  # RGB

INK: Final[Colour] = (255, 255, 255)
SOFT: Final[Colour] = (196, 202, 212)
BACK: Final[Colour] = (16, 19, 24)
_BACK_ALPHA: Final = 0.72
_LINE: Final = 1.3  # line height / font size
_FONT: Final = cv2.FontFace("sans")


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a panel. ``dot``: a coloured dot before the text."""

    text: str
    size_px: int
    colour: Colour = INK
    weight: int = 400
    dot: Colour | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Sprite:
    """A small picture with its opacity, ready to be laid over a frame."""

    rgb: NDArray[np.float32]  # (h, w, 3), times alpha already
    keep: NDArray[np.float32]  # (h, w, 1), 1 - alpha

    @property
    def size(self) -> tuple[int, int]:
        """Width and height, px."""
        return self.keep.shape[1], self.keep.shape[0]

    def draw(self, image: NDArray[np.uint8], x: int, y: int) -> None:
        """Lay it over ``image`` with its top left corner at (x, y); what sticks out is cut off."""
        width, height = self.size
        x0, y0 = max(0, x), max(0, y)
        x1, y1 = min(image.shape[1], x + width), min(image.shape[0], y + height)
        if x1 <= x0 or y1 <= y0:
            return
        part = slice(y0 - y, y1 - y), slice(x0 - x, x1 - x)
        under = image[y0:y1, x0:x1]
        under[...] = (under * self.keep[part] + self.rgb[part] + 0.5).astype(np.uint8)


def text_width(text: str, size_px: int, weight: int = 400) -> int:
    """Width of one line of text, px."""
    _, _, width, _ = cv2.getTextSize((0, 0), text, (0, 0), _FONT, size_px, weight)
    return int(width)


@lru_cache(maxsize=64)
def wrap(text: str, size_px: int, width_px: int, weight: int = 400, most: int = 4) -> tuple[str, ...]:
    """Break text between words so that no line is wider than ``width_px``; a word that is, is cut.

    More than ``most`` lines end in an ellipsis.
    """
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and text_width(longer, size_px, weight) <= width_px:
            lines[-1] = longer
            continue
        while len(word) > 1 and text_width(word, size_px, weight) > width_px:
            fits = next(
                (n for n in range(len(word) - 1, 1, -1) if text_width(word[:n], size_px, weight) <= width_px), 1
            )
            lines.append(word[:fits])
            word = word[fits:]
        lines.append(word)
    if len(lines) > most:
        lines = [*lines[: most - 1], lines[most - 1].rstrip(".,;: ") + " …"]
    return tuple(lines)


@lru_cache(maxsize=64)
def panel(lines: tuple[Line, ...], pad_px: int) -> Sprite:
    """A dark, rounded, slightly transparent panel with lines of text, as wide as its text."""
    indents = [round(line.size_px * 0.9) if line.dot else 0 for line in lines]
    widths = [i + text_width(line.text, line.size_px, line.weight) for i, line in zip(indents, lines, strict=True)]
    heights = [round(line.size_px * _LINE) for line in lines]
    width, height = max(widths) + 2 * pad_px, sum(heights) + round(1.4 * pad_px)
    rgb = np.full((height, width, 3), BACK, dtype=np.float32)
    alpha = np.full((height, width, 1), _BACK_ALPHA, dtype=np.float32) * _rounded(height, width, pad_px)
    y = round(0.7 * pad_px)
    for line, indent, line_height in zip(lines, indents, heights, strict=True):
        cover = np.zeros((height, width, 3), dtype=np.uint8)
        base = (pad_px + indent, y + round(line.size_px * 1.02))
        cv2.putText(cover, line.text, base, (255, 255, 255), _FONT, line.size_px, line.weight)
        _paint(rgb, alpha, cover, line.colour)
        if line.dot:
            cover = np.zeros((height, width, 3), dtype=np.uint8)
            centre = (pad_px + round(line.size_px * 0.3), y + round(line_height * 0.52))
            cv2.circle(cover, centre, max(2, round(line.size_px * 0.27)), (255, 255, 255), -1, cv2.LINE_AA)
            _paint(rgb, alpha, cover, line.dot)
        y += line_height
    return Sprite((rgb * alpha).astype(np.float32), (1 - alpha).astype(np.float32))


def _paint(rgb: NDArray[np.float32], alpha: NDArray[np.float32], cover: NDArray[np.uint8], colour: Colour) -> None:
    share = cover[..., :1].astype(np.float32) / 255
    rgb[...] = rgb * (1 - share) + np.asarray(colour, np.float32) * share
    alpha[...] = alpha * (1 - share) + share


def _rounded(height: int, width: int, radius: int) -> NDArray[np.float32]:
    mask = np.zeros((height, width), dtype=np.uint8)
    r = min(radius, height // 2, width // 2)
    cv2.rectangle(mask, (r, 0), (width - 1 - r, height - 1), 255, -1)
    cv2.rectangle(mask, (0, r), (width - 1, height - 1 - r), 255, -1)
    for x in (r, width - 1 - r):
        for y in (r, height - 1 - r):
            cv2.circle(mask, (x, y), r, 255, -1, cv2.LINE_AA)
    return np.asarray(mask[..., None] / np.float32(255), dtype=np.float32)
