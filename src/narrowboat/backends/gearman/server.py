"""A server of several: where it is, and when it is worth a try."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

LONGEST_PAUSE_S = 30.0


class Server:
    """Threads may share it: what they write is a moment each, and the latest will do."""

    def __init__(self, host: str, port: int) -> None:
        self.place = (host, port)
        self.name = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self.away_until, self._failures = 0.0, 0

    def is_away(self) -> bool:
        """Whether it failed a moment ago."""
        return time.monotonic() < self.away_until

    def failed(self) -> None:
        """It is left alone for 1 s, and twice as long after each failure in a row."""
        self.away_until = time.monotonic() + min(LONGEST_PAUSE_S, 2.0**self._failures)
        self._failures = min(self._failures + 1, 10)

    def answered(self) -> None:
        """It is well."""
        self.away_until, self._failures = 0.0, 0


def in_turn(servers: Sequence[Server], until: float) -> Iterator[tuple[Server, float]]:
    """Each of them with the moment when its turn ends: those that are left share the time that is left."""
    for n, server in enumerate(servers):
        now = time.monotonic()
        yield server, now + (until - now) / (len(servers) - n)
