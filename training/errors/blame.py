"""Which errors clean repetitions are blamed for: per exercise, error and view, at true and at found boundaries.

    python -m training.errors.blame [--sets N] [--first K] [--exercise ID ...] [--true] [--weights FILE]
                                   [--worst N]

Simulated clean sets of every exercise (any variant, a law of motion that nothing was trained on, the pose network's
usual noise) from every view, ``--sets`` of each. *true*: boundaries as the motion has them, give or take 0.06 s;
*found*: those of the shipped segmentation network, which is told the exercise. A share is that of the repetitions in
which the error can be seen. No training uses these seeds.
"""

import argparse
import sys
import zlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from services.common.processor import Mark, MarkKind
from services.common.types import LOCAL_STREAM, PoseFrame, Repetition, Status, TrackedPose
from services.errors.adapters.catalogue import load_catalogue
from services.errors.core.catalogue import Catalogue
from services.errors.core.processor import AssessProcessor
from services.segment.adapters.onnx import OnnxRecurrentNetwork
from services.segment.core.network import RecurrentNetwork
from services.segment.core.processor import SegmentProcessor
from training.errors.samples import camera_at, events
from training.simulator.exercises import VARIANTS
from training.simulator.generate import make_motion
from training.simulator.mistakes import MISTAKES
from training.simulator.plans import usual_side
from training.simulator.view import observe

AZIMUTHS: Final = {"front": 0.0, "three-quarter": 42.0, "side": 90.0, "back": 180.0}
"""View → azimuth of the camera, give or take 8°; from left or right."""
PART: Final = 17
"""Sets this apart from every other use of small seeds."""
KINDS: Final = ("true", "found")


@dataclass(frozen=True, slots=True)
class CleanSet:
    """The repetitions of one set without any mistake, by where their boundaries are from."""

    exercise: str
    view: str
    true: list[Repetition]
    found: list[Repetition]


def clean_set(exercise: str, view: str, seed: int, network: RecurrentNetwork | None) -> CleanSet:
    """One simulated set of 4–6 clean repetitions; the same arguments give the same set. No network: none found."""
    rng = np.random.default_rng([seed, PART, zlib.crc32(f"{exercise}/{view}".encode())])
    variant = int(rng.integers(len(VARIANTS[exercise])))
    motion = make_motion(
        exercise, rng, repetitions=int(rng.integers(4, 7)), family="held_out", variant=variant,
        side=usual_side(VARIANTS[exercise][variant].sides, rng), lead_s=0.8,
    )  # fmt: skip
    sign = float(rng.choice([-1.0, 1.0]))
    camera = camera_at(sign * AZIMUTHS[view], rng, lying=motion.support == "bench")
    keypoints, scores = observe(motion, camera, rng)
    true = [event for _, event in events(motion, keypoints, scores, rng)]
    if network is None:
        return CleanSet(exercise, view, true, [])
    segment = SegmentProcessor(network, exercise=exercise)
    found: list[Repetition] = []
    for i, (k, s) in enumerate(zip(keypoints, scores, strict=True)):
        box = np.concatenate([k.min(0), k.max(0)]).astype(np.float32)
        people = (TrackedPose(1, k, s, box),) if (s > 0).any() else ()
        frame = PoseFrame(LOCAL_STREAM, i, i / motion.fps, camera.width_px, camera.height_px, people)
        found += [o for o in segment.on_item(frame) if isinstance(o, Repetition)]
    end = Mark(LOCAL_STREAM, MarkKind.EOF, (len(keypoints) - 1) / motion.fps)
    found += [o for o in segment.on_mark(end) if isinstance(o, Repetition)]
    return CleanSet(exercise, view, true, [r for r in found if r.status is Status.CONFIRMED])


@dataclass(slots=True)
class Blame:
    """(exercise, code) → (kind, view) → [blamed, judged] repetitions; kind → [without error, all]."""

    cells: dict[tuple[str, str], dict[tuple[str, str], list[int]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(lambda: [0, 0]))
    )
    spotless: dict[str, list[int]] = field(default_factory=lambda: {k: [0, 0] for k in KINDS})
    clips: dict[str, list[int]] = field(default_factory=lambda: {k: [0, 0] for k in KINDS})

    def add(self, one: CleanSet, catalogue: Catalogue) -> None:
        """Judge a set's repetitions."""
        for kind in KINDS:
            processor, repetitions = AssessProcessor(catalogue), getattr(one, kind)
            clean = True
            for event in repetitions:
                verdict = processor.examine(event).verdict
                for judged in verdict.judged:
                    cell = self.cells[one.exercise, judged.spec.code][kind, one.view]
                    cell[0] += judged.named
                    cell[1] += 1
                self.spotless[kind][0] += not verdict.named
                self.spotless[kind][1] += 1
                clean = clean and not verdict.named
            self.clips[kind][0] += clean and bool(repetitions)
            self.clips[kind][1] += bool(repetitions)

    def worst(self) -> list[tuple[str, str]]:
        """(exercise, code) with any blame, most blamed repetitions first."""

        def blamed(key: tuple[str, str]) -> int:
            return sum(cell[0] for cell in self.cells[key].values())

        return sorted((k for k in self.cells if blamed(k)), key=lambda k: (-blamed(k), k))


def look(sets: Iterator[CleanSet], catalogue: Catalogue) -> Blame:
    """What the sets are blamed for."""
    out = Blame()
    for one in sets:
        out.add(one, catalogue)
    return out


def show(blame: Blame, most: int) -> None:
    """Print the table."""
    print(f"{'exercise':27s} {'error':24s}" + "".join(f"{k}: {v:15s}" for k in KINDS for v in AZIMUTHS))
    for key in blame.worst()[:most]:
        cells = [blame.cells[key].get((kind, view), [0, 0]) for kind in KINDS for view in AZIMUTHS]
        told = [f"{100 * n / m:3.0f} % of {m:<4d}" if m else "-" for n, m in cells]
        print(f"{key[0]:27s} {key[1]:24s}" + "".join(f"{t:21s}" for t in told))
    for kind in KINDS:
        (good, every), (sets, all_sets) = blame.spotless[kind], blame.clips[kind]
        print(f"{kind} boundaries: {100 * good / max(every, 1):.1f} % of {every} clean repetitions and "
              f"{100 * sets / max(all_sets, 1):.1f} % of {all_sets} clean sets without any error")  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", type=int, default=4, help="of each exercise and view")
    parser.add_argument("--first", type=int, default=0, help="first seed")
    parser.add_argument("--exercise", nargs="*", default=sorted(MISTAKES), metavar="ID")
    parser.add_argument("--weights", type=Path, help="with the learned part of this file")
    parser.add_argument("--true", action="store_true", help="true boundaries only: three times as quick")
    parser.add_argument("--worst", type=int, default=40)
    options = parser.parse_args(arguments)
    network = None if options.true else OnnxRecurrentNetwork()
    seeds = range(options.first, options.first + options.sets)
    made = (clean_set(e, v, s, network) for e in options.exercise for v in AZIMUTHS for s in seeds)
    show(look(made, load_catalogue(weights=options.weights)), options.worst)
    sys.stdout.flush()


if __name__ == "__main__":
    main()
