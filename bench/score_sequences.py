"""Repetitions of recorded pose sequences, on the streaming path, against people's labels.

    python -m bench.score_sequences [--data rmd repcount_poses pose_trainer simulator] [--network FILE] [--json FILE]

Definitions are those of ``reference/score_sequences.py`` beside the data; no class is given to the network.
"""

import argparse
import importlib.util
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.scoreboard.datasets import DATA, load_array, pose_frames
from services.common.processor import Mark, MarkKind
from services.common.types import LOCAL_STREAM, NetworkTrace, PoseFrame, Repetition, Status, TrackedPose
from services.segment.adapters.onnx import SHIPPED, OnnxRecurrentNetwork
from services.segment.core.network import RecurrentNetwork
from services.segment.core.processor import SegmentProcessor

F32 = NDArray[np.float32]
FPS = 30.0
LAYOUTS = {"rmd": "rmd16", "repcount_poses": "repcount104", "pose_trainer": "openpose18"}


def reference(name: str) -> ModuleType:
    """The scorer ``name`` that lies beside the data."""
    path = DATA.parent / "reference" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise SystemExit(f"There is no scorer at {path}; set FORMCHECK_DATA to the folder with the data.")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def stream(
    frames: Iterable[PoseFrame], network: RecurrentNetwork, end_s: float, trace: bool = False
) -> tuple[list[Repetition], list[NetworkTrace]]:
    """All events of a stream, and what the network said."""
    processor = SegmentProcessor(network, trace=trace)
    outputs: list[Repetition | NetworkTrace] = []
    for frame in frames:
        outputs += processor.on_item(frame)
    outputs += processor.on_mark(Mark(LOCAL_STREAM, MarkKind.EOF, end_s))
    events = [o for o in outputs if isinstance(o, Repetition)]
    return events, [o for o in outputs if isinstance(o, NetworkTrace)]


def load(folder: str) -> dict[str, NDArray[Any]]:
    """Name → array of a data folder."""
    return {path.stem: load_array(path) for path in sorted((DATA / folder).glob("*.np[yz]"))}


def predict(folder: str, network: RecurrentNetwork) -> dict[str, list[Repetition]]:
    """Sequence → confirmed repetitions."""
    found = {}
    for name, array in load(folder).items():
        events, _ = stream(pose_frames(array, LAYOUTS[folder], FPS), network, len(array) / FPS)
        found[name] = [e for e in events if e.status is Status.CONFIRMED]
    return found


def _line(title: str, summary: dict[str, Any]) -> str:
    parts = [f"{k} {v['value']} {v['ci']}" for k, v in summary.items() if isinstance(v, dict)]
    return f"{title:28s} n={summary['n']:<3d} " + "  ".join(parts)


def _spans(found: dict[str, list[Repetition]]) -> dict[str, list[list[float]]]:
    return {
        name: [[r.onset_s * FPS, r.offset_s * FPS] for r in reps if r.offset_s is not None]
        for name, reps in found.items()
    }


def _rmd(scorer: ModuleType, network: RecurrentNetwork, boot: int) -> dict[str, Any]:
    truth = json.loads((DATA / "rmd" / "reps.json").read_text())
    found = predict("rmd", network)
    moving = {k: v for k, v in truth.items() if v["class"] != "plank"}
    result = scorer.score_reps({k: v for k, v in _spans(found).items() if k in moving}, moving, boot=boot)
    arrays = load("rmd")
    planks = [k for k, v in truth.items() if v["class"] == "plank"]
    minutes = sum(len(arrays[k]) for k in planks) / FPS / 60
    ghosts = sum(len(found[k]) for k in planks) / minutes
    print(_line("rmd squat + lunge", result["overall"]))
    for name, summary in result["per_class"].items():
        print(_line(f"  {name}", summary))
    print(f"rmd planks: {ghosts:.2f} ghosts per minute")
    return {"overall": result["overall"], "plank_ghosts_per_minute": ghosts, "rows": result["rows"]}


def _repcount(scorer: ModuleType, network: RecurrentNetwork, boot: int) -> dict[str, Any]:
    truth = json.loads((DATA / "repcount_poses" / "reps.json").read_text())
    result = scorer.score_reps(_spans(predict("repcount_poses", network)), truth, boot=boot)
    print(_line("repcount_poses", result["overall"]))
    for name, summary in result["per_class"].items():
        print(_line(f"  {name}", {k: v for k, v in summary.items() if k != "bias"}))
    return {"overall": result["overall"], "rows": result["rows"]}


def _pose_trainer(network: RecurrentNetwork) -> dict[str, Any]:
    """Every sequence is one repetition (not always whole): how many are counted as such, and as what."""
    found = predict("pose_trainer", network)
    counts = np.array([len(r) for r in found.values()])
    print(f"pose_trainer: one found in {np.mean(counts == 1):.2f}, none {np.mean(counts == 0):.2f}")
    names = {"bicep": "curl", "frontraise": "front_raise", "shoulderpress": "shoulder_press", "shouldershrug": "shrug"}
    right = [
        next(v for k, v in names.items() if name.startswith(k)) in r.exercise
        for name, reps in found.items()
        for r in reps
    ]
    print(f"  exercise right in {np.mean(right) if right else float('nan'):.2f} of {len(right)}")
    return {"one": float(np.mean(counts == 1)), "none": float(np.mean(counts == 0))}


def session_frames(seed: int, edited: float = 0.0) -> tuple[list[PoseFrame], Any]:
    """A simulated recording by the law of motion that no training uses, as pose frames; and its motion."""
    from training.simulator.session import sample_session

    rng = np.random.default_rng([seed, 77])
    session = sample_session(rng, duration_s=30.0, family="held_out", edited=edited)
    motion, frames = session.motion, []
    for i, (k, s) in enumerate(zip(session.keypoints, session.scores, strict=True)):
        people: tuple[TrackedPose, ...] = ()
        if (s > 0).any():
            people = (TrackedPose(1, k, s, np.zeros(4, np.float32)),)
        frames.append(
            PoseFrame(
                LOCAL_STREAM, i, i / motion.fps, session.width_px, session.height_px, people,
                cut=bool(motion.cut[i]), frozen=bool(motion.frozen[i]),
            )
        )  # fmt: skip
    return frames, motion


def _simulator(scorer: ModuleType, network: RecurrentNetwork, boot: int, sessions: int) -> dict[str, Any]:
    truth, found, right, named, minutes, ghosts, late = {}, {}, 0, 0, 0.0, 0, []
    for seed in range(sessions):
        frames, motion = session_frames(seed)
        name = f"{seed:03d}"
        counted = [r for r in motion.repetitions if r.counted]
        truth[name] = {"reps": [[r.onset_s * FPS, r.offset_s * FPS] for r in counted], "class": motion.exercise}
        events, _ = stream(frames, network, frames[-1].time_s)
        reps = [e for e in events if e.status is Status.CONFIRMED]
        found[name] = reps
        minutes += frames[-1].time_s / 60
        for e in reps:
            hits = [r for r in counted if r.onset_s <= 0.5 * (e.onset_s + (e.offset_s or 0)) <= r.offset_s]
            ghosts += not hits
            late += [e.decided_s - r.offset_s for r in hits]
            named += bool(hits) and hits[0].exercise != "unknown"
            right += bool(hits) and hits[0].exercise == e.exercise and e.exercise != "unknown"
    result = scorer.score_reps(_spans(found), truth, boot=boot)
    print(_line("simulator, held-out law", result["overall"]))
    for name, summary in result["per_class"].items():
        print(_line(f"  {name}", {k: v for k, v in summary.items() if k in ("n", "obo", "exact", "rep_f1_pool")}))
    delay = np.percentile(late, [50, 95]) if late else [np.nan, np.nan]
    print(f"  exercise right {right / max(named, 1):.2f} of {named}; ghosts {ghosts / minutes:.2f} per minute;"
          f" decided after the true offset p50 {delay[0]:.2f} s, p95 {delay[1]:.2f} s")  # fmt: skip
    return {"overall": result["overall"], "exercise": right / max(named, 1), "ghosts_per_minute": ghosts / minutes}


def main(arguments: list[str]) -> None:
    """Prints a table per folder."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--data", nargs="*", default=list(LAYOUTS), choices=[*LAYOUTS, "simulator"])
    p.add_argument("--network", type=Path, default=SHIPPED)
    p.add_argument("--sessions", type=int, default=60, help="simulated recordings")
    p.add_argument("--boot", type=int, default=1000)
    p.add_argument("--json", type=Path)
    args = p.parse_args(arguments)
    network, scorer = OnnxRecurrentNetwork(args.network), reference("score_sequences")
    out: dict[str, Any] = {}
    if "rmd" in args.data:
        out["rmd"] = _rmd(scorer, network, args.boot)
    if "repcount_poses" in args.data:
        out["repcount_poses"] = _repcount(scorer, network, args.boot)
    if "pose_trainer" in args.data:
        out["pose_trainer"] = _pose_trainer(network)
    if "simulator" in args.data:
        out["simulator"] = _simulator(scorer, network, args.boot, args.sessions)
    if args.json:
        args.json.write_text(json.dumps(out, indent=1, default=str))


if __name__ == "__main__":
    main(sys.argv[1:])
