"""The command as people call it, on a rendered clip and on what is no video at all."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from services.local.cli import app
from tests.conftest import ROOT
from tests.media import broken_inputs

DEMO = ROOT / "assets" / "demo.mp4"
runner = CliRunner()


def formcheck(*args: str | Path, cwd: Path | None = None) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "services.local.cli", *map(str, args)],
        capture_output=True, text=True, timeout=280, cwd=cwd, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip


def assert_one_clear_sentence(stderr: str, names: str) -> None:
    lines = [line for line in stderr.splitlines() if line.strip()]
    assert len(lines) == 1, stderr
    assert lines[0].startswith("formcheck: ")
    assert names in lines[0]
    assert "Traceback" not in stderr


@pytest.mark.slow
def test_the_demo_clip_gives_its_true_count(tmp_path: Path) -> None:
    truth = ROOT / "assets" / "demo.json"
    done = formcheck("analyze", DEMO, "--out", tmp_path / "demo", "--truth", truth, "--json", "-")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report == json.loads((tmp_path / "demo" / "report.json").read_text())
    assert sorted(p.name for p in (tmp_path / "demo").iterdir()) == ["annotated.mp4", "report.html", "report.json"]
    clip = next(iter(json.loads(truth.read_text())["clips"].values()))
    (person,) = report["people"]
    confirmed = [r for r in person["repetitions"] if r["status"] == "confirmed"]
    assert len(confirmed) == len(clip["reps"])
    for found, true in zip(confirmed, clip["reps"], strict=True):
        assert abs(found["onset_s"] - true["start"]) < 0.35
        assert abs(found["offset_s"] - true["end"]) < 0.35


@pytest.mark.slow
def test_every_broken_input_is_one_clear_sentence_and_leaves_nothing(tmp_path: Path) -> None:
    cases = broken_inputs(tmp_path)
    assert len(cases) >= 60
    for name, path, kind in cases:
        out = tmp_path / f"out-{name}"
        done = runner.invoke(app, ["analyze", str(path), "--out", str(out), "--json", str(tmp_path / "x.json")])
        assert done.exit_code == 1, (name, kind, done.output)
        assert isinstance(done.exception, SystemExit), (name, done.exception)
        assert_one_clear_sentence(done.stderr, Path(path).name)
        assert not out.exists(), name
        assert not (tmp_path / "x.json").exists(), name


@pytest.mark.slow
def test_a_real_process_shows_no_traceback(tmp_path: Path) -> None:
    text = tmp_path / "notes.mp4"
    text.write_text("not a video")
    done = formcheck("analyze", text, "--out", tmp_path / "out")
    assert done.returncode == 1
    assert done.stdout == ""
    assert_one_clear_sentence(done.stderr, "notes.mp4")


@pytest.mark.slow
def test_some_good_some_bad(tmp_path: Path) -> None:
    (tmp_path / "bad.mp4").write_text("no")
    done = formcheck("analyze", DEMO, tmp_path / "bad.mp4", "--out", tmp_path / "out", "--no-video", "--end", "3")
    assert done.returncode == 3, done.stderr
    assert_one_clear_sentence(done.stderr, "bad.mp4")
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["demo"]
    assert sorted(p.name for p in (tmp_path / "out" / "demo").iterdir()) == ["report.html", "report.json"]


@pytest.mark.parametrize(
    ("args", "names"),
    [
        (["--pose", "alphapose"], "alphapose"),
        (["--exercise", "yodelling"], "yodelling"),
        (["--people", "few"], "few"),
        (["--start", "3", "--end", "2"], "--end"),
    ],
)
def test_wrong_options_are_named(args: list[str], names: str) -> None:
    done = runner.invoke(app, ["analyze", str(DEMO), *args])
    assert done.exit_code in (1, 2)
    assert_one_clear_sentence(done.stderr, names)


def _poses(path: Path, frames: int = 30, joints: int = 17, fill: float | None = None) -> Path:
    array = np.random.default_rng(0).uniform(100, 300, (frames, joints, 3)).astype(np.float32)
    array[..., 2] = 0.9
    if fill is not None:
        array[3, 4, 0] = fill
    np.save(path, array)
    return path


@pytest.mark.parametrize("command", ["segment", "assess"])
@pytest.mark.parametrize(
    ("layout", "fps", "joints", "fill", "names"),
    [
        ("coco18", "30", 17, None, "coco18"),
        ("coco17", "0", 17, None, "fps"),
        ("coco17", "-5", 17, None, "fps"),
        ("coco17", "nan", 17, None, "fps"),
        ("coco17", "1e9", 17, None, "fps"),
        ("coco17", "30", 17, float("nan"), "NaN"),
        ("coco17", "30", 17, float("inf"), "NaN"),
        ("coco17", "30", 18, None, "(T, 17"),
        ("mediapipe33", "30", 17, None, "(T, 33"),
    ],
)
def test_bad_poses_are_refused(
    tmp_path: Path, command: str, layout: str, fps: str, joints: int, fill: float | None, names: str
) -> None:
    poses = _poses(tmp_path / "p.npy", joints=joints, fill=fill)
    extra = ["--exercise", "squat"] if command == "assess" else []
    target = tmp_path / "x.json"
    done = runner.invoke(app, [command, str(poses), "--layout", layout, "--fps", fps, "--json", str(target), *extra])
    assert done.exit_code == 1, done.output
    assert_one_clear_sentence(done.stderr, "p.npy")
    assert names.lower() in done.stderr.lower()
    assert not target.exists()


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04 not a zip", b"\x93NUMPY\x01\x00"])
@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_files_that_hold_no_poses_are_refused(tmp_path: Path, content: bytes, suffix: str) -> None:
    path = tmp_path / f"p{suffix}"
    path.write_bytes(content)
    done = runner.invoke(app, ["segment", str(path), "--layout", "coco17", "--fps", "30"])
    assert done.exit_code == 1, done.output
    assert_one_clear_sentence(done.stderr, path.name)
    assert done.stdout == ""


def test_an_npz_without_the_key_says_which_it_wants(tmp_path: Path) -> None:
    np.savez(tmp_path / "p.npz", other=np.zeros((3, 17, 3)))
    done = runner.invoke(app, ["segment", str(tmp_path / "p.npz"), "--layout", "coco17", "--fps", "30"])
    assert done.exit_code == 1
    assert_one_clear_sentence(done.stderr, "keypoints, poses or joints")


def test_schema_prints_a_json_schema() -> None:
    done = runner.invoke(app, ["schema"])
    assert done.exit_code == 0
    assert "formcheck.report/1" in json.dumps(json.loads(done.stdout))


def test_exercises_are_listed_with_aliases() -> None:
    done = runner.invoke(app, ["exercises"])
    assert done.exit_code == 0
    assert "bicep_curl" in done.stdout
    assert len(done.stdout.splitlines()) >= 19
