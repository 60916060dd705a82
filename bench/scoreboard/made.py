"""The data sets that we make ourselves: fresh simulated clips, and rendered videos through the pose network."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.scoreboard.datasets import DataSet, Item, Loaded
from bench.scoreboard.metrics import TrueRep
from bench.scoreboard.poses import PoseSource
from bench.scoreboard.simulate import STANDS_FOR, SimClip, all_clips, clip_frames
from services.errors.core.catalogue import Catalogue
from training.render.cache import rendered_folder
from training.render.clips import Clip, ensure_clips
from training.render.clips import all_clips as all_rendered
from training.simulator.mistakes import MISTAKES


def simulated(catalogue: Catalogue, seeds: int) -> DataSet:
    """Fresh seeds, law of motion held out, poses with the pose network's noise."""
    items = [
        Item(
            clip.name,
            clip.exercise,
            _simulated(clip),
            frozenset({clip.exercise}),
            planted=clip.mistake,
            code=clip.code,
        )
        for clip in all_clips(catalogue, list(MISTAKES), range(seeds))
    ]
    return DataSet("simulator", "fresh simulator seeds", items, note="held-out law of motion")


def _simulated(clip: SimClip) -> Callable[[], Loaded]:
    def load() -> Loaded:
        motion, frames = clip_frames(clip)
        truth = [
            TrueRep(r.onset_s, r.offset_s, r.turn_s, None, dict(r.mistakes)) for r in motion.repetitions if r.counted
        ]
        return Loaded(frames, frames[-1].time_s, truth)

    return load


def rendered(catalogue: Catalogue, poses: PoseSource, render: bool, seed: int = 0) -> DataSet:
    """The 24 rendered clips; made only when asked for."""
    folder, clips = rendered_folder(f"clips-{seed}"), all_rendered(seed)
    title = "rendered clips"
    if render:
        ensure_clips(folder, clips)
    if not all((folder / f"{c.name}.mp4").is_file() and (folder / f"{c.name}.json").is_file() for c in clips):
        return DataSet("rendered", title, absent="not rendered for this version of the simulator (add --render)")
    return DataSet("rendered", title, [_rendered_item(catalogue, folder, c, poses) for c in clips])


def _rendered_item(catalogue: Catalogue, folder: Path, clip: Clip, poses: PoseSource) -> Item:
    known = {e.code for e in catalogue[clip.exercise].errors}
    code = clip.mistake if clip.mistake in known else STANDS_FOR.get(clip.mistake or "")

    def load() -> Loaded:
        frames = poses.of(folder / f"{clip.name}.mp4")
        return Loaded(frames, frames[-1].time_s, _truth(json.loads((folder / f"{clip.name}.json").read_text())))

    return Item(clip.name, clip.exercise, load, frozenset({clip.exercise}), planted=clip.mistake, code=code)


def _truth(document: dict[str, Any]) -> list[TrueRep]:
    """The lifter's counted repetitions."""
    return [
        TrueRep(r["onset_s"], r["offset_s"], r["turn_s"], None, r["mistakes"])
        for r in document["people"][0]["repetitions"]
        if r["counted"]
    ]
