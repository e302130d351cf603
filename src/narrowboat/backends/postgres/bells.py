"""Who sleeps in this process, and what wakes them: words that name what has changed, here or elsewhere."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections import Counter
from collections.abc import Generator
from math import inf

JOBS = "jobs"  # rung here only: whoever watches a job of another process looks by itself
MOST_NAMES = 10_000


def queue_bell(queue: str) -> str:
    """Rung when a queue that was empty is not."""
    return f"queue:{queue}"


def soon_bell(queue: str) -> str:
    """Rung when time alone will soon bring a job of a queue."""
    return f"soon:{queue}"


def cancel_bell(worker: str) -> str:
    """Rung when a cancel was asked of a worker."""
    return f"cancel:{worker}"


EVERY_QUEUE = queue_bell("*")  # rung when a gate opens; no queue can be named so


class Sleeper:
    """One who sleeps until one of its bells rings, its name is called, or its time is up."""

    def __init__(self, name: str, bells: frozenset[str]) -> None:
        self.name, self.bells = name, bells
        self.is_rung = self.is_called = False
        self._asleep = threading.Lock()  # free: it is to wake up. An Event is several locks, and takes longer
        self._asleep.acquire()

    def sleep(self, seconds: float) -> None:
        """Until woken; `is_rung` and `is_called` say by what."""
        self._asleep.acquire(timeout=min(max(0.0, seconds), threading.TIMEOUT_MAX))

    def wake(self) -> None:
        """End its sleep, or else the next one. One thread at a time."""
        if self._asleep.locked():
            self._asleep.release()


class Bells:
    """All sleepers of this process, and how often each bell has rung."""

    def __init__(self) -> None:
        self._reset()
        self.is_closed = False

    def _reset(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._sleepers: set[Sleeper] = set()
        self._called: set[str] = set()
        self._rung: Counter[str] = Counter()
        self._rung_at: dict[str, float] = {}

    @contextlib.contextmanager
    def sleeping(self, name: str, bells: frozenset[str]) -> Generator[Sleeper]:
        """A sleeper, called at once if its name was called before."""
        if self._pid != os.getpid():  # the parent's lock may be held by a thread that is not here
            self._reset()
        sleeper = Sleeper(name, bells)
        with self._lock:
            self._sleepers.add(sleeper)
            sleeper.is_called = name != "" and name in self._called
        try:
            yield sleeper
        finally:
            with self._lock:
                self._sleepers.discard(sleeper)
                if name:
                    self._called.discard(name)

    def rung(self, bells: frozenset[str]) -> int:
        """How often these have rung, so that it is known whether they have since."""
        return sum(self._rung[bell] for bell in bells)

    def rung_at(self, bells: frozenset[str]) -> float:
        """When the last of these has rung."""
        return max((self._rung_at.get(bell, -inf) for bell in bells), default=-inf)

    def ring(self, bell: str) -> None:
        """Wake those who sleep until it rings."""
        if self._pid != os.getpid():
            self._reset()
        with self._lock:
            if len(self._rung) > MOST_NAMES:
                self._rung.clear()
                self._rung_at.clear()
            self._rung[bell] += 1
            self._rung_at[bell] = time.monotonic()
            for sleeper in self._sleepers:
                if bell in sleeper.bells:
                    sleeper.is_rung = True
                    sleeper.wake()

    def call(self, name: str) -> None:
        """End the sleep of this name that is under way, or else the next one."""
        if self._pid != os.getpid():
            self._reset()
        with self._lock:
            self._called.add(name)
            for sleeper in self._sleepers:
                if sleeper.name == name:
                    sleeper.is_called = True
                    sleeper.wake()

    def close(self) -> None:
        """End every sleep, for good."""
        self.is_closed = True
        if self._pid == os.getpid():
            with self._lock:
                for sleeper in self._sleepers:
                    sleeper.wake()


class Limiter:
    """Lets each word pass once in so many seconds."""

    def __init__(self, every_s: float) -> None:
        self._every_s = every_s
        self._passed: dict[str, float] = {}

    def may_pass(self, word: str) -> bool:
        """Whether this word could pass now."""
        return time.monotonic() - self._passed.get(word, -inf) >= self._every_s

    def passes(self, words: set[str]) -> list[str]:
        """Those of the words that pass now."""
        may = [word for word in words if self.may_pass(word)]
        if len(self._passed) > MOST_NAMES:
            self._passed.clear()
        self._passed.update(dict.fromkeys(may, time.monotonic()))
        return may
