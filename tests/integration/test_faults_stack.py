"""Two of ``make faults``, short: services die in the middle of a set, and nothing is lost, doubled or out of order."""

import random
from pathlib import Path

import pytest

from bench.rig.clips import small
from bench.rig.harm import HARMS, suffer
from bench.rig.run import Rig
from services.local.stack.cameras import DEMO
from tests.support.kafka import PATIENCE

pytestmark = [pytest.mark.slow, pytest.mark.stack, pytest.mark.timeout(240 * PATIENCE)]

FAULTS = ("kill -9 of pose", "kill -9 of segment")


def test_services_killed_in_mid_set_lose_and_double_nothing(tmp_path: Path) -> None:
    """A file and a camera on a real Kafka and a real Triton; judged by the invariants of their topics."""
    clip = small(DEMO, 300, 10.0, tmp_path / "short.mp4", seconds=24.0)
    with Rig(tmp_path, [clip], clip, cameras=1, seconds=24.0, brokers=1, proxied=False, patience=PATIENCE) as rig:
        rig.learn()
        (reference,) = rig.references.values()
        assert len(reference) >= 2
        for number, name in enumerate(FAULTS):
            streams = rig.begin(f"t{number}")
            rig.wait_mid_set(streams)
            suffer(rig, HARMS[name], streams, random.Random(number))
            log = rig.finish(streams)
            assert rig.judge(streams, log) == [], name
            assert rig.watch.unreadable == []
