"""Processor time, memory and handles of process trees, from /proc."""

import contextlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_TICKS: Final = os.sysconf("SC_CLK_TCK")
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Usage:
    """Of one process tree: CPU seconds so far (with those of children that have ended), resident bytes (shared pages
    counted once for each process), threads, open file descriptors, processes."""

    cpu_s: float = 0.0
    rss_bytes: int = 0
    threads: int = 0
    files: int = 0
    processes: int = 0


def tree(pid: int) -> list[int]:
    """``pid`` and all below it that live."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, IndexError, ValueError):
                parents.setdefault(int(_fields(int(entry.name))[1]), []).append(int(entry.name))
    found, waiting = [], [pid]
    while waiting:
        one = waiting.pop()
        found.append(one)
        waiting += parents.get(one, [])
    return found


def usage(pids: Iterable[int], *, only_roots: bool = False) -> Usage:
    """Of all trees under ``pids`` together; ``only_roots``: without what is below. Gone processes count nothing."""
    roots = list(pids)
    everyone = set(roots) if only_roots else {p for root in roots for p in tree(root)}
    cpu_s, rss, threads, files, alive = 0.0, 0, 0, 0, 0
    for pid in everyone:
        with contextlib.suppress(OSError, IndexError, ValueError):
            fields = _fields(pid)
            own = int(fields[11]) + int(fields[12])
            ended = int(fields[13]) + int(fields[14])
            cpu_s += (own + ended) / _TICKS
            threads += int(fields[17])
            rss += int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
            files += len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208 - names only, quicker
            alive += 1
    return Usage(cpu_s, rss, threads, files, alive)


def _fields(pid: int) -> list[str]:
    """Of /proc/PID/stat after the name: [0] state, [1] parent, [11..14] times, [17] threads."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
