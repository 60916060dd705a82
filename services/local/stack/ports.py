"""Which part of a local stack listens at which port of 127.0.0.1."""

import random
import socket
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final, Self

from services.common.errors import ConfigError

HOST: Final = "127.0.0.1"
SERVICES: Final = ("ingest", "pose", "segment", "errors")
"""In the order of the way of a frame."""
REPLICAS_MAX: Final = 9
_BROKERS_MAX: Final = 3
_FREE: Final = range(20_000, 32_000)
"""Below the ports that the kernel gives to outgoing connections: nobody takes one by chance."""

_USUAL: Final = {
    **{f"kafka.{i // 2 + 1}{'.controller' * (i % 2)}": 9092 + i for i in range(2 * _BROKERS_MAX)},
    "triton.grpc": 8001,
    "triton.http": 8000,
    "triton.metrics": 8002,
    "prometheus": 9090,
    "cameras": 8554,
}


class PortBook:
    """Part → port, the same for as long as the book lives.

    Parts: ``kafka.1`` and ``kafka.1.controller`` (to 3), ``triton.grpc``, ``triton.http``, ``triton.metrics``,
    ``prometheus``, ``cameras``, and of every replica ``pose.1.http`` and ``pose.1.grpc``.
    """

    def __init__(self, choose: Callable[[str], int]) -> None:
        self._choose = choose
        self.taken: dict[str, int] = {}

    @classmethod
    def usual(cls) -> Self:
        """Those that everything has by default: Kafka 9092, Triton 8001, pose 8102 and 9102 (the second replica 8112
        and 9112), …"""
        return cls(_usual)

    @classmethod
    def counted_from(cls, first: int) -> Self:
        """A block of ports: Kafka ``first`` to +5, Triton +6 to +8, Prometheus +9, cameras +10; services +20 to +27,
        the second replica of each +30 to +37, and so on.

        Raises: ConfigError: the block does not lie between 1024 and 65535.
        """
        if not 1024 <= first <= 65_535 - 120:
            raise ConfigError(f"Ports cannot be counted from {first}; choose a number from 1024 to {65_535 - 120}.")
        offsets = {part: i for i, part in enumerate(_USUAL)}
        return cls(lambda part: first + (offsets[part] if part in offsets else _offset(part)))

    @classmethod
    def free(cls) -> Self:
        """Any that nobody listens at now."""
        found: set[int] = set()

        def choose(_: str) -> int:
            while True:
                port = random.choice(_FREE)
                if port not in found and is_free(port):
                    found.add(port)
                    return port

        return cls(choose)

    def of(self, part: str) -> int:
        if part not in self.taken:
            self.taken[part] = self._choose(part)
        return self.taken[part]

    def check(self, parts: Iterable[str]) -> None:
        """Raises ConfigError when somebody else listens at the port of one of these."""
        for part in parts:
            if not is_free(self.of(part)):
                raise ConfigError(
                    f"Port {self.of(part)} of {HOST}, wanted for {part}, is taken; stop what listens there "
                    f"(ss -ltnp 'sport = :{self.of(part)}' shows it) or choose other ports with --ports-from N."
                )


def is_free(port: int) -> bool:
    """Whether a server could listen at this port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with suppress(OSError):
            probe.bind((HOST, port))
            probe.listen(1)
            return True
    return False


def _replica(part: str) -> tuple[int, int, str]:
    """Place of the service among all, replica from 0, and http or grpc."""
    service, number, kind = part.split(".")
    return SERVICES.index(service), int(number) - 1, kind


def _usual(part: str) -> int:
    if part in _USUAL:
        return _USUAL[part]
    place, replica, kind = _replica(part)
    return (8101 if kind == "http" else 9101) + place + 10 * replica


def _offset(part: str) -> int:
    place, replica, kind = _replica(part)
    return 20 + 10 * replica + 2 * place + (kind == "grpc")
