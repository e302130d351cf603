"""Which messages this process holds."""

from __future__ import annotations

import threading
import time
from typing import NamedTuple


class Receipt(NamedTuple):
    """What the service wants to hear of one message: where it was, and by which handle it was given to us."""

    queue_url: str
    handle: str


class Held:
    """The service takes a receipt that is out of date without a word, and may then lose what somebody else holds; so
    only what is held here is settled, once. visibility_s: after that a message is anybody's."""

    def __init__(self, visibility_s: float) -> None:
        self._visibility_s = visibility_s
        self._lock = threading.Lock()
        self._until: dict[Receipt, float] = {}  # in the order in which they end

    def add(self, queue_url: str, handle: str) -> Receipt:
        """Hold a message."""
        receipt, now = Receipt(queue_url, handle), time.monotonic()
        with self._lock:
            while self._until and (oldest := next(iter(self._until))) and self._until[oldest] <= now:
                del self._until[oldest]
            self._until[receipt] = now + self._visibility_s
        return receipt

    def let_go(self, receipt: Receipt) -> bool:
        """Hold it no longer; whether it was held until now."""
        with self._lock:
            return self._until.pop(receipt, 0.0) > time.monotonic()

    def all(self) -> list[Receipt]:
        """What is held."""
        with self._lock:
            return list(self._until)
