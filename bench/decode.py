"""What reading costs: raw PyAV decoding against ``VideoReader``, CPU time per frame. ``python -m bench.decode``."""

import argparse
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import av

from services.ingest.adapters.media import VideoReader

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("FORMCHECK_DATA", ROOT.parent / "shared" / "data"))


def raw(path: Path, threads: int) -> int:
    """Decode alone: no picture is made."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = threads
        stream.thread_type = "AUTO" if threads > 1 else "NONE"
        return sum(1 for _ in container.decode(stream))


def rgb(path: Path, threads: int) -> int:
    """Decode and PyAV's own way to an RGB array."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = threads
        stream.thread_type = "AUTO" if threads > 1 else "NONE"
        return sum(frame.to_ndarray(format="rgb24").ndim > 0 for frame in container.decode(stream))


def reader(short_side_px: int | None) -> Callable[[Path, int], int]:
    def read(path: Path, threads: int) -> int:
        with VideoReader(str(path), threads=threads, max_short_side_px=short_side_px) as source:
            return sum(1 for _ in source)

    return read


def cost_ms(run: Callable[[Path, int], int], path: Path, threads: int) -> tuple[float, float]:
    """CPU and wall time per frame, ms."""
    cpu, wall = time.process_time(), time.perf_counter()
    frames = run(path, threads)
    return (time.process_time() - cpu) / frames * 1e3, (time.perf_counter() - wall) / frames * 1e3


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("files", nargs="*", type=Path, help="default: the clips of the data folder")
    arguments.add_argument("--threads", type=int, default=1, help="of the decoder")
    arguments.add_argument("--runs", type=int, default=3, help="interleaved; the median counts")
    options = arguments.parse_args()
    files = options.files or sorted((DATA / "clips").glob("*.mp4"))
    ways = {"raw": raw, "to_ndarray": rgb, "reader": reader(None), "reader 480": reader(480)}
    print(f"CPU ms per frame, {options.threads} thread(s), median of {options.runs}")
    print(f"{'clip':38}" + "".join(f"{name:>12}" for name in ways) + f"{'reader/raw':>12}{'480/raw':>9}")
    totals: dict[str, list[float]] = {name: [] for name in ways}
    for path in files:
        runs = [
            {name: cost_ms(way, path, options.threads)[0] for name, way in ways.items()} for _ in range(options.runs)
        ]
        cost = {name: statistics.median(run[name] for run in runs) for name in ways}
        for name, value in cost.items():
            totals[name].append(value)
        row = "".join(f"{cost[name]:12.2f}" for name in ways)
        print(f"{path.stem[:37]:38}{row}{cost['reader'] / cost['raw']:12.2f}{cost['reader 480'] / cost['raw']:9.2f}")
    mean = {name: statistics.fmean(values) for name, values in totals.items()}
    row = "".join(f"{mean[name]:12.2f}" for name in ways)
    print(f"{'mean':38}{row}{mean['reader'] / mean['raw']:12.2f}{mean['reader 480'] / mean['raw']:9.2f}")


if __name__ == "__main__":
    main()
