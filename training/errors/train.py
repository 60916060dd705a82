"""Trains the learned part of the errors and writes the shipped file.

    python -m training.errors.train --seed 0 [--out FILE]

1. Simulated sets with random mistakes (kept in ``--samples``; the law of motion that tests use is never among them).
2. The shared network on them.
3. Heads (calibration, threshold, views) on simulated sets that the network has not seen. Only those are kept that name
   their error better than its rule does, and no worse on the recorded repetitions of ``rmd``.
4. A short validation, whose numbers go into the side file.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from services.errors.adapters.catalogue import load_catalogue
from services.errors.adapters.weights import SHIPPED, save_learned
from services.errors.core.catalogue import Catalogue
from services.errors.core.learned import Learned
from training.errors.calibrate import heads
from training.errors.dataset import Samples, codes, collect, random_set
from training.errors.network import Settings, Trainer
from training.errors.recordings import recorded
from training.errors.validate import brief, look, summary

CHUNK: Final = 250
CHECK_SEED: Final = 77
DATA: Final = Path(os.environ.get("FORMCHECK_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))
CACHE: Final = Path(__file__).resolve().parents[2] / ".cache" / "errors"


def simulated_samples(catalogue: Catalogue, seed: int, part: int, sets: int, folder: Path | None) -> Samples:
    """So many random sets of a seed's part, in pieces that are kept in ``folder``."""
    pieces = []
    for start in range(0, sets, CHUNK):
        count = min(CHUNK, sets - start)
        path = None if folder is None else folder / f"{seed}-{part}-{start}-{count}.npz"
        if path is not None and path.exists():
            with np.load(path) as stored:
                pieces.append(Samples(*(stored[f.name] for f in fields(Samples))))
            continue
        made = collect(catalogue, (random_set((seed, part, start + i)) for i in range(count)))
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = path.with_suffix(f".{os.getpid()}.npz")
            np.savez(partial, **{f.name: getattr(made, f.name) for f in fields(Samples)})
            partial.replace(path)
        pieces.append(made)
        print(f"  {start + count} of {sets} sets", file=sys.stderr, flush=True)
    return Samples.join(pieces)


def with_heads(trainer: Trainer, fresh: Samples, real: Samples | None, catalogue: Catalogue) -> Learned:
    """The network with those heads that are worth it."""
    learned = trainer.learned(codes(catalogue))
    return replace(learned, heads=heads(learned, fresh, real, catalogue))


def _commit() -> str:
    try:
        return subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sets", type=int, default=3000, help="simulated sets to train on (four repetitions each)")
    parser.add_argument("--fresh", type=int, default=1000, help="simulated sets to calibrate on")
    parser.add_argument("--check", type=int, default=300, help="simulated sets of the short validation")
    parser.add_argument("--epochs", type=int, default=Settings().epochs)
    parser.add_argument("--no-rmd", action="store_true", help="choose heads by simulated people alone")
    parser.add_argument("--samples", type=Path, default=CACHE, help="where simulated samples are kept")
    parser.add_argument("--out", type=Path, default=SHIPPED)
    options = parser.parse_args(arguments)
    started = time.process_time()
    catalogue = load_catalogue(weights=None)
    simulated = simulated_samples(catalogue, options.seed, 0, options.sets, options.samples)
    fresh = simulated_samples(catalogue, options.seed, 1, options.fresh, options.samples)
    real = None if options.no_rmd else recorded(DATA / "rmd", catalogue)[0]
    settings = Settings(epochs=options.epochs)
    trainer = Trainer(simulated, options.seed, settings)
    trainer.fit(settings.epochs, settings.rate, lambda e, v: print(f"epoch {e + 1}: loss {v:.4f}", file=sys.stderr))
    learned = with_heads(trainer, fresh, real, catalogue)
    with_network = sum(head.model > 0 for head in learned.heads.values())
    about: dict[str, Any] = {
        "command": " ".join(["python -m training.errors.train", *(sys.argv[1:] if arguments is None else arguments)]),
        "seed": options.seed,
        "data": {
            "simulator": {"sets": options.sets, "repetitions": len(simulated), "to_calibrate": len(fresh)},
            "rmd (MIT), to choose heads": 0 if real is None else len(real),
        },
        "heads": {"with_network": with_network, "rule_calibrated": len(learned.heads) - with_network},
        "commit": _commit(),
        "settings": asdict(settings),
        "parameters": sum(w.size + b.size for w, b in learned.layers),
        "cpu_minutes": round((time.process_time() - started) / 60, 1),
        "numbers": {},
    }
    save_learned(options.out, learned, about)
    checked = load_catalogue(weights=options.out)
    about["numbers"] = brief(summary(*look(checked, CHECK_SEED, iter(range(options.check)))))
    save_learned(options.out, learned, about)
    print(json.dumps(about, indent=1))


if __name__ == "__main__":
    main()
