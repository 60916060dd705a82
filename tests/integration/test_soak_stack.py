"""``make soak`` for two minutes: streams come and go, and nothing grows."""

from pathlib import Path

import pytest

from bench.rig.clips import small
from bench.rig.run import Rig
from bench.soak import Soak, judge, show
from services.local.stack.cameras import DEMO
from tests.support.kafka import PATIENCE

pytestmark = [pytest.mark.slow, pytest.mark.stack, pytest.mark.timeout(420 * PATIENCE)]

MINUTES = 2.0


def test_two_minutes_of_coming_and_going(tmp_path: Path) -> None:
    clip = small(DEMO, 240, 5.0, tmp_path / "short.mp4", seconds=30.0)
    with Rig(
        tmp_path, [clip], clip, cameras=2, seconds=30.0, brokers=1, proxied=False, patience=PATIENCE
    ) as rig:  # fmt: skip
        rig.learn()
        soak = Soak(rig)
        soak.run(60 * MINUTES)
        assert rig.judge(soak.streams, soak.log, gap_s=5.0 * PATIENCE) == []
    verdicts = judge(soak.samples, MINUTES)
    assert {"pose.1", "segment.1", "errors.1", "ingest.1", "kafka", "triton"} <= {v.process for v in verdicts}
    assert [v for v in verdicts if not v.good] == [], show(verdicts)
    assert soak.deaths >= 1
    assert len(soak.streams.cameras) >= 5
    assert len(soak.streams.files) >= 2
