"""Pictures as they travel between services."""

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from services.common.errors import InputError

JPEG_QUALITY: Final = 90
"""What it does to keypoints: ``python -m bench.jpeg``."""
MOST_BYTES: Final = 900_000
"""A record of Kafka holds 1 MB by default; one that does not fit would be refused again and again."""
_LOWER: Final = (75, 50, 25, 10)


def encode_jpeg(image: NDArray[np.uint8], quality: int = JPEG_QUALITY) -> bytes:
    """(H, W, 3) uint8 RGB → JPEG (4:2:0) of at most ``MOST_BYTES``.

    A picture that would be larger (only noise is, at the usual size) gets a lower quality.

    Raises:
        InputError: it does not fit at any.
    """
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    for attempt in (quality, *(q for q in _LOWER if q < quality)):
        done, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, attempt])
        if not done:
            raise RuntimeError(f"OpenCV cannot write a picture of shape {image.shape} as JPEG")
        if len(data) <= MOST_BYTES:
            return data.tobytes()
    height_px, width_px = image.shape[:2]
    raise InputError(
        f"a picture of {width_px} x {height_px} px does not fit {MOST_BYTES} bytes as JPEG; "
        "choose a smaller short_side_px"
    )


def decode_jpeg(data: bytes) -> NDArray[np.uint8]:
    """JPEG → (H, W, 3) uint8 RGB.

    Raises:
        InputError: it is no JPEG, or cut off at its head.
    """
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB) if data else None
    if image is None:
        raise InputError(f"{len(data)} bytes that should be a JPEG picture cannot be decoded; send them again")
    return np.asarray(image, np.uint8)
