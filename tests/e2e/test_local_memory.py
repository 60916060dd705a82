"""Three minutes of 1080p with a lifter in it through the whole command stay within the memory bound."""

import json
from pathlib import Path

import pytest

from bench.memory import LIMIT_MB, command_for, make_long, peak_of


@pytest.mark.slow
def test_three_minutes_of_1080p_stay_within_the_bound(tmp_path: Path) -> None:
    video = make_long(tmp_path / "long.mp4", 3)
    peak = peak_of(command_for(video, tmp_path, reader_only=False, short_side_px=0))
    assert peak.code == 0
    people = json.loads((tmp_path / "out" / "report.json").read_text())["people"]
    assert sum(len(p["repetitions"]) for p in people) >= 30, "the lifter was not analysed"
    assert peak.rss_mb < LIMIT_MB
