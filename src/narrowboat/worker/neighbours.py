"""Which other workers are lost: those that were watched for a whole lease, and have not renewed it."""

from __future__ import annotations

from collections.abc import Sequence

from ..backends.base import WorkerView


class Neighbours:
    """What was seen of the others. Times are monotonic.

    That the end of a lease is past proves nothing: an outage, a clock that was set, or a pause of the whole fleet lets
    all run out together. That a worker which could have renewed its lease did not, is what shows that it is gone.
    """

    def __init__(self) -> None:
        self._seen: dict[str, tuple[float, float]] = {}  # worker -> the end of its lease, and since when it is that

    def lost(self, others: Sequence[WorkerView], now: float, contact_s: float) -> list[str]:
        """The ids of those that are lost by now. contact_s: for how long the backend has answered without a break."""
        before = self._seen
        self._seen = {}
        for other in others:
            until, since = before.get(other.info.id, (None, now))
            self._seen[other.info.id] = other.lease_until, since if until == other.lease_until else now
        return [
            other.info.id
            for other in others
            if min(now - self._seen[other.info.id][1], contact_s) >= other.info.lease_s
        ]
