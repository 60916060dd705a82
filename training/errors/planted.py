"""How well planted mistakes are named and clean repetitions left alone, on simulated people.

    python -m training.errors.planted [--exercise ID ...] [--seeds N] [--family F] [--values] [--json FILE]

Prints per exercise the share of clean repetitions without any error (and which errors blame them), and per planted
error the share of repetitions in which it is named at each degree, over the views in which it can be seen. ``--values``
prints what the error's measure reads instead: where limits and noise in the exercise files come from.
"""

import argparse
import json
import sys
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from services.common.types import Assessment
from services.errors.adapters.catalogue import load_catalogue
from services.errors.adapters.weights import SHIPPED as WEIGHTS
from services.errors.core.catalogue import Catalogue
from services.errors.core.processor import AssessProcessor
from training.errors.samples import simulated
from training.simulator.mistakes import MISTAKES
from training.simulator.trajectory import Family

AZIMUTHS = (0.0, 40.0, 90.0, -90.0, 180.0)
DEGREES = (0.3, 0.5, 0.7, 1.0)
LATE = {"RANGE_LOST", "TORSO_RISES", "TEMPO_UNEVEN"}
"""Errors of the whole set: only its last repetitions carry the planted degree."""
STANDS_FOR = {"ASYMMETRY": "UNEVEN_ARMS"}
"""Where an exercise has no error of that code, this one of its own says the same."""


@dataclass
class Tally:
    """Counts of one exercise."""

    clean: int = 0
    spotless: int = 0
    scores: list[float] = field(default_factory=list)
    blame: Counter[str] = field(default_factory=Counter)
    clean_by_view: dict[float, list[int]] = field(default_factory=lambda: defaultdict(lambda: [0, 0]))
    planted: dict[tuple[str, float], list[int]] = field(default_factory=lambda: defaultdict(lambda: [0, 0, 0]))
    beside: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    planted_scores: dict[tuple[str, float], list[float]] = field(default_factory=lambda: defaultdict(list))


def codes_of(catalogue: Catalogue, exercise: str, own: bool, chosen: Sequence[str] = ()) -> list[str]:
    """Planted codes that the exercise's file knows (or an error that stands for them)."""
    known = {e.code for e in catalogue[exercise].errors}
    general = {"ECCENTRIC_TOO_FAST", "TEMPO_UNEVEN", "RANGE_LOST", "ASYMMETRY", "JERKY"}
    return [
        code
        for code in MISTAKES.get(exercise, {})
        if (code in known or STANDS_FOR.get(code) in known)
        and not (own and code in general)
        and (not chosen or code in chosen)
    ]


def runs(
    catalogue: Catalogue, exercise: str, mistakes: dict[str, float], seeds: Sequence[int], family: Family,
    azimuths: Sequence[float] = AZIMUTHS,
) -> Iterator[tuple[float, Assessment]]:  # fmt: skip
    """(azimuth, assessment) of every repetition of the simulated sets, through the streaming processor."""
    code = next(iter(mistakes), "")
    for azimuth in azimuths:
        for seed in seeds:
            processor = AssessProcessor(catalogue)
            mixed = zlib.crc32(f"{exercise}{code}{azimuth}{seed}".encode())
            count = 7 if code in LATE else 4
            items = simulated(
                exercise,
                azimuth,
                mixed,
                mistakes=mistakes or None,
                family=family,
                repetitions=count,
            )
            last = len(items) - 2 if code in LATE else 0
            for index, (_, item) in enumerate(items):
                for assessment in processor.on_item(item):
                    if index >= last:
                        yield azimuth, assessment


def tally(
    catalogue: Catalogue,
    exercise: str,
    seeds: Sequence[int],
    family: Family,
    degrees: Sequence[float],
    codes: Sequence[str],
) -> Tally:
    """Everything about one exercise."""
    out = Tally()
    for azimuth, assessment in runs(catalogue, exercise, {}, [*seeds, *(s + 1000 for s in seeds)], family):
        blamed = [e.code for e in assessment.errors]
        out.clean += 1
        out.spotless += not blamed
        out.blame.update(blamed)
        out.scores.append(assessment.score)
        out.clean_by_view[azimuth][0] += not blamed
        out.clean_by_view[azimuth][1] += 1
    known = {e.code for e in catalogue[exercise].errors}
    for code in codes:
        target = code if code in known else STANDS_FOR[code]
        for degree in degrees:
            for _, assessment in runs(catalogue, exercise, {code: degree}, seeds, family):
                row = out.planted[(code, degree)]
                row[2] += 1
                if target in assessment.not_observable:
                    continue
                named = [e.code for e in assessment.errors]
                row[0] += target in named
                row[1] += 1
                out.planted_scores[(code, degree)].append(assessment.score)
                if degree >= 0.5:
                    out.beside[code].update(c for c in named if c != target)
    return out


def show(exercise: str, result: Tally, degrees: Sequence[float], codes: Sequence[str]) -> None:
    """Print one exercise's table."""
    views = "  ".join(f"{a:+.0f}°:{100 * n / max(m, 1):.0f}" for a, (n, m) in result.clean_by_view.items())
    share = 100 * result.spotless / max(result.clean, 1)
    print(f"\n{exercise}: clean {share:.1f} % of {result.clean} without error [{views}], "
          f"score {np.mean(result.scores):.1f}; blamed: {dict(result.blame.most_common(6))}")  # fmt: skip
    for code in codes:
        cells, seen, total = [], 0, 0
        for degree in degrees:
            named, observable, every = result.planted[(code, degree)]
            seen, total = seen + observable, total + every
            score = result.planted_scores[(code, degree)]
            cells.append(f"{100 * named / observable:4.0f} ({np.mean(score):3.0f})" if observable else "   -      ")
        beside = dict(result.beside[code].most_common(3))
        print(f"  {code:24s} {'  '.join(cells)}   seen {100 * seen / max(total, 1):3.0f} %  beside {beside}")


def show_values(
    catalogue: Catalogue,
    exercise: str,
    seeds: Sequence[int],
    family: Family,
    degrees: Sequence[float],
    codes: Sequence[str],
) -> None:
    """Print what each error's measure reads, clean and planted, per view: 10th, 50th, 90th percentile."""
    spec = catalogue[exercise]
    for error in spec.errors:
        if error.measure is None or error.code not in codes:
            continue
        print(f"\n{exercise} {error.code} {error.measure} {error.direction} {error.limits}")
        for degree in (0.0, *degrees):
            mistakes = {error.code: degree} if degree else {}
            rows: dict[float, list[float]] = defaultdict(list)
            for azimuth, assessment in runs(catalogue, exercise, mistakes, seeds, family):
                stem, unit = error.measure.rsplit("_", 1)
                names = (error.measure, f"{stem}_left_{unit}", f"{stem}_right_{unit}")
                found = [v for n in names if (v := assessment.measures.get(n)) is not None]
                if found:
                    rows[azimuth].append(max(found) if error.direction == "above" else min(found))
            cells = (
                f"{a:+.0f}°: " + "/".join(f"{v:.3g}" for v in np.percentile(r, [10, 50, 90])) for a, r in rows.items()
            )
            print(f"   {degree:.1f}  " + "   ".join(cells))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--exercise", nargs="*", default=sorted(MISTAKES))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--family", choices=["minimum_jerk", "held_out"], default="held_out")
    parser.add_argument("--degrees", nargs="*", type=float, default=list(DEGREES))
    parser.add_argument("--own", action="store_true", help="leave out the errors of every exercise")
    parser.add_argument("--code", nargs="*", default=[])
    parser.add_argument("--values", action="store_true")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    catalogue = load_catalogue(weights=WEIGHTS)
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    document: dict[str, Any] = {}
    named = observable = clean = spotless = 0
    for exercise in options.exercise:
        codes = codes_of(catalogue, exercise, options.own, options.code)
        if options.values:
            show_values(catalogue, exercise, seeds, options.family, options.degrees, codes)
            continue
        result = tally(catalogue, exercise, seeds, options.family, options.degrees, codes)
        show(exercise, result, options.degrees, codes)
        sys.stdout.flush()
        clean, spotless = clean + result.clean, spotless + result.spotless
        hits = [row for (_, degree), row in result.planted.items() if degree >= 0.5]
        named, observable = named + sum(r[0] for r in hits), observable + sum(r[1] for r in hits)
        document[exercise] = {
            "clean": result.clean,
            "spotless": result.spotless,
            "blame": dict(result.blame),
            "planted": {f"{c}@{d}": row for (c, d), row in result.planted.items()},
        }
    if clean:
        print(f"\nall: {100 * spotless / clean:.1f} % of {clean} clean repetitions without error; planted at degree "
              f"0.5 and more named on {100 * named / max(observable, 1):.1f} % of {observable} where seen")  # fmt: skip
    if options.json:
        options.json.write_text(json.dumps(document, indent=1))


if __name__ == "__main__":
    main()
