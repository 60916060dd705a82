"""Pictures as they travel between services."""

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from services.common.errors import InputError

JPEG_QUALITY: Final = 90
"""What it does to keypoints: ``python -m bench.jpeg``."""


def encode_jpeg(image: NDArray[np.uint8], quality: int = JPEG_QUALITY) -> bytes:
    """(H, W, 3) uint8 RGB → JPEG (4:2:0)."""
    done, data = cv2.imencode(
        ".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality]
    )  # fmt: skip
    if not done:
        raise RuntimeError(f"OpenCV cannot write a picture of shape {image.shape} as JPEG")
    return data.tobytes()


def decode_jpeg(data: bytes) -> NDArray[np.uint8]:
    """JPEG → (H, W, 3) uint8 RGB.

    Raises:
        InputError: it is no JPEG, or cut off at its head.
    """
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB) if data else None
    if image is None:
        raise InputError(f"{len(data)} bytes that should be a JPEG picture cannot be decoded; send them again")
    return np.asarray(image, np.uint8)
