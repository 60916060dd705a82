"""Faults on a real stack: three brokers, Triton, the four services, two files and two cameras.

    python -m bench.faults [--only TEXT] [--seed N] [--json FILE] [--keep DIR]

For each fault the four streams are started anew, the fault comes while somebody is in the middle of a set, and after it
the invariants are judged (``services.local.stack.invariants``): of the files nothing is lost, doubled or out of order
and the repetitions are those of an undisturbed run; of the cameras only frames of the outage are missing, and counted.

*lasts*: how long the fault is there (0: a kill, the restart follows at once). *recovery*: from its end until every
stream gives poses of new frames again and the stages behind have caught up. Exit code 1 if anything is violated.
"""

import argparse
import json
import random
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from bench.rig.clips import camera_clip, file_clips
from bench.rig.harm import HARMS, Harm, suffer
from bench.rig.run import Rig, interruptible, say
from bench.rig.table import out_file, table
from services.common.errors import FormcheckError
from services.local.stack.seen import Kind, Seen


@dataclass(slots=True)
class Row:
    """What came of one fault. ``violations``: sentences; ``trouble``: what kept it from being judged."""

    fault: str
    lasts_s: float = 0.0
    recovery_s: float = 0.0
    file_frames: int = 0
    repetitions: int = 0
    camera_frames: int = 0
    camera_poses: int = 0
    counted_skips: int = 0
    violations: list[str] = field(default_factory=list)
    trouble: str = ""

    @property
    def good(self) -> bool:
        return not self.violations and not self.trouble


def try_fault(rig: Rig, harm: Harm, label: str, seed: int) -> Row:
    """One fault on fresh streams."""
    row = Row(harm.name)
    try:
        streams = rig.begin(label)
        rig.wait_mid_set(streams)
        row.lasts_s, row.recovery_s = suffer(rig, harm, streams, random.Random(seed))
        log = rig.finish(streams)
    except (FormcheckError, TimeoutError) as error:
        row.trouble = str(error)
        return row
    row.violations = [str(v) for v in rig.judge(streams, log)]
    files = set(streams.files)
    row.file_frames = _frames(log, files, Kind.FRAME)
    row.repetitions = sum(s.kind is Kind.ASSESSMENT and s.name in files for s in log)
    row.camera_frames = _frames(log, set(streams.cameras), Kind.FRAME)
    row.camera_poses = _frames(log, set(streams.cameras), Kind.POSE)
    row.counted_skips = sum(n for name, n in rig.skipped().items() if name in streams.cameras)
    return row


def _frames(log: list[Seen], names: set[str], kind: Kind) -> int:
    return len({(s.stream, s.sequence) for s in log if s.kind is kind and s.name in names})


def heal(rig: Rig) -> None:
    """Bring back what a fault that went wrong has left dead."""
    for index in range(rig.kafka.replication):
        if not rig.kafka.running(index):
            rig.kafka.kill(index)
            rig.kafka.restart(index)
    triton = rig.stack.triton
    if triton is not None and not triton.healthy():
        triton.kill()
        triton.start()
        triton.wait_ready()
    for name, process in list(rig.stack.processes.items()):
        if name.endswith(".1") and not process.running:
            rig.stack.start_process(name)
        elif name.endswith(".2") and process.running:
            rig.stack.stop_process(name)


def show(rows: list[Row]) -> str:
    lines = [
        (r.fault, f"{r.lasts_s:.1f}", f"{r.recovery_s:.1f}", str(r.file_frames), str(r.repetitions),
         str(r.camera_frames), str(r.camera_frames - r.camera_poses), str(r.counted_skips), _verdict(r))
        for r in rows
    ]  # fmt: skip
    heads = (
        "fault", "lasts s", "recovery s", "file frames", "assessed", "camera frames", "not analysed", "counted",
        "invariants",
    )  # fmt: skip
    return table(heads, lines)


def _verdict(row: Row) -> str:
    if row.trouble:
        return "TROUBLE"
    return "held" if row.good else f"{len(row.violations)} VIOLATED"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="faults whose name contains this")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=75.0, help="length of the files")
    parser.add_argument("--json", type=Path, default=Path("out/faults.json"))
    parser.add_argument("--keep", type=Path, help="keep logs and data here")
    args = parser.parse_args()
    harms = [h for h in HARMS.values() if args.only in h.name]
    with interruptible(), tempfile.TemporaryDirectory(prefix="formcheck-faults-") as scratch:
        folder = args.keep or Path(scratch)
        began_s = time.monotonic()
        rows: list[Row] = []
        try:
            with Rig(folder, file_clips(2), camera_clip("360p", 1).path, seconds=args.seconds) as rig:
                rig.learn()
                told = ", ".join(str(len(a)) for a in rig.references.values())
                say(f"the undisturbed run has {told} repetitions in its files")
                for i, harm in enumerate(harms):
                    say(f"{i + 1}/{len(harms)}: {harm.name}")
                    rows.append(try_fault(rig, harm, f"t{i}", args.seed + i))
                    for line in [*rows[-1].violations[:5], *([rows[-1].trouble] if rows[-1].trouble else [])]:
                        say(f"  {line}")
                    if rows[-1].trouble:
                        heal(rig)
        except KeyboardInterrupt:
            say("interrupted")
        print(show(rows))
        good = sum(r.good for r in rows)
        print(f"{good} of {len(harms)} faults without a violation, {time.monotonic() - began_s:.0f} s")
        out_file(args.json).write_text(json.dumps([asdict(r) for r in rows], indent=1))
    return 0 if good == len(harms) else 1


if __name__ == "__main__":
    sys.exit(main())
