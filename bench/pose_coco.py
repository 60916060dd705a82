"""COCO people for the pose bench: the annotations, object keypoint similarity, average precision.

References: the COCO keypoint evaluation (similarity with area and per-joint sigmas; people without labelled joints
and crowds are ignored, not held against a finding).
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from services.common.skeleton import COCO_SIGMAS

F64 = NDArray[np.float64]
THRESHOLDS = np.arange(0.5, 0.951, 0.05)
TALL_SHARE, TALL_JOINTS = 0.35, 8


@dataclass(frozen=True, slots=True, eq=False)
class Person:
    """One annotated person. ``ignored``: without labelled joints, or a crowd."""

    image: int
    keypoints: F64  # (17, 2) px
    labelled: NDArray[np.bool_]  # (17,)
    visible: NDArray[np.bool_]  # (17,) labelled and not hidden
    area_px: float
    box: F64  # (4,) x0 y0 x1 y1
    tall: bool
    ignored: bool


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """One skeleton that a network claims."""

    keypoints: F64  # (17, 2) px
    score: float


def load(folder: Path) -> tuple[dict[int, NDArray[np.uint8]], list[Person]]:
    """Pictures by id, RGB, and all annotated people."""
    data = json.loads((folder / "person_keypoints.json").read_text())
    images = {i["id"]: _read(folder / "images" / i["file_name"]) for i in data["images"]}
    people = []
    for a in data["annotations"]:
        joints = np.array(a["keypoints"], float).reshape(17, 3)
        x, y, w, h = a["bbox"]
        count = int((joints[:, 2] > 0).sum())
        height = images[a["image_id"]].shape[0]
        people.append(
            Person(
                a["image_id"],
                joints[:, :2],
                joints[:, 2] > 0,
                joints[:, 2] > 1,
                a["area"],
                np.array([x, y, x + w, y + h]),
                h > TALL_SHARE * height and count >= TALL_JOINTS,
                count == 0 or bool(a["iscrowd"]),
            )
        )
    return images, people


def _read(path: Path) -> NDArray[np.uint8]:
    image = cv2.imread(str(path))
    if image is None:
        raise FileNotFoundError(path)
    return np.ascontiguousarray(image[..., ::-1], np.uint8)


def joint_similarity(keypoints: F64, person: Person) -> F64:
    """(17,) in [0, 1], per joint."""
    if person.ignored:  # by the distance to the person's doubled box
        low = person.box[:2] * 1.5 - person.box[2:] * 0.5
        high = person.box[2:] * 1.5 - person.box[:2] * 0.5
        away = np.maximum(low - keypoints, 0) + np.maximum(keypoints - high, 0)
    else:
        away = keypoints - person.keypoints
    return np.exp(-(away**2).sum(axis=1) / (2 * (person.area_px + 1e-9) * (2 * COCO_SIGMAS) ** 2))


def oks(keypoints: F64, person: Person) -> float:
    """Object keypoint similarity over the labelled joints."""
    each = joint_similarity(keypoints, person)
    return float(each.mean() if person.ignored else each[person.labelled].mean())


def best_oks(person: Person, found: Sequence[Found]) -> float:
    """Of the finding that fits the person best; 0 where there is none."""
    return max((oks(f.keypoints, person) for f in found), default=0.0)


def average_precision(found: Mapping[int, Sequence[Found]], people: Sequence[Person]) -> tuple[float, float]:
    """(AP over OKS 0.50 … 0.95, AP at 0.50)."""
    each = [_precision_at(found, people, t) for t in THRESHOLDS]
    return float(np.mean(each)), each[0]


def _precision_at(found: Mapping[int, Sequence[Found]], people: Sequence[Person], threshold: float) -> float:
    rows: list[tuple[float, bool]] = []
    for image in {p.image for p in people}:
        here = [p for p in people if p.image == image]
        here.sort(key=lambda p: p.ignored)
        taken: set[int] = set()
        for f in sorted(found.get(image, ()), key=lambda f: -f.score):
            hit = _match(f, here, taken, threshold)
            if hit is None:
                rows.append((f.score, False))
            elif not here[hit].ignored:
                taken.add(hit)
                rows.append((f.score, True))
    rows.sort(key=lambda r: -r[0])
    right = np.cumsum([hit for _, hit in rows])
    if len(right) == 0:
        return 0.0
    recall = right / sum(not p.ignored for p in people)
    precision = np.maximum.accumulate((right / np.arange(1, len(rows) + 1))[::-1])[::-1]
    at = np.searchsorted(recall, np.linspace(0, 1, 101))
    return float(np.append(precision, 0.0)[at].mean())


def _match(found: Found, people: Sequence[Person], taken: set[int], threshold: float) -> int | None:
    """The free person whom the finding fits best; an ignored one only where no real one fits."""
    best, best_value = None, threshold
    for i, person in enumerate(people):
        if person.ignored and best is not None and not people[best].ignored:
            break
        value = oks(found.keypoints, person)
        if i not in taken and value >= best_value:
            best, best_value = i, value
    return best
