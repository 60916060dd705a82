"""Every data set × every method, one table: ``make scoreboard``.

    python -m bench.scoreboard [--only DATASET ...] [--network FILE] [--sim-seeds N] [--render] [--appendix N]
                               [--boot N] [--no-baselines] [--fresh | --kept] [--out DIR]

No class is given to any method, and ours gets poses one at a time, as a camera would bring them. Poses of videos are
kept in ``.cache/poses`` while the pose stage's source stays the same, so another network is measured in minutes. Writes
table.md, scoreboard.json, index.html and appendix/*.svg (the worst sequences of each set) to ``--out``. Definitions:
``bench.scoreboard.metrics``; intervals: 95 %, percentile bootstrap over sequences. What is missing is said in its row.
"""

import argparse
import hashlib
import json
import math
import re
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from bench.scoreboard import datasets, made
from bench.scoreboard.appendix import picture
from bench.scoreboard.evaluate import BASELINES, OURS, Bench, Result, evaluate
from bench.scoreboard.mistaken import CodeCounts
from bench.scoreboard.numbers import badness, cells, describe, numbers_of, pooled_codes
from bench.scoreboard.page import html
from bench.scoreboard.poses import PoseSource
from bench.scoreboard.run import run_stream
from bench.scoreboard.table import Block, markdown, text
from services.errors.adapters.catalogue import load_catalogue
from services.segment.adapters.onnx import SHIPPED, OnnxRecurrentNetwork

NAMES: Final = ("clips", "repcount_poses", "rmd", "rmd_planks", "pose_trainer", "rendered", "simulator")


def data_sets(args: argparse.Namespace, bench: Bench) -> dict[str, Callable[[], datasets.DataSet]]:
    """Name → how to open it."""
    poses = PoseSource(args.pose, args.fresh, args.kept)
    return {
        "clips": lambda: datasets.clips(poses),
        "repcount_poses": datasets.repcount,
        "rmd": lambda: datasets.rmd(planks=False),
        "rmd_planks": lambda: datasets.rmd(planks=True),
        "pose_trainer": datasets.pose_trainer,
        "rendered": lambda: made.rendered(bench.catalogue, poses, args.render),
        "simulator": lambda: made.simulated(bench.catalogue, args.sim_seeds),
    }


def block_of(result: Result, draws: int, worst: int) -> Block:
    """A data set's part of the table."""
    data, ours = result.data, result.rows[OURS]
    ranked = sorted((r for r in ours if r["timed"]), key=lambda r: -badness(r))[:worst]
    kinds = sorted({r["kind"] for r in ours})
    return Block(
        data.key,
        data.title,
        len(ours),
        note=data.note,
        methods=numbers_of(result, draws),
        worst=[(r["name"], describe(r)) for r in ranked],
        per_kind={
            f"{OURS}: {kind}": cells("", OURS, [r for r in ours if r["kind"] == kind], ours=False, draws=0)
            for kind in kinds
        }
        if len(kinds) > 1
        else {},
        rows=ours,
    )


def draw(result: Result, block: Block, bench: Bench, folder: Path, count: int) -> list[str]:
    """Pictures of the worst sequences; their paths beside the page."""
    folder.mkdir(parents=True, exist_ok=True)
    items = {i.name: i for i in result.data.items}
    paths = []
    for name, what in list(block.worst)[:count]:
        item = items[name]
        loaded = item.load()
        outcome = run_stream(loaded.frames, bench.network, bench.catalogue, loaded.end_s, trace=True)
        others = {m: method(loaded.frames) for m, method in BASELINES.items()}
        path = folder / f"{block.key}__{re.sub(r'[^A-Za-z0-9_-]+', '_', name)}.svg"
        path.write_text(picture(item, loaded, outcome, others, what), encoding="utf-8")
        paths.append(f"{folder.name}/{path.name}")
    return paths


def _plain(value: Any) -> Any:
    """For JSON: no NaN, no objects."""
    if isinstance(value, float):
        return None if math.isnan(value) else round(value, 4)
    if isinstance(value, CodeCounts):
        return {k: dict(getattr(value, k)) for k in ("right", "false", "missed", "hidden")}
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return value


def document(blocks: Sequence[Block], about: Sequence[str]) -> dict[str, Any]:
    """Everything as JSON."""
    out: dict[str, Any] = {"schema": "formcheck.scoreboard/1", "about": list(about), "data": {}}
    for b in blocks:
        numbers = {
            method: {
                name: {"value": c.value, "ci95": [c.low, c.high], "target": c.target or None, "met": c.met}
                for name, c in found.items()
            }
            for method, found in b.methods.items()
        }
        entry: dict[str, Any] = {"title": b.title, "sequences": b.sequences, "absent": b.absent or None}
        entry |= {"methods": numbers, "rows": [dict(r) for r in b.rows]}
        codes = pooled_codes(b.rows)
        if codes.codes():
            entry["codes"] = {
                c: {"precision": codes.precision(c), "recall": codes.recall(c), "f1": codes.f1(c)}
                for c in codes.codes()
            }
        out["data"][b.key] = _plain(entry)
    return out


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.scoreboard", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="*", choices=NAMES, default=list(NAMES), metavar="DATASET")
    parser.add_argument("--network", type=Path, default=SHIPPED)
    parser.add_argument("--pose", default="movenet", help="pose network of the videos")
    parser.add_argument("--sim-seeds", type=int, default=1, help="218 clips each")
    parser.add_argument("--render", action="store_true", help="render the clips that are missing (takes minutes)")
    parser.add_argument("--fresh", action="store_true", help="find the poses of videos anew")
    parser.add_argument("--kept", action="store_true", help="take kept poses even if the pose stage has changed since")
    parser.add_argument("--appendix", type=int, default=10, help="pictures per data set")
    parser.add_argument("--boot", type=int, default=1000, help="draws of the bootstrap; 0: no intervals")
    parser.add_argument("--no-baselines", action="store_true")
    parser.add_argument("--out", type=Path, default=Path("out/scoreboard"))
    args = parser.parse_args(arguments)
    bench = Bench(OnnxRecurrentNetwork(args.network), load_catalogue())
    digest = hashlib.sha256(args.network.read_bytes()).hexdigest()[:12]
    about = [f"Segmentation network {args.network.name} {digest}; pose network {args.pose}; no class given."]
    if args.kept:
        about.append("Poses of videos as they were kept, maybe by an earlier version of the pose stage.")
    blocks: list[Block] = []
    pictures: dict[str, list[str]] = {}
    args.out.mkdir(parents=True, exist_ok=True)
    for name, opened in data_sets(args, bench).items():
        if name not in args.only:
            continue
        started = time.perf_counter()
        data = opened()
        if data.absent:
            blocks.append(Block(data.key, data.title, absent=data.absent))
            continue
        result = evaluate(data, bench, baselines=not args.no_baselines)
        blocks.append(block_of(result, args.boot, max(args.appendix, 10)))
        pictures[name] = draw(result, blocks[-1], bench, args.out / "appendix", args.appendix)
        print(f"{data.title}: {len(data.items)} in {time.perf_counter() - started:.0f} s", file=sys.stderr)
    print(text(blocks))
    (args.out / "table.md").write_text(markdown(blocks, about), encoding="utf-8")
    (args.out / "index.html").write_text(html(blocks, about, pictures), encoding="utf-8")
    (args.out / "scoreboard.json").write_text(json.dumps(document(blocks, about), indent=1), encoding="utf-8")
    print(f"\nwritten: {args.out}/{{index.html,table.md,scoreboard.json,appendix/}}")


if __name__ == "__main__":
    main()
