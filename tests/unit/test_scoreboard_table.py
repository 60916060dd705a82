"""From rows to the table: targets, missing data, the page and its pictures."""

import json
import math
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.scoreboard import __main__ as board
from bench.scoreboard import datasets, made
from bench.scoreboard.appendix import picture
from bench.scoreboard.datasets import ABSENT, DataSet, Item, Loaded
from bench.scoreboard.evaluate import OURS, Bench, evaluate
from bench.scoreboard.metrics import TrueRep
from bench.scoreboard.numbers import Cell, cells, meets
from bench.scoreboard.run import run_stream
from bench.scoreboard.simulate import SimClip, clip_frames
from bench.scoreboard.table import Block, targets_line, text
from bench.simulated import run_clips, totals
from services.errors.adapters.catalogue import load_catalogue
from services.segment.adapters.onnx import OnnxRecurrentNetwork

CATALOGUE = load_catalogue()


@pytest.fixture(scope="module")
def bench() -> Bench:
    return Bench(OnnxRecurrentNetwork(), CATALOGUE)


def squats(name: str, mistake: str | None, seed: int = 2) -> Item:
    clip = SimClip("squat", "three_quarter", mistake, mistake, seed)

    def load() -> Loaded:
        motion, frames = clip_frames(clip)
        truth = [TrueRep(r.onset_s, r.offset_s, r.turn_s, False, dict(r.mistakes)) for r in motion.repetitions]
        return Loaded(frames, frames[-1].time_s, truth)

    return Item(name, "squat", load, frozenset({"squat", "goblet_squat"}), planted=mistake, code=mistake)


@pytest.fixture(scope="module")
def data() -> DataSet:
    return DataSet("simulator", "two squats", [squats("a", None), squats("b", "TORSO_COLLAPSES")])


def test_every_method_is_measured_and_ours_finds_squats(bench: Bench, data: DataSet) -> None:
    block = board.block_of(evaluate(data, bench), draws=20, worst=2)
    ours = block.methods[OURS]
    assert len(block.methods) == 3
    assert ours["rep_f1"].value >= 0.9
    assert ours["rep_f1"].target == "≥ 0.98"
    assert ours["latency_p95_s"].value < 1.0
    assert all(c.target == "" for m, found in block.methods.items() if m != OURS for c in found.values())
    assert math.isnan(block.methods["PCA + peaks (looks ahead)"]["latency_p50_s"].value)
    assert block.methods["joint-angle thresholds"]["exact"].value >= 0.5  # squats are what such counters are made for
    assert block.methods["PCA + peaks (looks ahead)"]["exact"].value >= 0.5
    assert {name for name, _ in block.worst} == {"a", "b"}


def test_the_whole_program_writes_table_page_json_and_pictures(
    tmp_path: Path, data: DataSet, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(made, "simulated", lambda *_: data)
    monkeypatch.setattr(datasets, "DATA", tmp_path / "nowhere")
    board.main(["--only", "clips", "simulator", "--boot", "10", "--appendix", "1", "--out", str(tmp_path / "out")])
    printed = capsys.readouterr().out
    assert f"clips: {ABSENT}" in printed
    assert "two squats (2)" in printed
    document = json.loads((tmp_path / "out" / "scoreboard.json").read_text())
    assert document["data"]["clips"]["absent"] == ABSENT
    numbers = document["data"]["simulator"]["methods"][OURS]
    assert numbers["rep_f1"]["ci95"][0] <= numbers["rep_f1"]["value"] <= numbers["rep_f1"]["ci95"][1]
    page = (tmp_path / "out" / "index.html").read_text()
    pictures = list((tmp_path / "out" / "appendix").glob("*.svg"))
    assert len(pictures) == 1
    assert f"appendix/{pictures[0].name}" in page
    assert "| clips | data absent" in (tmp_path / "out" / "table.md").read_text()


def test_a_picture_shows_truth_decisions_and_outputs(bench: Bench) -> None:
    item = squats("<a & b>", None)
    loaded = item.load()
    outcome = run_stream(loaded.frames, bench.network, bench.catalogue, loaded.end_s, trace=True)
    root = ET.fromstring(picture(item, loaded, outcome, {"other": outcome.found[:1]}, "what"))
    space = {"s": "http://www.w3.org/2000/svg"}
    tips = [t.text or "" for t in root.findall(".//s:title", space)]
    assert sum("decided" in t for t in tips) == len(outcome.found) + 1
    assert len(root.findall(".//s:polyline", space)) >= 4 + 2 + 3  # phases, progress and activity, events


def test_targets_are_met_at_the_value_and_never_by_nothing() -> None:
    assert meets(0.85, ("≥", 0.85))
    assert not meets(0.84, ("≥", 0.85))
    assert meets(0.3, ("≤", 0.3))
    assert not meets(float("nan"), ("≥", 0.0))
    assert not meets(float("nan"), ("≤", 1.0))
    block = Block("clips", "clips", 2, methods={OURS: {"obo": Cell(0.5, 0.1, 0.9, "≥ 0.95", False)}})
    assert "OBO 0.50 (target ≥ 0.95)" in targets_line([block])
    assert "0.50 ✗" in text([block])


def test_whole_sequences_good_or_bad_by_hand() -> None:
    rows: list[dict[str, Any]] = [
        {"name": n, "kind": "bicep", "bad": bad, "badness": value, "flagged": value > 50}
        for n, bad, value in (("p", True, 90), ("q", True, 60), ("r", True, 20), ("s", False, 60), ("t", False, 10))
    ]
    found = cells("pose_trainer", OURS, rows, ours=True, draws=0)
    assert found["auc"].value == pytest.approx(4.5 / 6)
    assert found["auc"].met is False
    assert (found["wrong_precision"].value, found["wrong_recall"].value) == (pytest.approx(2 / 3), pytest.approx(2 / 3))


def test_simulated_clips_are_the_same_for_the_same_seed(bench: Bench) -> None:
    clip = SimClip("lateral_raise", "front", "RANGE_TOO_SHORT", "RANGE_TOO_SHORT", 4)
    (motion, frames), (again, frames_again) = clip_frames(clip), clip_frames(clip)
    assert np.array_equal(motion.joints, again.joints)
    assert all(
        np.array_equal(a.people[0].keypoints, b.people[0].keypoints)
        for a, b in zip(frames, frames_again, strict=True)
        if a.people
    )
    other = clip_frames(SimClip("lateral_raise", "front", "RANGE_TOO_SHORT", "RANGE_TOO_SHORT", 5))[0]
    assert other.joints.shape != motion.joints.shape or not np.array_equal(other.joints, motion.joints)
    rows = run_clips([clip], bench.network, CATALOGUE)
    assert totals(rows) == pytest.approx(totals(run_clips([clip], bench.network, CATALOGUE)), nan_ok=True)
    assert rows[0].counts["count"] == len(motion.repetitions)
