"""What can go wrong with a running stack, one function each: does it, undoes it, says when cameras may have missed."""

import os
import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from bench.rig.run import SERVICES, Rig, Streams, say
from bench.rig.scraping import wait_until
from services.local.stack.invariants import Outage

_BEFORE_S: Final = 2.0
"""Counts are read twice a second: those of a killed process are lost for so long before, with frames under way."""


@dataclass(frozen=True, slots=True)
class Harm:
    """``act`` does it and undoes what must be undone; returns the wall time from which on all could be well again.

    ``counted`` False: a process that counts skipped frames dies with it.
    """

    name: str
    act: "Act"
    counted: bool = True


Times = tuple[float, float | None]
Act = Callable[[Rig, Streams, random.Random], Times]
"""Gives, in wall time, when all could be well again, and when it was (None: not waited for)."""


def _kill(service: str) -> Act:
    def act(rig: Rig, streams: Streams, rng: random.Random) -> Times:
        rig.stack.kill_process(f"{service}.1")
        now_s = time.time()
        rig.stack.start_process(f"{service}.1")
        return now_s, None

    return act


def _kill_broker(rig: Rig, streams: Streams, rng: random.Random) -> Times:
    """It stays away until everything goes on without it, then comes back and catches up; an only one comes back at
    once."""
    index = rng.randrange(rig.kafka.replication)
    rig.kafka.kill(index)
    now_s = time.time()
    if rig.kafka.replication == 1:
        rig.kafka.restart(index)
        return now_s, None
    back_s = rig.wait_recovered(streams, now_s)
    rig.kafka.restart(index)
    return now_s, back_s


def _kill_triton(seconds: float) -> Act:
    def act(rig: Rig, streams: Streams, rng: random.Random) -> Times:
        assert rig.stack.triton is not None
        rig.stack.triton.kill()
        time.sleep(seconds)  # that is the fault: it is away so long
        rig.stack.triton.start()
        rig.stack.triton.wait_ready()
        return time.time(), None

    return act


def _stop_camera(seconds: float) -> Act:
    def act(rig: Rig, streams: Streams, rng: random.Random) -> Times:
        cameras = rng.choice(rig.cameras)
        cameras.signal(signal.SIGSTOP)
        try:
            time.sleep(seconds)
        finally:
            cameras.signal(signal.SIGCONT)
        return time.time(), None

    return act


def _cut_broker(seconds: float, stalled: bool = False) -> Act:
    def act(rig: Rig, streams: Streams, rng: random.Random) -> Times:
        front = rng.choice(rig.fronts)
        (rig.proxy.stall if stalled else rig.proxy.cut)(front)
        try:
            time.sleep(seconds)
        finally:
            rig.proxy.heal(front)
        return time.time(), None

    return act


def _rolling_restart(rig: Rig, streams: Streams, rng: random.Random) -> Times:
    """Each service drains and starts anew, one after the other; then each broker."""
    for service in SERVICES:
        rig.stack.restart(f"{service}.1")
    for index in range(rig.kafka.replication):
        os.kill(rig.kafka.pid(index), signal.SIGTERM)
        wait_until(lambda index=index: not rig.kafka.running(index), 60 * rig.patience, "a broker's end")  # type: ignore[misc]
        rig.kafka.kill(index)  # forgets the process
        rig.kafka.restart(index)
    return time.time(), None


def _replicas(rig: Rig, streams: Streams, rng: random.Random) -> Times:
    """A second replica of each service joins; then the first of each leaves, and comes back as the second leaves."""
    for service in SERVICES:
        rig.stack.start_process(f"{service}.2")
    rig.wait_recovered(streams, time.time())
    for service in SERVICES:
        rig.stack.stop_process(f"{service}.1")
    rig.wait_recovered(streams, time.time())
    for service in SERVICES:
        rig.stack.start_process(f"{service}.1")
        rig.stack.stop_process(f"{service}.2")
    return time.time(), None


HARMS: Final = {
    harm.name: harm
    for harm in (
        *(Harm(f"kill -9 of {service}", _kill(service), counted=service != "pose") for service in SERVICES),
        Harm("kill -9 of a broker", _kill_broker),
        Harm("Triton gone for 20 s", _kill_triton(20.0)),
        Harm("a camera stopped (SIGSTOP) for 12 s", _stop_camera(12.0)),
        Harm("connections to a broker cut for 8 s", _cut_broker(8.0)),
        Harm("connections to a broker silent for 8 s", _cut_broker(8.0, stalled=True)),
        Harm("rolling restart of all", _rolling_restart, counted=False),
        Harm("second replicas join, first leave and return", _replicas, counted=False),
    )
}
"""By name; the order is that of the table."""


def suffer(rig: Rig, harm: Harm, streams: Streams, rng: random.Random) -> tuple[float, float]:
    """Does it to running streams; seconds that it lasted, and from its end until every stream gives poses again."""
    begin_s = time.time()
    undone_s, back_s = harm.act(rig, streams, rng)
    if back_s is None:
        back_s = rig.wait_recovered(streams, undone_s)
    lasted_s, recovery_s = undone_s - begin_s, max(0.0, back_s - undone_s)
    streams.outages.append(Outage(begin_s - _BEFORE_S, max(back_s, time.time()) + 1.0, counted=harm.counted))
    say(f"  {harm.name}: lasted {lasted_s:.1f} s, all streams back {recovery_s:.1f} s after")
    return lasted_s, recovery_s
