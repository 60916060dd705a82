"""The server's files: fetched once whoever asks, and clear about what went wrong."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from services.common.errors import ConfigError
from services.local.stack import triton, triton_files

ROOT = Path(__file__).parents[2]


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FORMCHECK_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def uv_that(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The uv to call from now on; $DEST is where the package should go."""
    uv = folder / "uv"
    find = 'while [ "$1" != --target ]; do shift; done; DEST="$2"'
    uv.write_text(f"#!/bin/sh\n{find}\n{script}\n")
    uv.chmod(uv.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setenv("UV", str(uv))


def test_what_is_fetched_is_kept_and_is_only_what_runs() -> None:
    home = triton_files.ensure_server()
    assert os.access(home / "bin" / "tritonserver", os.X_OK)
    backend = home / "backends" / "python"
    assert os.access(backend / "triton_python_backend_stub", os.X_OK)
    assert [p.name for p in (home / "backends").iterdir()] == ["python"]
    assert triton_files.ensure_server() == home
    said = subprocess.run(
        [home / "bin" / "tritonserver", "--help"],
        env=triton.environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "--model-repository" in said.stdout + said.stderr


def test_several_processes_at_once_fetch_once(
    empty_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = 'mkdir -p "$DEST/pytriton/tritonserver" && cd "$DEST/pytriton/tritonserver"'
    files = "mkdir -p bin backends/python python_backend_stubs/3.11 ../../nvidia_pytriton.libs"
    stub = "touch python_backend_stubs/3.11/triton_python_backend_stub"
    uv_that(tmp_path, f'echo x >> "{tmp_path}/calls"; sleep 0.3; {wheel} && {files} && {stub}', monkeypatch)
    code = "from services.local.stack.triton_files import ensure_server; print(ensure_server())"
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    said = [run.communicate(timeout=120) for run in runs]
    assert [run.returncode for run in runs] == [0, 0, 0], said
    assert len({out for out, _ in said}) == 1
    assert (tmp_path / "calls").read_text() == "x\n"
    home = Path(said[0][0].strip())
    assert home.is_relative_to(empty_cache)
    assert (home / "backends" / "python" / "triton_python_backend_stub").is_file()
    assert sorted(p.name[:12] for p in (empty_cache / "triton").iterdir()) == ["lock", "nvidia-pytri"]


def test_no_network_is_one_clear_sentence(
    empty_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    uv_that(tmp_path, "echo 'error: Failed to fetch:' >&2; echo '  dns error' >&2; exit 2", monkeypatch)
    with pytest.raises(ConfigError, match=r"cannot fetch nvidia-pytriton==0\.7\.0 .*dns error.*check the network") as e:
        triton_files.ensure_server()
    assert "\n" not in str(e.value)
    assert "fetching nvidia-pytriton" in capsys.readouterr().err
    assert [p.name for p in empty_cache.rglob("*") if p.is_file()] == ["lock"]


def test_another_wheel_than_the_pinned_one_is_refused(empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the client itself, before anything is unpacked: here with a package that is quickly had."""
    monkeypatch.setattr(triton_files, "PACKAGE", "iniconfig==2.0.0")
    with pytest.raises(ConfigError, match=r"(?i)cannot fetch iniconfig==2\.0\.0 .*hash"):
        triton_files.ensure_server()
    assert [p.name for p in empty_cache.rglob("*") if p.is_file()] == ["lock"]


def test_a_wheel_of_other_content_is_refused(
    empty_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uv_that(tmp_path, 'mkdir -p "$DEST/pytriton/tritonserver"', monkeypatch)
    with pytest.raises(ConfigError, match="does not hold what it should"):
        triton_files.ensure_server()
    assert [p.name for p in empty_cache.rglob("*") if p.is_file()] == ["lock"]


def test_neither_uv_nor_pip_is_told(empty_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("UV", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(triton_files, "ROOT", tmp_path)
    monkeypatch.setattr(triton_files.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="install uv"):
        triton_files.ensure_server()


def test_a_cache_that_cannot_be_written_names_the_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("FORMCHECK_CACHE", str(tmp_path / "file"))
    with pytest.raises(ConfigError, match="FORMCHECK_CACHE"):
        triton_files.ensure_server()
