"""A stack that works for long: does anything grow?

    python -m bench.soak --minutes 30 [--json FILE] [--keep DIR]

Cameras are added and removed every 20 s, one-minute clips are uploaded one after the other, the cameras' server is
killed and started again now and then. Resident memory, threads, file descriptors and lag of each process are sampled;
through the samples after the first quarter a straight line is laid. A slope that is surely (two standard errors, which
take the samples' autocorrelation into account) beyond its bound fails the run, as does a file that does not come
through or breaks an invariant.
"""

import argparse
import itertools
import json
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bench.rig.clips import camera_clip, file_clips
from bench.rig.cpu import usage
from bench.rig.load import trees
from bench.rig.run import Rig, Streams, interruptible, say
from bench.rig.scraping import scrape, total
from bench.rig.slope import Slope, slope
from bench.rig.table import out_file, table
from services.common import topics
from services.common.errors import FormcheckError
from services.local.stack.invariants import Outage
from services.local.stack.seen import Kind, Seen

SWAP_S: Final = 20.0
CAMERA_DEATH_S: Final = 75.0
SAMPLE_S: Final = 2.0
WARM_SHARE: Final = 0.25

BOUNDS_PER_MIN: Final = {"rss_mb": 0.5, "threads": 0.2, "files": 0.3, "lag": 5.0}
"""What may grow a minute in a run of half an hour; shorter runs see the first minutes' growth (``bounds``)."""
_WARMING: Final = {"rss_mb": 25.0, "threads": 6.0, "files": 12.0, "lag": 200.0}
"""What may still grow over a run, however short, until everything has been used once."""
_SLOW_TO_WARM: Final = {"kafka": {"rss_mb": 150.0, "files": 150.0}, "triton": {"rss_mb": 80.0}}
"""A broker's heap fills up to its 256 MB, and its topics roll segments (each minute, some every ten seconds) until the
first are old enough to go; a network's process takes what its largest batches need."""


def bounds(minutes: float, process: str = "") -> dict[str, float]:
    """Per minute, for a run of this length."""
    warming = _WARMING | _SLOW_TO_WARM.get(process, {})
    return {what: bound + warming[what] / minutes for what, bound in BOUNDS_PER_MIN.items()}


@dataclass(slots=True)
class Samples:
    """Process → what → (s since the start, value)."""

    values: dict[str, dict[str, list[tuple[float, float]]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(list))
    )

    def add(self, at_s: float, process: str, **values: float) -> None:
        for what, value in values.items():
            self.values[process][what].append((at_s, value))

    def slopes(self, warm_share: float = WARM_SHARE) -> dict[tuple[str, str], Slope]:
        out = {}
        for process, each in self.values.items():
            for what, points in each.items():
                last_s = points[-1][0]
                kept = [p for p in points if p[0] >= warm_share * last_s]
                if len(kept) >= 4:
                    out[process, what] = slope([t for t, _ in kept], [v for _, v in kept])
        return out


class Soak:
    """Two minutes or thirty of coming and going.

    Args:
        rig: running, its cameras are used one after the other.
    """

    def __init__(self, rig: Rig, swap_s: float = SWAP_S, death_s: float = CAMERA_DEATH_S) -> None:
        self._rig, self._swap_s, self._death_s = rig, swap_s, death_s
        self.samples = Samples()
        self.streams = Streams(since=len(rig.watch))
        self.log: list[Seen] = []
        self._numbers = itertools.count()
        self._live: list[str] = []
        self.deaths = 0

    def run(self, seconds: float) -> None:
        """Raises: FormcheckError: a stream does not come through."""
        rig, began_s = self._rig, time.monotonic()
        swap_s = death_s = told_s = 0.0
        deaths_s = min(self._death_s, seconds / 2)
        while (now_s := time.monotonic() - began_s) < seconds:
            if now_s >= swap_s:
                swap_s = now_s + self._swap_s
                self._swap_cameras()
            if not self._uploading():
                self._upload()
            if now_s >= death_s + deaths_s:
                death_s = now_s
                self._camera_dies()
            self._sample(now_s)
            if now_s >= told_s + 30:
                told_s = now_s
                came = f"{len(self.streams.files)} files, {len(self.streams.cameras)} cameras so far"
                say(f"{now_s:.0f} of {seconds:.0f} s: {came}")
            time.sleep(max(0.0, SAMPLE_S - (time.monotonic() - began_s - now_s)))
        self.log = rig.finish(self.streams, 300.0)

    def _swap_cameras(self) -> None:
        """One more, and the oldest goes: as many as there are camera servers run at once."""
        servers = self._rig.cameras
        number = next(self._numbers)
        self._live.append(self._rig.add_camera(f"soak-camera{number}", servers[number % len(servers)].uris[0]))
        self.streams.cameras.append(self._live[-1])
        if len(self._live) > len(servers):
            gone, now_s = self._live.pop(0), time.time()
            self._rig.remove(gone)
            # Its counts go with it, and those of the last moment were not read.
            self.streams.outages.append(Outage(now_s - 5.0, now_s + 30.0, counted=False, names=(gone,)))

    def _uploading(self) -> bool:
        log = self._rig.watch.log(self.streams.since)
        over = {s.name for s in log if s.topic == topics.ASSESSMENTS and s.mark == "eof"}
        return bool(set(self.streams.files) - over)

    def _upload(self) -> None:
        number = next(self._numbers)
        clip = self._rig.clips[number % len(self._rig.clips)]
        self.streams.files[self._rig.submit(f"soak-file{number}", clip)] = clip

    def _camera_dies(self) -> None:
        """As in a power cut; it is there again at once, and has to be found again."""
        cameras = self._rig.cameras[self.deaths % len(self._rig.cameras)]
        begin_s = time.time()
        cameras.kill()
        cameras.start()
        self.deaths += 1
        self.streams.outages.append(Outage(begin_s - 1.0, begin_s + 45.0))

    def _sample(self, at_s: float) -> None:
        stack = self._rig.stack
        for name, pids in trees(stack).items():
            # Of ingest the readers come and go with the cameras: only what lasts is looked at.
            found = usage(pids, only_roots=name.startswith("ingest"))
            self.samples.add(at_s, name, rss_mb=found.rss_bytes / 2**20, threads=found.threads, files=found.files)
        for name, process in stack.processes.items():
            if process.service in ("segment", "errors"):
                lag = total(scrape(process.http_port), f"formcheck_{process.service}_lag_records")
                self.samples.add(at_s, name, lag=lag)


@dataclass(frozen=True, slots=True)
class Verdict:
    process: str
    what: str
    slope: Slope
    bound_per_min: float

    @property
    def good(self) -> bool:
        return not self.slope.grows_beyond(self.bound_per_min)


def judge(samples: Samples, minutes: float) -> list[Verdict]:
    found = sorted(samples.slopes().items())
    return [Verdict(process, what, each, bounds(minutes, process)[what]) for (process, what), each in found]


def show(verdicts: Sequence[Verdict]) -> str:
    rows = [
        (v.process, v.what, f"{v.slope.mean:.1f}", f"{v.slope.per_min:+.3f}", f"{v.slope.error:.3f}",
         f"{v.bound_per_min:.2f}", "" if v.good else "GROWS")
        for v in verdicts
    ]  # fmt: skip
    return table(("process", "what", "mean", "per min", "± error", "bound", ""), rows)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--json", type=Path, default=Path("out/soak.json"))
    parser.add_argument("--keep", type=Path, help="keep logs and data here")
    args = parser.parse_args()
    with interruptible(), tempfile.TemporaryDirectory(prefix="formcheck-soak-") as scratch:
        try:
            with Rig(
                args.keep or Path(scratch), file_clips(2), camera_clip("360p", 1).path, seconds=60.0, brokers=1,
                proxied=False, quick=False,
            ) as rig:  # fmt: skip
                rig.learn()
                soak = Soak(rig)
                soak.run(60 * args.minutes)
                violations = [str(v) for v in rig.judge(soak.streams, soak.log, gap_s=5.0)]
        except KeyboardInterrupt:
            say("interrupted")
            return 130
        except (FormcheckError, TimeoutError) as error:
            print(f"the soak stopped: {error}")
            return 1
    verdicts = judge(soak.samples, args.minutes)
    print(show(verdicts))
    grown = [v for v in verdicts if not v.good]
    assessed = sum(s.kind is Kind.ASSESSMENT for s in soak.log)
    print(f"{args.minutes:g} minutes: {len(soak.streams.files)} files, {len(soak.streams.cameras)} cameras, "
          f"{soak.deaths} deaths of cameras, {assessed} repetitions assessed; {len(grown)} slopes beyond their bound, "
          f"{len(violations)} invariants violated")  # fmt: skip
    for violation in violations[:20]:
        print(f"  {violation}")
    result = [{"process": v.process, "what": v.what, "mean": v.slope.mean, "per_min": v.slope.per_min,
               "error": v.slope.error, "bound": v.bound_per_min, "good": v.good} for v in verdicts]  # fmt: skip
    out_file(args.json).write_text(json.dumps({"slopes": result, "violations": violations}, indent=1))
    return 1 if grown or violations else 0


if __name__ == "__main__":
    sys.exit(main())
