"""docs/capacity.md says what deploy/capacity.py says, and that is what it should."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT, DOC = ROOT / "deploy" / "capacity.py", ROOT / "docs" / "capacity.md"


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPT), *arguments], capture_output=True, text=True, timeout=60, check=False
    )


def needs(*arguments: str) -> dict[str, list[str]]:
    """Name → values without their units, one per size."""
    rows = [line.strip("| ").split(" | ") for line in run(*arguments).stdout.splitlines()[2:]]
    return {row[0]: [v.split()[0].replace(",", "") for v in row[1:-1]] for row in rows}


def test_the_document_holds_the_script_s_tables(tmp_path: Path) -> None:
    copy = tmp_path / "capacity.md"
    copy.write_text(DOC.read_text(encoding="utf-8"), encoding="utf-8")
    done = run("--write", str(copy))
    assert done.returncode == 0, done.stderr
    want = "docs/capacity.md is stale: python deploy/capacity.py --write docs/capacity.md"
    assert copy.read_text(encoding="utf-8") == DOC.read_text(encoding="utf-8"), want


def test_worked_by_hand() -> None:
    """100 cameras, one person each: numbers that can be done in the head."""
    given = {
        "analysed-fps": 10, "camera-fps": 20, "people": 1, "frame-bytes": 50_000, "decode-ms": 2, "pose-ms": 6,
        "crops-per-person": 1, "gpu-crops-per-s": 500, "serving-ratio": 1, "headroom": 0.5, "pose-bytes": 1000,
        "replication": 3, "poses-days": 1, "open-share": 1, "camera-mbit-s": 4, "encode-ms": 1,
    }  # fmt: skip
    got = needs("--cameras", "100", *(f"--{k}={v}" for k, v in given.items()))
    assert got["from the cameras"] == ["50"]
    assert got["- of that, frames"] == ["50"]
    assert got["crops to infer"] == ["1000"]
    assert got["GPUs"] == ["4"]
    assert got["decode cores (ingest)"] == ["8"]
    assert got["encode cores (ingest)"] == ["2"]
    assert got["pose cores"] == ["12"]
    assert got["partitions of a topic"] == ["24"], "two a replica of pose"
    assert got["poses kept"] == ["86.4"]
    assert int(got["Kafka brokers"][0]) == 3


def test_more_cameras_need_more_and_nonsense_is_refused() -> None:
    got = needs("--cameras", "50", "500", "5000")
    for name, values in got.items():
        few, more, most = map(float, values)
        assert few <= more <= most, name
        if name not in ("Kafka brokers", "partitions of a topic", "GPUs"):
            assert most == pytest.approx(100 * few, rel=0.1), name
    assert run("--cameras", "0").returncode == 2
    assert run("--headroom", "0").returncode == 2
