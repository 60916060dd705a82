"""Chaos on a real stack: faults drawn by a seed, one after the other without mercy, judged at the end.

    python -m bench.chaos --minutes 5 --seed 1 [--json FILE] [--keep DIR]

Two cameras run all the time and files follow one another, while every few seconds one of the faults of ``bench.faults``
comes, whether or not the last one is over. Then all is healed, everything is brought to its end, and the invariants are
judged over the whole run. Exit code 1 if anything is violated.
"""

import argparse
import json
import random
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Final

from kafka.errors import KafkaError

from bench.faults import heal
from bench.rig.clips import camera_clip, file_clips
from bench.rig.harm import HARMS, Harm
from bench.rig.run import Rig, Streams, interruptible, say
from bench.rig.table import out_file
from services.common import topics
from services.common.errors import FormcheckError
from services.local.stack.invariants import Outage
from services.local.stack.watch import ended

_FILES_AT_ONCE: Final = 2
_PAUSE_S: Final = (2.0, 9.0)
_BEFORE_S: Final = 2.0
NO_CHAOS: Final = ("rolling restart of all", "second replicas join, first leave and return")
"""They take minutes; a restart of one service is drawn instead."""


def _restart(service: str) -> Harm:
    def act(rig: Rig, streams: Streams, rng: random.Random) -> tuple[float, float | None]:
        rig.stack.restart(f"{service}.1")
        return time.time(), None

    return Harm(f"restart of {service}", act, counted=service != "pose")


def harms() -> list[Harm]:
    """What is drawn from."""
    kept = [h for name, h in HARMS.items() if name not in NO_CHAOS]
    return kept + [_restart(service) for service in ("ingest", "pose", "segment", "errors")]


class Feeder:
    """Keeps so many files on their way, in a thread, until it is told to stop."""

    def __init__(self, rig: Rig, streams: Streams) -> None:
        self._rig, self._streams = rig, streams
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="feeder", daemon=True)
        self.failures: list[str] = []
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(60.0)

    def _run(self) -> None:
        number = 0
        while not self._stopping.is_set():
            log = self._rig.watch.log(self._streams.since)
            over = {s.name for s in log if s.topic == topics.ASSESSMENTS and s.mark == "eof"}
            if len(set(self._streams.files) - over) >= _FILES_AT_ONCE:
                self._stopping.wait(0.5)
                continue
            clip = self._rig.clips[number % len(self._rig.clips)]
            number += 1
            try:
                name = self._rig.submit(f"chaos-file{number}", clip)
            except KafkaError as error:  # it is away, and may have taken it: the uploader tries again by another name
                self.failures.append(repr(error))
                self._stopping.wait(1.0)
                continue
            self._streams.files[name] = clip


def run(rig: Rig, minutes: float, rng: random.Random) -> tuple[Streams, list[str]]:
    """The faults that came, in order."""
    streams = rig.begin("chaos", files=0)
    feeder = Feeder(rig, streams)
    came: list[str] = []
    try:
        rig.watch.wait(
            lambda log: {s.name for s in log if s.topic == topics.POSES}.issuperset(streams.cameras),
            120 * rig.patience, "poses of each camera", streams.since,
        )  # fmt: skip
        choice = harms()
        until_s = time.monotonic() + 60 * minutes
        while time.monotonic() < until_s:
            harm = rng.choice(choice)
            begin_s = time.time()
            say(f"{max(0.0, until_s - time.monotonic()):4.0f} s left: {harm.name}")
            harm.act(rig, streams, rng)
            came.append(harm.name)
            pause_s = rng.uniform(*_PAUSE_S)
            time.sleep(pause_s)
            streams.outages.append(Outage(begin_s - _BEFORE_S, time.time(), counted=harm.counted))
    finally:
        feeder.stop()
    end_s = time.time()
    heal(rig)
    back_s = rig.wait_recovered(streams, end_s, 180)
    # What came between two faults may still be of the first: the whole of it counts as one outage.
    first_s = min((o.begin_unix_s for o in streams.outages), default=end_s)
    uncounted = any(not o.counted for o in streams.outages)
    streams.outages[:] = [Outage(first_s, max(back_s, time.time()) + 1.0, counted=not uncounted)]
    say(f"all streams are back {back_s - end_s:.1f} s after the last pause")
    return streams, came


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, default=Path("out/chaos.json"))
    parser.add_argument("--keep", type=Path, help="keep logs and data here")
    args = parser.parse_args()
    violations: list[str] = []
    with interruptible(), tempfile.TemporaryDirectory(prefix="formcheck-chaos-") as scratch:
        try:
            with Rig(args.keep or Path(scratch), file_clips(3), camera_clip("360p", 1).path, seconds=30.0) as rig:
                rig.learn()
                streams, came = run(rig, args.minutes, random.Random(args.seed))
                say("everything to its end")
                log = rig.finish(streams, 600.0)
                violations = [str(v) for v in rig.judge(streams, log)]
        except KeyboardInterrupt:
            say("interrupted")
            return 130
        except (FormcheckError, TimeoutError) as error:
            print(f"chaos of seed {args.seed}: {error}")
            return 1
    assessed = sum(s.topic == topics.ASSESSMENTS and s.answer is not None for s in log)
    done = sum(ended(log, topics.ASSESSMENTS, [name]) for name in streams.files)
    counts = {name: came.count(name) for name in dict.fromkeys(came)}
    print(f"seed {args.seed}: {len(came)} faults in {args.minutes:g} minutes: {counts}")
    print(f"{done} of {len(streams.files)} files through, {assessed} repetitions assessed, {len(log)} records judged")
    for violation in violations[:20]:
        print(f"  {violation}")
    print("no invariant violated" if not violations else f"{len(violations)} VIOLATIONS")
    result = {"seed": args.seed, "faults": came, "files": done, "records": len(log), "violations": violations}
    out_file(args.json).write_text(json.dumps(result, indent=1))
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
