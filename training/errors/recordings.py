"""The labelled repetitions of ``rmd`` as samples (MIT: they may be trained on), and which videos belong together."""

from pathlib import Path
from typing import Final

import numpy as np

from services.errors.core.catalogue import Catalogue
from services.errors.core.processor import AssessProcessor
from training.errors.dataset import F32, Collector, Samples, codes
from training.errors.rmd import SAYS, repetitions

DEGREE: Final = 0.8
"""What a label of a mistake counts as."""
TOLD_OF: Final = {
    "squat": ("TOO_SHALLOW", "KNEES_CAVE_IN", "TORSO_COLLAPSES", "STANCE_TOO_WIDE", "WEIGHT_SHIFT"),
    "lunge": ("TOO_SHALLOW", "KNEE_PAST_TOE", "KNEE_CAVES_IN", "TORSO_LEAN"),
}
"""Errors that a label speaks of by leaving them out; of others (tempo, step) only ``correct`` says something."""


def truth_of(exercise: str, label: str, order: tuple[str, ...], catalogue: Catalogue) -> F32:
    """(C,) degrees of a label; NaN where it says nothing."""
    out = np.full(len(order), np.nan, dtype=np.float32)
    own = {e.code for e in catalogue[exercise].errors if e.measure is not None}
    clean = own if label == "correct" else own.intersection(TOLD_OF[exercise])
    for code in clean:
        out[order.index(code)] = 0.0
    for part in label.split("+"):
        if part in SAYS and SAYS[part] in own:
            out[order.index(SAYS[part])] = DEGREE
    return out


def recorded(folder: Path, catalogue: Catalogue) -> tuple[Samples, list[str], list[str]]:
    """Samples, video and label of every labelled repetition of squats and lunges in ``folder`` (rmd)."""
    order, out = codes(catalogue), Collector(catalogue)
    processor, videos, labels = AssessProcessor(catalogue), [], []
    for video, label, event in repetitions(folder):
        degree = truth_of(event.exercise, label, order, catalogue)
        number = int(video.removeprefix("vid_"))
        out.add(processor.evidence(event), event.exercise, degree, float("nan"), number)
        videos.append(video)
        labels.append(label)
    return out.samples(), videos, labels


def folds(videos: list[str], mixed: set[str]) -> list[set[str]]:
    """Groups of videos to leave out together: each mixed one (those of one leg together), the others in three."""
    rest = sorted(set(videos) - mixed)
    alone = [{v} for v in sorted(mixed) if v not in ("vid_038", "vid_039")]
    return [*alone, mixed & {"vid_038", "vid_039"}, *(set(rest[k::3]) for k in range(3))]
