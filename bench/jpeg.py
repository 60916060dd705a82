"""What travelling as JPEG does to keypoints, and what it costs. ``python -m bench.jpeg``.

Each clip is analysed by the real pose stage from the picture as ``formcheck analyze`` sees it, from one scaled down to
the short side that frames travel at, and from that as JPEG of several qualities. Keypoints are compared joint by joint
(where both see it), relative to the person's torso; and beside it, how much they differ when nothing but the sensor's
noise does (one grey level, seeded): below that, a difference means nothing.
"""

import argparse
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from services.common.jpeg import JPEG_QUALITY, decode_jpeg, encode_jpeg
from services.common.skeleton import INDEX, VISIBLE_MIN
from services.common.types import LOCAL_STREAM, Frame, PoseFrame
from services.ingest.adapters.media import VideoReader
from services.ingest.core.streams import SHORT_SIDE_PX
from services.local.pipeline import ANALYSIS_SHORT_SIDE_PX
from services.pose.adapters.local import LocalPose
from services.pose.adapters.onnx import OnnxBackend
from services.pose.core.processor import PoseProcessor
from services.pose.core.profiles import Profile

ROOT = Path(__file__).resolve().parent.parent
U8 = NDArray[np.uint8]
_SHOULDERS = [INDEX["left_shoulder"], INDEX["right_shoulder"]]
_HIPS = [INDEX["left_hip"], INDEX["right_hip"]]


def read(path: Path, short_side_px: int, seconds: float, rate_fps: float | None) -> tuple[list[Frame], float]:
    """The frames, and px of the source per px of theirs."""
    with VideoReader(
        str(path), end_s=seconds, rate_fps=rate_fps, max_short_side_px=short_side_px, threads=1
    ) as reader:  # fmt: skip
        return list(reader), reader.scale


def poses(
    frames: list[Frame], scale: float, change: Callable[[U8], U8], profile: Profile, backend: OnnxBackend
) -> list[Any]:
    """Each frame's first person, keypoints in px of the source; None where there is none."""
    stage = LocalPose(PoseProcessor(profile, LOCAL_STREAM, people="main"), backend)
    found: list[Any] = []
    for frame in frames:
        changed = Frame(frame.stream, frame.sequence, frame.time_s, change(frame.image), frame.cut, frame.frozen)
        out: list[PoseFrame] = list(stage.on_item(changed))
        people = out[-1].people if out else ()
        found.append((people[0].keypoints * np.float32(scale), people[0].scores) if people else None)
    return found


def differences(a: list, b: list) -> tuple[NDArray[np.float64], int]:
    """Distances of the joints that both see, relative to the torso; and how many joints only one sees."""
    found: list[NDArray[np.float64]] = []
    unlike = 0
    for one, other in zip(a, b, strict=True):
        if one is None or other is None:
            unlike += 17 * ((one is None) != (other is None))
            continue
        torso_px = float(np.linalg.norm(one[0][_SHOULDERS].mean(0) - one[0][_HIPS].mean(0)))
        both = (one[1] >= VISIBLE_MIN) & (other[1] >= VISIBLE_MIN)
        unlike += int(((one[1] >= VISIBLE_MIN) != (other[1] >= VISIBLE_MIN)).sum())
        found.append(np.linalg.norm(one[0][both] - other[0][both], axis=1) / torso_px)
    return np.concatenate(found), unlike


def noisy(seed: int) -> Callable[[U8], U8]:
    rng = np.random.default_rng(seed)

    def change(image: U8) -> U8:
        moved = image.astype(np.int16) + rng.integers(-1, 2, image.shape, np.int16)
        return np.clip(moved, 0, 255).astype(np.uint8)

    return change


def full_colour(image: U8) -> U8:
    """Through a JPEG without colour subsampling (4:4:4)."""
    colour = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY, *colour])[1]
    return decode_jpeg(data.tobytes())


def costs(frames: list[Frame]) -> None:
    """Encoding and decoding, and FFmpeg's own encoder straight from YUV beside it."""
    images = [frame.image for frame in frames[:: max(1, len(frames) // 30)]]
    cv2.setNumThreads(1)

    def clock(run: Callable[[], object]) -> float:
        started = time.thread_time()
        run()
        return (time.thread_time() - started) / len(images) * 1e3

    data = [encode_jpeg(image) for image in images]
    height, width = images[0].shape[:2]
    print(
        f"CPU ms per {width}x{height} picture (quality {JPEG_QUALITY}, {np.mean([len(d) for d in data]) / 1e3:.1f} kB):"
    )
    print(f"  encode (OpenCV)      {clock(lambda: [encode_jpeg(image) for image in images]):6.2f}")
    print(f"  decode (OpenCV)      {clock(lambda: [decode_jpeg(d) for d in data]):6.2f}")
    context = av.CodecContext.create("mjpeg", "w")
    context.width, context.height, context.pix_fmt = width, height, "yuvj420p"
    context.time_base = Fraction(1, 25)
    context.options = {"qmin": "2", "qmax": "2"}
    planes = [av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format="yuvj420p") for image in images]
    print(f"  encode (FFmpeg, YUV) {clock(lambda: [context.encode(plane) for plane in planes]):6.2f}")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("files", nargs="*", type=Path, default=[ROOT / "assets" / "demo.mp4"])
    arguments.add_argument("--seconds", type=float, default=8.0)
    arguments.add_argument("--fps", type=float, default=None, help="default: every frame")
    arguments.add_argument("--short-side", type=int, default=SHORT_SIDE_PX)
    options = arguments.parse_args()
    profile = Profile.get("movenet")
    backend = OnnxBackend(profile, threads=1)
    for path in options.files:
        whole, whole_scale = read(path, ANALYSIS_SHORT_SIDE_PX, options.seconds, options.fps)
        small, scale = read(path, options.short_side, options.seconds, options.fps)
        reference = poses(whole, whole_scale, lambda image: image, profile, backend)
        ways: dict[str, tuple[list[Frame], float, Callable[[U8], U8]]] = {
            "noise of one grey level": (whole, whole_scale, noisy(1)),
            f"short side {options.short_side}": (small, scale, lambda image: image),
        }
        for quality in sorted({80, JPEG_QUALITY, 95}):
            ways[f"... and JPEG {quality}"] = small, scale, lambda i, q=quality: decode_jpeg(encode_jpeg(i, q))
        ways[f"... {JPEG_QUALITY}, full colour"] = small, scale, full_colour
        height, width = whole[0].image.shape[:2]
        print(f"{path.name}: {len(whole)} frames, {width}x{height}; difference of keypoints, % of torso length")
        print(f"{'':26}{'mean':>8}{'p95':>8}{'max':>8}{'joints seen by one only':>26}")
        for name, (frames, factor, change) in ways.items():
            found, unlike = differences(reference, poses(frames, factor, change, profile, backend))
            mean, p95, most = found.mean() * 100, np.percentile(found, 95) * 100, found.max() * 100
            print(f"{name:26}{mean:8.2f}{p95:8.2f}{most:8.2f}{unlike:18d} of {len(found) + unlike}")
        costs(small)


if __name__ == "__main__":
    main()
