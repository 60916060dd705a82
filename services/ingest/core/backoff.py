"""Pauses between attempts: they grow, and differ from stream to stream, lest a gym's cameras come back all at once."""

import hashlib
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """Attempt ``n`` (from 0) waits between half of and the whole ``min(most_s, first_s * 2**n)``.

    Deterministic: the same seed and attempt give the same pause, another seed another one.
    """

    seed: str
    first_s: float = 0.5
    most_s: float = 30.0

    def pause_s(self, attempt: int) -> float:
        ceiling_s = min(self.most_s, self.first_s * 2.0 ** min(max(attempt, 0), 40))
        digest = hashlib.blake2b(f"{self.seed}/{attempt}".encode(), digest_size=8).digest()
        return ceiling_s * (0.5 + 0.5 * int.from_bytes(digest) / 2**64)
