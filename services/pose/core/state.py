"""The snapshot of a pose processor: a version, a JSON header, and numbers as they are. No pickle.

Layout: ``b"FCPO"``, uint16 version, uint32 length of the header, header, float64 little-endian numbers.
"""

import json
import struct
from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np

from services.common.errors import InputError
from services.common.skeleton import K
from services.pose.core import appearance, similarity
from services.pose.core.geometry import Region
from services.pose.core.similarity import F64
from services.pose.core.tracking import State, Track

_MAGIC: Final = b"FCPO"
VERSION: Final = 1
_HEAD: Final = struct.Struct("<4sHI")


def pack(header: dict[str, Any], arrays: Iterable[F64]) -> bytes:
    """Bytes of a header (JSON types) and float64 arrays; the shapes are the reader's business."""
    text = json.dumps(header, separators=(",", ":")).encode()
    body = b"".join(np.ascontiguousarray(a, "<f8").tobytes() for a in arrays)
    return _HEAD.pack(_MAGIC, VERSION, len(text)) + text + body


def unpack(state: bytes) -> tuple[dict[str, Any], F64]:
    """The header and all numbers in one row.

    Raises:
        InputError: these are not the bytes of ``pack``, or those of another version.
    """
    if len(state) < _HEAD.size:
        raise InputError("the pose snapshot is cut off: start the stream anew")
    magic, version, length = _HEAD.unpack_from(state)
    if magic != _MAGIC or version != VERSION:
        raise InputError(
            f"the pose snapshot has version {version}, this program reads {VERSION}: start the stream anew"
        )
    try:
        header = json.loads(state[_HEAD.size : _HEAD.size + length])
        numbers = np.frombuffer(state, "<f8", offset=_HEAD.size + length)
    except ValueError as e:
        raise InputError("the pose snapshot is damaged: start the stream anew") from e
    return header, numbers


def _filter_shapes() -> tuple[tuple[int, ...], ...]:
    return ((1,), (K, 2), (K, 2), (K,), (K, 2), (K, 2), (K,))


_TRACK_SHAPES: Final = ((9,), (K, 2), (K,), (2,), (appearance.LENGTH,), *_filter_shapes())


def track_header(t: Track) -> list[int]:
    """The whole numbers of a track."""
    return [t.track_id, t.public_id, int(t.state), t.looks, int(t.appearance is not None)]


def track_arrays(t: Track) -> list[F64]:
    """The other numbers of a track, shapes as ``_TRACK_SHAPES``."""
    r = t.region
    scalars = [
        t.first_s, t.seen_s, t.size_px, t.appearance_s, t.searched_s, r.cx_px, r.cy_px, r.size_px, r.angle_rad,
    ]  # fmt: skip
    clothes = t.appearance if t.appearance is not None else np.zeros(appearance.LENGTH)
    return [np.array(scalars), t.keypoints, t.scores, t.velocity, clothes, *t.filter.arrays()]


def read_tracks(headers: Sequence[Sequence[int]], numbers: F64) -> tuple[list[Track], F64]:
    """The tracks, and the numbers that are left.

    Raises:
        InputError: there are too few numbers.
    """
    tracks = []
    for track_id, public_id, state, looks, dressed in headers:
        arrays = []
        for shape in _TRACK_SHAPES:
            size = int(np.prod(shape))
            if len(numbers) < size:
                raise InputError("the pose snapshot is cut off: start the stream anew")
            arrays.append(numbers[:size].reshape(shape).astype(np.float64))
            numbers = numbers[size:]
        s, keypoints, scores, velocity, clothes, *rest = arrays
        track = Track(
            track_id=track_id,
            state=State(state),
            first_s=float(s[0]),
            seen_s=float(s[1]),
            keypoints=keypoints,
            scores=scores,
            box=similarity.pose_box(keypoints, scores),
            size_px=float(s[2]),
            region=Region(*(float(v) for v in s[5:9])),
            velocity=velocity,
            looks=looks,
            public_id=public_id,
            appearance=clothes if dressed else None,
            appearance_s=float(s[3]),
            searched_s=float(s[4]),
        )
        track.filter.load(rest)
        tracks.append(track)
    return tracks, numbers
