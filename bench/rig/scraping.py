"""The services' ``/metrics``, read while they run; what a killed process had counted is not forgotten."""

import http.client
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Final, Self

from prometheus_client.parser import text_string_to_metric_families

from services.common.settings import LOOPBACK

Labels = tuple[tuple[str, str], ...]
Samples = dict[tuple[str, Labels], float]
_TIMEOUT_S: Final = 2.0


def scrape(port: int) -> Samples:
    """(sample's name, sorted labels) → value. Raises OSError: nobody answers."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=_TIMEOUT_S)
    try:
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
    except http.client.HTTPException as error:
        raise OSError(str(error)) from error
    finally:
        connection.close()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def total(samples: Samples, name: str, **labels: str) -> float:
    """Sum of a name over all samples that bear these labels."""
    wanted = set(labels.items())
    return sum(value for (n, found), value in samples.items() if n == name and wanted <= set(found))


def grown(before: Samples, after: Samples) -> Samples:
    """How much each sample rose (one that fell was counted anew)."""
    out = {}
    for key, value in after.items():
        was = before.get(key, 0.0)
        out[key] = value - was if value >= was else value
    return out


def quantile(samples: Samples, name: str, q: float, **labels: str) -> float | None:
    """Of a histogram, interpolated inside its bucket; None: nothing was observed. The last bucket gives its bound."""
    wanted = set(labels.items())
    buckets: Counter[float] = Counter()
    for (n, found), value in samples.items():
        told = dict(found)
        if n == f"{name}_bucket" and wanted <= set(found):
            buckets[float(told["le"])] += value  # type: ignore[assignment]
    bounds = sorted(buckets)
    if not bounds or buckets[bounds[-1]] <= 0:
        return None
    rank, low, below = q * buckets[bounds[-1]], 0.0, 0.0
    for bound in bounds:
        if buckets[bound] >= rank:
            if bound == float("inf"):
                return low
            inside = buckets[bound] - below
            return low + (bound - low) * ((rank - below) / inside if inside else 1.0)
        low, below = bound, buckets[bound]
    return low


class Scraper:
    """Reads a set of ports every ``every_s`` in a thread and sums counters over the lives of their processes.

    Args:
        ports: name of a process → its HTTP port, asked each time.
        names: counters to keep.
    """

    def __init__(self, ports: Callable[[], Mapping[str, int]], names: tuple[str, ...], every_s: float = 0.5) -> None:
        self._ports, self._names, self._every_s = ports, names, every_s
        self._last: dict[str, Samples] = {}
        self._sums: Counter[tuple[str, Labels]] = Counter()
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="scraper", daemon=True)
        self._thread.start()

    def sums(self, now: bool = True) -> dict[tuple[str, Labels], float]:
        """Counters over all processes; ``now``: read them once more first."""
        if now:
            self._read()
        with self._lock:
            return dict(self._sums)

    def close(self) -> None:
        self._stopping.set()
        self._thread.join(10.0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self) -> None:
        while not self._stopping.wait(self._every_s):
            self._read()

    def _read(self) -> None:
        for process, port in list(self._ports().items()):
            try:
                samples = {k: v for k, v in scrape(port).items() if k[0] in self._names}
            except OSError:
                continue
            with self._lock:
                for key, value in grown(self._last.get(process, {}), samples).items():
                    self._sums[key] += value  # type: ignore[assignment]
                self._last[process] = samples


def wait_until(done: Callable[[], object], timeout_s: float, what: str) -> None:
    """Raises TimeoutError with ``what``."""
    deadline_s = time.monotonic() + timeout_s
    while not done():
        if time.monotonic() > deadline_s:
            raise TimeoutError(f"not within {timeout_s:.0f} s: {what}")
        time.sleep(0.05)
