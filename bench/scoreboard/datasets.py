"""The data sets as streams of poses with truth. What is not there is said, never guessed."""

import csv
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bench.scoreboard.metrics import Span, TrueRep
from bench.scoreboard.poses import PoseSource
from services.common.layouts import to_coco17
from services.common.types import LOCAL_STREAM, PoseFrame, TrackedPose

_ROOT: Final = Path(__file__).resolve().parents[2]
DATA: Final = Path(os.environ.get("FORMCHECK_DATA", _ROOT.parent / "shared" / "data"))
ABSENT: Final = "data absent (set FORMCHECK_DATA)"
SEQUENCE_FPS: Final = 30.0
POSE_TRAINER_FPS: Final = 25.0
_KEYS: Final = ("keypoints", "poses", "joints")

CLIP_EXERCISES: Final = {
    "hammer": "hammer_curl", "curl": "bicep_curl", "lateral": "lateral_raise", "front raise": "front_raise",
    "shoulder press": "shoulder_press", "row": "bent_over_row", "deadlift": "romanian_deadlift", "lunge": "lunge",
    "squat": "squat",
}  # fmt: skip
"""Word in a clip's label → our id; the first that fits."""

CLIP_SHOWS: Final = {
    "bicep_curl": {"ELBOW_DRIFT"},
    "hammer_curl": {"INCOMPLETE_CONTRACTION", "INCOMPLETE_EXTENSION", "ELBOW_DRIFT"},
    "lateral_raise": {"SHOULDER_SHRUG"},
    "shoulder_press": {"FOREARM_NOT_VERTICAL"},
    "bent_over_row": {"BACK_ROUNDED"},
}
"""Exercise → the errors that the notes of its clips name: what a wrong repetition in them shows."""

SEQUENCE_EXERCISES: Final[dict[str, frozenset[str]]] = {
    "squats": frozenset({"squat", "goblet_squat"}), "lunge": frozenset({"lunge"}),
    "squat": frozenset({"squat", "goblet_squat"}), "front_raise": frozenset({"front_raise"}),
    "bench_pressing": frozenset({"chest_press"}),
    "bicep": frozenset({"bicep_curl", "hammer_curl", "zottman_curl"}), "frontraise": frozenset({"front_raise"}),
    "shoulderpress": frozenset({"shoulder_press", "arnold_press"}), "shouldershrug": frozenset({"shrug"}),
}  # fmt: skip
"""Class of a recorded sequence → what is right to say (what the hands hold cannot be seen); any other class is
``unknown`` to us."""

RMD_MISTAKES: Final = {
    "not_low_enough": "TOO_SHALLOW", "knees_inward": "KNEES_CAVE_IN", "front_bent": "TORSO_COLLAPSES",
    "knee_passes_toe": "KNEE_PAST_TOE", "feet_too_wide": "STANCE_TOO_WIDE",
}  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Loaded:
    """A stream of poses to its end, with its truth."""

    frames: list[PoseFrame]
    end_s: float
    truth: list[TrueRep]


@dataclass(frozen=True, slots=True, eq=False)
class Item:
    """One sequence. ``accepted``: exercises that are right to say (None: not judged). ``timed`` False: only the
    exercise and the form count. ``planted``, ``code``: of made clips, as in ``simulate.SimClip``; ``bad``: of
    sequences whose form is labelled as a whole; ``mixed``: repetitions of several labels in one video."""

    name: str
    kind: str
    load: Callable[[], Loaded]
    accepted: frozenset[str] | None = None
    ignore: tuple[Span, ...] = ()
    count: int | None = None
    bounds_ok: bool = True
    timed: bool = True
    planted: str | None = None
    code: str | None = None
    bad: bool | None = None
    mixed: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class DataSet:
    """``absent``: why there is nothing to measure, else empty."""

    key: str
    title: str
    items: Sequence[Item] = ()
    absent: str = ""
    note: str = ""
    shows: dict[str, set[str]] = field(default_factory=dict)


def pose_frames(array: NDArray[Any], layout: str, fps: float) -> Iterator[PoseFrame]:
    """A recorded sequence as pose frames of one person; a frame without any joint has nobody."""
    keypoints, scores, width, height = to_coco17(array, layout, fps)
    for i, (k, s) in enumerate(zip(keypoints, scores, strict=True)):
        people: tuple[TrackedPose, ...] = ()
        if (s > 0).any():
            seen = k[s > 0]
            box = np.concatenate([seen.min(0), seen.max(0)]).astype(np.float32)
            people = (TrackedPose(1, k, s, box),)
        yield PoseFrame(LOCAL_STREAM, i, i / fps, width, height, people)


def load_array(path: Path) -> NDArray[Any]:
    """The joints of one file."""
    loaded = np.load(path, allow_pickle=False)
    if isinstance(loaded, np.ndarray):
        return loaded
    found: NDArray[Any] = loaded[next(k for k in _KEYS if k in loaded.files)]
    return found


def _file(folder: Path, name: str) -> Path:
    """The sequence's file, .npz or .npy."""
    path = folder / f"{name}.npz"
    return path if path.is_file() else folder / f"{name}.npy"


def _recorded(path: Path, layout: str, fps: float, truth: list[TrueRep]) -> Callable[[], Loaded]:
    def load() -> Loaded:
        frames = list(pose_frames(load_array(path), layout, fps))
        return Loaded(frames, len(frames) / fps, truth)

    return load


def clip_exercise(label: str) -> str:
    """Our id for a clip's label."""
    return next((v for k, v in CLIP_EXERCISES.items() if k in label), "unknown")


def clips(poses: PoseSource) -> DataSet:
    """Real clips, poses by our pose network."""
    title = "clips"
    folder = DATA / "clips"
    if not (folder / "labels.json").is_file():
        return DataSet("clips", title, absent=ABSENT)
    labels = json.loads((folder / "labels.json").read_text())
    items = []
    for name, label in labels.get("clips", labels).items():
        truth = [
            TrueRep(r["start"], r["end"], r.get("peak"), {"wrong": True, "correct": False}.get(r.get("form") or ""))
            for r in label["reps"]
        ]
        items.append(
            Item(
                Path(name).stem,
                clip_exercise(label["exercise"]),
                _clip(folder / name, poses, truth),
                frozenset({clip_exercise(label["exercise"])}),
                tuple((float(a), float(b)) for a, b in label.get("ignore", [])),
                timed=bool(truth or label.get("no_reps")),
            )
        )
    return DataSet("clips", title, items, shows=CLIP_SHOWS)


def _clip(video: Path, poses: PoseSource, truth: list[TrueRep]) -> Callable[[], Loaded]:
    def load() -> Loaded:
        frames = poses.of(video)
        return Loaded(frames, frames[-1].time_s if frames else 0.0, truth)

    return load


def repcount() -> DataSet:
    """RepCount-A test poses, scaled per frame."""
    folder, title = DATA / "repcount_poses", "repcount_poses"
    if not (folder / "reps.json").is_file():
        return DataSet("repcount_poses", title, absent=ABSENT)
    items = []
    for name, label in sorted(json.loads((folder / "reps.json").read_text()).items()):
        truth = [TrueRep(a / SEQUENCE_FPS, b / SEQUENCE_FPS) for a, b in label["reps"]]
        items.append(
            Item(
                name,
                label["class"],
                _recorded(_file(folder, name), "repcount104", SEQUENCE_FPS, truth),
                SEQUENCE_EXERCISES.get(label["class"], frozenset({"unknown"})),
                count=int(label.get("count", len(truth))),
                bounds_ok=bool(label.get("bounds_ok", True)),
            )
        )
    return DataSet("repcount_poses", title, items)


def _rmd_labels(folder: Path) -> dict[str, list[str]]:
    """Video → label of each repetition."""
    out = {}
    with (folder / "metadata_label.csv").open() as file:
        for row in csv.DictReader(file):
            named = [p for p in row["info"].split("/") if p not in ("LEFT", "RIGHT")]
            single = row["mistake_label"] != "all"
            out[Path(row["video"]).stem] = [row["mistake_label"]] * 99 if single else named
    return out


def rmd(planks: bool) -> DataSet:
    """Squats and lunges, or planks (a hold: any repetition is a ghost)."""
    key, folder = "rmd_planks" if planks else "rmd", DATA / "rmd"
    title = "rmd planks" if planks else "rmd squat + lunge"
    if not (folder / "reps.json").is_file():
        return DataSet(key, title, absent=ABSENT)
    labels, items = _rmd_labels(folder), []
    for name, entry in sorted(json.loads((folder / "reps.json").read_text()).items()):
        if (entry["class"] == "plank") is not planks:
            continue
        spans = [] if planks else entry["reps"]
        said = labels.get(name, [])
        truth = [
            _rmd_rep(a / SEQUENCE_FPS, b / SEQUENCE_FPS, said[k] if k < len(said) else "")
            for k, (a, b) in enumerate(spans)
        ]
        items.append(
            Item(
                name,
                entry["class"],
                _recorded(_file(folder, name), "rmd16", SEQUENCE_FPS, truth),
                None if planks else SEQUENCE_EXERCISES[entry["class"]],
                count=0 if planks else int(entry.get("count", len(spans))),
                mixed=len(set(said)) > 1,
            )
        )
    learned = "" if planks else _learned_from("rmd")
    return DataSet(key, title, items, note=learned)


def _learned_from(name: str) -> str:
    """A warning where the notes beside the shipped weights of the error models name this data set."""
    notes = (_ROOT / "services" / "errors" / "models").glob("*.json")
    known = any(name in path.read_text(encoding="utf-8") for path in notes)
    return "the error models learned from these videos: no measure of form" if known else ""


def _rmd_rep(onset_s: float, offset_s: float, label: str) -> TrueRep:
    if not label:
        return TrueRep(onset_s, offset_s)
    codes = {RMD_MISTAKES[part]: 1.0 for part in label.split("+") if part in RMD_MISTAKES}
    return TrueRep(onset_s, offset_s, None, label != "correct", codes)


def pose_trainer() -> DataSet:
    """Single repetitions, good or bad; the boundaries are not labelled."""
    folder, title = DATA / "pose_trainer", "pose_trainer"
    if not (folder / "labels.json").is_file():
        return DataSet("pose_trainer", title, absent=ABSENT)
    items = [
        Item(
            name,
            label["class"],
            _recorded(_file(folder, name), "openpose18", POSE_TRAINER_FPS, []),
            SEQUENCE_EXERCISES[label["class"]],
            count=1,
            bounds_ok=False,
            bad=bool(label["bad"]),
        )
        for name, label in sorted(json.loads((folder / "labels.json").read_text()).items())
    ]
    return DataSet("pose_trainer", title, items, note="one repetition per sequence")
