"""Writes a scene as an H.264 file with its truth beside it."""

import json
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from training.render.scene import Scene, SceneRenderer
from training.render.truth import document, frame_truth


@dataclass(frozen=True, slots=True)
class Written:
    """``video`` and ``truth``: the files; ``frames_per_s``: how fast they were drawn, truth and encoding included."""

    video: Path
    truth: Path
    frames_per_s: float


def write_video(
    path: Path, images: Iterable[NDArray[np.uint8]], fps: float, *, crf: int = 26, preset: str = "veryfast"
) -> None:
    """(H, W, 3) uint8 RGB images → H.264, yuv420p, playable while it loads; appears by rename, whole."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial.mp4")
    rate = Fraction(fps).limit_denominator(1001)
    try:
        with av.open(str(partial), "w", options={"movflags": "+faststart"}) as container:
            stream = None
            for image in images:
                if stream is None:
                    stream = container.add_stream("libx264", rate=rate)
                    stream.height, stream.width = image.shape[:2]
                    stream.pix_fmt = "yuv420p"
                    # one thread and no scene detection: the same bytes on every machine
                    stream.options = {"crf": str(crf), "preset": preset, "threads": "1"}
                for packet in stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")):
                    container.mux(packet)
            if stream is not None:
                for packet in stream.encode():
                    container.mux(packet)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_scene(
    scene: Scene,
    folder: Path,
    name: str,
    *,
    view: str = "",
    crf: int = 26,
    preset: str = "veryfast",
    notes: dict[str, Any] | None = None,
) -> Written:
    """``folder/name.mp4`` and ``folder/name.json`` (see ``truth.document``); ``notes`` are added to the JSON."""
    folder.mkdir(parents=True, exist_ok=True)
    video, truth_path = folder / f"{name}.mp4", folder / f"{name}.json"
    truths = []
    started = time.perf_counter()
    with SceneRenderer(scene) as renderer:

        def images() -> Iterable[NDArray[np.uint8]]:
            for i in range(scene.frames):
                owners, depth = renderer.owners(i)
                truths.append(frame_truth(scene.actors, i, scene.camera, owners, depth))
                yield renderer.frame(i)

        write_video(video, images(), scene.fps, crf=crf, preset=preset)
    speed = scene.frames / (time.perf_counter() - started)
    text = json.dumps(document(scene, truths, video.name, view) | (notes or {}), separators=(",", ":"))
    partial = truth_path.with_name(f".{truth_path.name}.{os.getpid()}")
    partial.write_text(text)
    partial.replace(truth_path)
    return Written(video, truth_path, speed)
