"""Pose inference in this process against a real Triton beside it.

    python -m bench.triton [--profile movenet] [--callers 1,4,16] [--rounds 5] [--seconds 1] [--threads 0]

One crop per call, as a stream with one followed person sends it, by several callers at once. The ways take turns
in every round, so that whatever else the machine does meets all of them; the median of the rounds is printed, and of
each round's ratio to the process itself. *CPU ms* is the processor time of everything involved, per inference: on a
busy machine it says more than the rate.
"""

import argparse
import asyncio
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from services.local.stack.triton import TritonServer
from services.pose.adapters.onnx import OnnxBackend
from services.pose.adapters.triton import AsyncTritonBackend
from services.pose.core.profiles import Profile
from services.pose.model_repository import generate

TICK_S = 1 / os.sysconf("SC_CLK_TCK")


@dataclass(slots=True)
class Rounds:
    """Inferences/s and CPU seconds per inference, one value per round."""

    rate: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)


def cpu_s(pids: tuple[int, ...]) -> float:
    """User and system time of this process and others, so far."""
    used = time.process_time()
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        used += (int(fields[11]) + int(fields[12])) * TICK_S
    return used


def in_process(backend: OnnxBackend, model: str, crop: NDArray[np.uint8], callers: int, seconds: float) -> int:
    """How many inferences so many threads make."""
    until, counts = time.perf_counter() + seconds, [0] * callers

    def work(i: int) -> None:
        while time.perf_counter() < until:
            backend.infer(model, crop)
            counts[i] += 1

    threads = [threading.Thread(target=work, args=(i,)) for i in range(callers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts)


def through_triton(
    target: str, profile: Profile, model: str, crop: NDArray[np.uint8], callers: int, seconds: float
) -> int:
    """The same by so many tasks of one event loop; connecting is not counted."""

    async def work(backend: AsyncTritonBackend, until: float) -> int:
        count = 0
        while time.perf_counter() < until:
            await backend.infer(model, crop)
            count += 1
        return count

    async def run() -> int:
        backend = AsyncTritonBackend(target, profile, deadline_s=60, in_flight_max=callers)
        await backend.infer(model, crop)
        until = time.perf_counter() + seconds
        count = sum(await asyncio.gather(*(work(backend, until) for _ in range(callers))))
        await backend.close()
        return count

    return asyncio.run(run())


def measure(server: TritonServer, profile: Profile, args: argparse.Namespace) -> dict[tuple[str, int], Rounds]:
    """Per way and number of callers."""
    model = profile.following.name
    size = profile.following.size_px
    crop = np.random.default_rng(0).integers(0, 255, (1, size, size, 3), dtype=np.uint8)
    backend = OnnxBackend(profile, threads=args.threads)
    backend.infer(model, crop)
    ways: dict[str, Callable[[int, float], int]] = {
        "in process": lambda n, s: in_process(backend, model, crop, n, s),
        "Triton": lambda n, s: through_triton(server.grpc_target, profile, model, crop, n, s),
    }
    found = {(way, n): Rounds() for n in args.callers for way in ways}
    pids = (server.pid, *server.networks)
    for _ in range(args.rounds):
        for n in args.callers:
            for way, go in ways.items():
                used, began = cpu_s(pids), time.perf_counter()
                count = go(n, args.seconds)
                found[way, n].rate.append(count / (time.perf_counter() - began))
                found[way, n].cpu_s.append((cpu_s(pids) - used) / count)
    return found


def main() -> None:
    """Prints one line per way and number of callers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", default="movenet")
    parser.add_argument("--callers", type=lambda text: [int(n) for n in text.split(",")], default=[1, 4, 16])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--threads", type=int, default=0, help="per network, both ways; 0: one per core")
    args = parser.parse_args()
    profile = Profile.get(args.profile)
    with tempfile.TemporaryDirectory(prefix="formcheck-") as folder:
        generate.write(Path(folder) / "models", [profile], threads=args.threads)
        with TritonServer(Path(folder) / "models") as server:
            found = measure(server, profile, args)
    load = os.getloadavg()[0]
    print(
        f"{profile.following.name}, {os.cpu_count()} cores, load {load:.1f}; {args.rounds} rounds of {args.seconds} s"
    )
    print(f"{'':24}{'callers':>8}{'inferences/s':>14}{'of in process':>15}{'CPU ms':>8}")
    for (way, n), rounds in found.items():
        ratio = statistics.median(a / b for a, b in zip(rounds.rate, found["in process", n].rate, strict=True))
        rate, cpu_ms = statistics.median(rounds.rate), statistics.median(rounds.cpu_s) * 1e3
        print(f"{way:24}{n:>8}{rate:>14.0f}{ratio:>15.2f}{cpu_ms:>8.2f}")


if __name__ == "__main__":
    main()
