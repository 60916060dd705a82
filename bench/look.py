"""Pictures of random frames of the real clips with what the pose stage found, for a person to judge one by one.

    python -m bench.look --out DIR [--frames 200] [--seed 1]

Writes numbered contact sheets to DIR (they show other people's footage: never commit them) and prints, for each cell,
the clip and the frame. Verdicts go to docs/checks/frames.csv; ``--count`` prints the share of good ones in it.
"""

import argparse
import csv
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from bench.score_sequences import DATA
from services.common.skeleton import BONES, VISIBLE_MIN
from services.common.types import LOCAL_STREAM, TrackedPose
from services.ingest.adapters.media import VideoReader
from services.local.pipeline import ANALYSIS_SHORT_SIDE_PX, DEFAULT_POSE
from services.pose.adapters.local import LocalPose
from services.pose.adapters.onnx import OnnxBackend
from services.pose.core.processor import PoseProcessor
from services.pose.core.profiles import Profile

VERDICTS: Final = Path(__file__).resolve().parent.parent / "docs" / "checks" / "frames.csv"
CELL_PX: Final = 380
COLUMNS, ROWS = 5, 4
_COLOURS: Final = ((255, 200, 0), (0, 220, 255), (255, 80, 200), (120, 255, 80))


def pick(frames_of: dict[str, int], count: int, seed: int) -> dict[str, list[int]]:
    """``count`` frames drawn evenly over all frames of all clips, without repeats."""
    names = sorted(frames_of)
    ends = np.cumsum([frames_of[n] for n in names])
    chosen = np.sort(np.random.default_rng(seed).choice(ends[-1], count, replace=False))
    result: dict[str, list[int]] = {n: [] for n in names}
    for i in chosen:
        which = int(np.searchsorted(ends, i, side="right"))
        result[names[which]].append(int(i - (ends[which - 1] if which else 0)))
    return result


def draw(image: NDArray[np.uint8], people: tuple[TrackedPose, ...]) -> NDArray[np.uint8]:
    """The picture with everyone's seen joints and bones; the longer side is CELL_PX."""
    scale = CELL_PX / max(image.shape[:2])
    size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
    canvas = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8).copy()
    for person in people:
        colour = _COLOURS[person.track_id % len(_COLOURS)]
        at = np.rint(person.keypoints * scale).astype(int)
        seen = person.scores >= VISIBLE_MIN
        for a, b in BONES:
            if seen[a] and seen[b]:
                cv2.line(canvas, at[a].tolist(), at[b].tolist(), colour, 2, cv2.LINE_AA)
        for j in np.flatnonzero(seen):
            cv2.circle(canvas, at[j].tolist(), 3, (255, 255, 255), -1, cv2.LINE_AA)
    return canvas


def cells(path: Path, wanted: list[int]) -> list[tuple[str, NDArray[np.uint8]]]:
    """The wanted frames of one clip as (label, picture)."""
    profile = Profile.get(DEFAULT_POSE)
    result = []
    with VideoReader(str(path), max_short_side_px=ANALYSIS_SHORT_SIDE_PX) as reader:
        pose = LocalPose(PoseProcessor(profile, LOCAL_STREAM), OnnxBackend(profile, threads=2))
        for number, (frame, (found,)) in enumerate(pose.stream(reader)):
            if number in wanted:
                result.append((f"{path.stem},{number}", draw(frame.image, found.people)))
    return result


def sheets(pictures: list[tuple[str, NDArray[np.uint8]]], out: Path) -> None:
    """Write the pictures as numbered sheets of COLUMNS × ROWS."""
    out.mkdir(parents=True, exist_ok=True)
    per_sheet = COLUMNS * ROWS
    for first in range(0, len(pictures), per_sheet):
        sheet = np.full((ROWS * (CELL_PX + 18), COLUMNS * (CELL_PX + 4), 3), 30, np.uint8)
        for k, (_, picture) in enumerate(pictures[first : first + per_sheet]):
            y, x = k // COLUMNS * (CELL_PX + 18), k % COLUMNS * (CELL_PX + 4)
            sheet[y + 18 : y + 18 + picture.shape[0], x : x + picture.shape[1]] = picture
            cv2.putText(sheet, str(first + k), (x + 4, y + 14), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (255, 255, 255), 1)
        path = out / f"sheet-{first // per_sheet:02d}.png"
        cv2.imwrite(str(path), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))


def count_verdicts() -> None:
    """Print the share of frames judged good."""
    with VERDICTS.open(newline="") as f:
        rows = list(csv.DictReader(f))
    good = sum(r["verdict"] == "good" for r in rows)
    print(f"{good} of {len(rows)} frames good ({good / len(rows):.1%})")
    for r in rows:
        if r["verdict"] != "good":
            print(f"  {r['clip']} frame {r['frame']}: {r['verdict']}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", action="store_true")
    args = parser.parse_args()
    if args.count:
        count_verdicts()
        return
    if args.out is None:
        parser.error("give --out DIR, outside the repository")
    clips = sorted((DATA / "clips").glob("*.mp4"))
    lengths = {}
    for clip in clips:
        with VideoReader(str(clip), max_short_side_px=64) as reader:
            lengths[clip.stem] = sum(1 for _ in reader)
    chosen = pick(lengths, args.frames, args.seed)
    pictures = [cell for clip in clips if chosen[clip.stem] for cell in cells(clip, chosen[clip.stem])]
    sheets(pictures, args.out)
    for number, (label, _) in enumerate(pictures):
        print(f"{number},{label}")


if __name__ == "__main__":
    main()
