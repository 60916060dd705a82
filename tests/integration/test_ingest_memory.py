"""The reader's memory does not grow with the file."""

from pathlib import Path

import pytest

from bench.memory import LIMIT_MB, command_for, make_long, peak_of
from tests import media


@pytest.mark.slow
def test_three_minutes_of_1080p_take_no_more_memory_than_ten_seconds(tmp_path: Path) -> None:
    codec = ("-c:v", "libx264", "-preset", "ultrafast", "-bf", "2", "-pix_fmt", "yuv420p")
    clip = tmp_path / "short.mp4"
    media.ffmpeg(*media.source("1920x1080", "4", 10, "testsrc"), *codec, clip)
    peaks = []
    for minutes in (1 / 6, 3):
        video = make_long(tmp_path / f"{minutes:.2f}.mp4", minutes, clip)
        peak = peak_of(command_for(video, tmp_path, reader_only=True, short_side_px=0))
        assert peak.code == 0
        peaks.append(peak.rss_mb)
    assert max(peaks) < LIMIT_MB / 2
    assert peaks[1] < peaks[0] + 30
