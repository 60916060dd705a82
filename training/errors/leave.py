"""Learned parts whose heads were chosen with all recorded videos but some: for honest numbers on those."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from services.errors.adapters.catalogue import load_catalogue
from services.errors.core.catalogue import Catalogue
from training.errors.network import Settings, Trainer
from training.errors.recordings import folds, recorded
from training.errors.train import CACHE, simulated_samples, with_heads


def judged_without(
    folder: Path, mixed: set[str], seed: int, sets: int, fresh_sets: int, samples: Path | None
) -> Iterator[tuple[set[str], Catalogue]]:
    """(videos left out, catalogue whose learned part was chosen without them), group by group."""
    catalogue = load_catalogue(weights=None)
    keep = samples or CACHE
    simulated = simulated_samples(catalogue, seed, 0, sets, keep)
    fresh = simulated_samples(catalogue, seed, 1, fresh_sets, keep)
    real, videos, _ = recorded(folder, catalogue)
    settings = Settings()
    trainer = Trainer(simulated, seed, settings)
    trainer.fit(settings.epochs, settings.rate)
    for out in folds(videos, mixed):
        kept = np.flatnonzero([video not in out for video in videos])
        learned = with_heads(trainer, fresh, real.take(kept), catalogue)
        yield out, Catalogue({spec.id: spec for spec in catalogue}, learned)
