"""What reading cameras costs, by process. ``python -m bench.readers --cameras 4``.

Test cameras play a clip over RTSP; the readers decode every frame and send the analysed ones as JPEG to a sink that
throws them away. Beside it: decoding the same number of frames of the same clip alone, in the same run.
"""

import argparse
import time
from collections import Counter
from pathlib import Path

import av
import psutil

from services.common.codec import EncodedFrame
from services.common.processor import Mark
from services.ingest.adapters.supervisor import Supervisor, run_until
from services.ingest.core.streams import StreamEvent, StreamSpec
from services.local.stack.cameras import DEMO, TestCameras


class Nowhere:
    """Counts frames and their age; keeps nothing."""

    def __init__(self) -> None:
        self.ages_s: list[float] = []

    def ready(self, spec: StreamSpec) -> bool:
        return True

    def frame(self, spec: StreamSpec, frame: EncodedFrame) -> None:
        self.ages_s.append(time.time() - frame.captured_unix_s)

    def mark(self, spec: StreamSpec, mark: Mark) -> None: ...

    def event(self, spec: StreamSpec, event: StreamEvent) -> None: ...


def raw_ms(clip: Path, frames: int) -> float:
    """CPU ms per frame of decoding alone."""
    done, started = 0, time.thread_time()
    while done < frames:
        with av.open(str(clip)) as container:
            stream = container.streams.video[0]
            stream.codec_context.thread_count = 1
            for _ in container.decode(stream):
                done += 1
                if done == frames:
                    break
    return (time.thread_time() - started) / frames * 1e3


def cpu_s(process: psutil.Process) -> float:
    used = process.cpu_times()
    return used.user + used.system


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("clip", nargs="?", type=Path, default=DEMO)
    arguments.add_argument("--cameras", type=int, default=4)
    arguments.add_argument("--seconds", type=float, default=15.0)
    arguments.add_argument("--fps", type=float, default=10.0)
    options = arguments.parse_args()
    sink = Nowhere()
    with TestCameras(options.cameras, [options.clip], hours=0.2) as cameras, Supervisor(sink) as supervisor:
        started = time.monotonic()
        for i, uri in enumerate(cameras.uris):
            supervisor.apply(StreamSpec("bench", f"camera{i}", uri, analysis_fps=options.fps))
        running = run_until(supervisor, lambda: all(s.counters.sent > 0 for s in supervisor.status()), 60)
        assert running, supervisor.status()
        print(f"{options.cameras} cameras, first frames of all after {time.monotonic() - started:.1f} s")
        run_until(supervisor, lambda: False, 2.0)
        readers = [psutil.Process(s.reader_pid) for s in supervisor.status() if s.reader_pid]
        own, server = psutil.Process(), psutil.Process(cameras.pid)
        before = [cpu_s(p) for p in (*readers, own, server)]
        decoded = sum(s.counters.decoded for s in supervisor.status())
        sink.ages_s.clear()
        begun = time.monotonic()
        run_until(supervisor, lambda: False, options.seconds)
        seconds = time.monotonic() - begun
        used = [b - a for a, b in zip(before, (cpu_s(p) for p in (*readers, own, server)), strict=True)]
        decoded = sum(s.counters.decoded for s in supervisor.status()) - decoded
        unique_mb = [p.memory_full_info().uss / 2**20 for p in readers]
        shared_mb = [p.memory_full_info().pss / 2**20 for p in readers]
        status = supervisor.status()
    frames, streams = len(sink.ages_s), seconds * options.cameras
    ages = sorted(sink.ages_s)
    skipped = dict(sum((Counter(s.counters.skipped) for s in status), Counter[str]()))
    raw = raw_ms(options.clip, min(decoded, 500)) * decoded / 1e3
    print(f"analysed frames/s per camera   {frames / streams:8.2f}   of {decoded / streams:.1f}; skipped {skipped}")
    p50_ms, p95_ms = (ages[int(len(ages) * q)] * 1e3 for q in (0.5, 0.95))
    print(f"age at the sink, ms            p50 {p50_ms:.0f}   p95 {p95_ms:.0f}")
    print(f"CPU s per stream-second        readers {sum(used[:-2]) / streams:.4f}   service {used[-2] / streams:.4f}   "
          f"(decoding alone {raw / streams:.4f}; test cameras {used[-1] / streams:.4f})")  # fmt: skip
    print(f"memory of a reader, MB         own {max(unique_mb):.1f}   proportional {max(shared_mb):.1f}")


if __name__ == "__main__":
    main()
