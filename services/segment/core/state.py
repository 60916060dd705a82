"""Snapshots: nested dicts and lists of numbers, text and arrays as bytes, without pickle."""

import json
import struct
import zlib
from typing import Any, Final

import numpy as np

from services.common.errors import InputError

_MAGIC: Final = b"fcs1"


def pack(tree: dict[str, Any]) -> bytes:
    """Serialise; the same tree gives the same bytes."""
    blobs: list[bytes] = []

    def flat(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            blobs.append(np.ascontiguousarray(value).tobytes())
            return {"$": [value.dtype.str, list(value.shape), len(blobs[-1])]}
        if isinstance(value, dict):
            return {str(k): flat(v) for k, v in value.items()}
        if isinstance(value, list | tuple):
            return [flat(v) for v in value]
        if isinstance(value, np.generic):
            return value.item()
        return value

    head = json.dumps(flat(tree), separators=(",", ":")).encode()
    return _MAGIC + zlib.compress(struct.pack("<I", len(head)) + head + b"".join(blobs), 6)


def unpack(data: bytes) -> dict[str, Any]:
    """The tree again. Raises InputError for bytes that ``pack`` did not make."""
    if data[:4] != _MAGIC:
        raise InputError("This is not a snapshot of the segment stage, or one of another version.")
    try:
        raw = zlib.decompress(data[4:])
        (size,) = struct.unpack_from("<I", raw)
        tree = json.loads(raw[4 : 4 + size])
    except (zlib.error, struct.error, ValueError) as e:
        raise InputError(f"The snapshot of the segment stage is damaged: {e}.") from e
    at = 4 + size

    def full(value: Any) -> Any:
        nonlocal at
        if isinstance(value, dict) and set(value) == {"$"}:
            dtype, shape, length = value["$"]
            array = np.frombuffer(raw, np.dtype(dtype), length // np.dtype(dtype).itemsize, at).reshape(shape)
            at += length
            return array.copy()
        if isinstance(value, dict):
            return {k: full(v) for k, v in value.items()}
        if isinstance(value, list):
            return [full(v) for v in value]
        return value

    result = full(tree)
    assert isinstance(result, dict)
    return result
