"""Sleep until the database changes: inotify on its write-ahead log, then looks until the change is visible.

The event comes when bytes are written, before the commit counts, and the step that makes it count has no event.
So after an event `PRAGMA data_version` is looked at again and again, more seldom the longer ago the event was.
"""

from __future__ import annotations

import os
import select
import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Generic, TypeVar

from ... import kernel

T = TypeVar("T")
STRETCH = 0.7  # the next look comes after this part of the time since the event
GIVE_UP_S = 0.5  # after an event without a visible change: it was rolled back, or a checkpoint
LEISURE = 4  # a look that took long, since it is for many jobs, is followed by a rest of so many times that
UNDER_WAY_S = 0.05  # for how long a commit may have been under way when a sleep begins
POLL_S = 0.05  # where there is no inotify


@dataclass(frozen=True, slots=True)
class Alertness:
    """How soon after an event a sleeper looks, and how long it rests after a look that found nothing."""

    first_look_s: float
    rest_s: float


ALERT = Alertness(0.0003, 0.002)
DROWSY = Alertness(0.05, 0.1)


@dataclass(frozen=True, slots=True)
class Look(Generic[T]):
    """What a sleeper saw, and after how many seconds it must look again though nothing is written."""

    found: T
    again_in_s: float = inf


class Bell:
    """Wakes the sleepers of one process when the database changes, or when it is closed."""

    def __init__(self, database: Path) -> None:
        self._log = database.with_name(database.name + "-wal")
        self._sleepers: dict[int, str] = {}  # the writing end of a pipe for each sleep -> who sleeps
        self._roused: set[str] = set()
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self.is_closed = False

    def sleep_until(
        self,
        look: Callable[[], Look[T]],
        connection: sqlite3.Connection,
        timeout_s: float,
        alertness: Alertness = ALERT,
        sleeper: str = "",
    ) -> T:
        """Call `look` whenever the database has changed, until it finds something or the time is up.

        sleeper: a name under which the sleep can be ended by `rouse`.
        """
        until = time.monotonic() + timeout_s
        version = _version(connection)
        seen = look()
        watch = kernel.watch_file(self._log)  # opened for each sleep: a user may have only 128 of them
        nudge, nudger = os.pipe()
        with self._lock:
            self._sleepers[nudger] = sleeper
        wakers = [nudge] if watch is None else [nudge, watch]
        try:
            while not seen.found and not self._is_up(sleeper) and (now := time.monotonic()) < until:
                version = self._until_moved(
                    connection, version, min(until, now + seen.again_in_s), wakers, alertness, sleeper
                )
                began = time.monotonic()
                if not self.is_closed:
                    seen = look()
                if not seen.found:
                    now = time.monotonic()
                    _wait([nudge], max(0.0, min(max(alertness.rest_s, (now - began) * LEISURE), until - now)))
        finally:
            with self._lock:
                del self._sleepers[nudger]
                self._roused.discard(sleeper)
            for descriptor in (*wakers, nudger):
                os.close(descriptor)
        return seen.found

    def rouse(self, sleeper: str) -> None:
        """End the sleep of this name that is under way, or else the next one."""
        with self._lock:
            self._roused.add(sleeper)
            for nudger, name in self._sleepers.items():
                if name == sleeper:
                    os.write(nudger, b"x")

    def _is_up(self, sleeper: str) -> bool:
        return self.is_closed or (sleeper in self._roused)

    def _until_moved(
        self,
        connection: sqlite3.Connection,
        version: int,
        until: float,
        wakers: list[int],
        alertness: Alertness,
        sleeper: str,
    ) -> int:
        """Sleep until the version is another one, the time is up, or the database is closed."""
        # Of a commit that is under way already, there may be no more events.
        last_event = time.monotonic()
        alarmed_until = last_event + UNDER_WAY_S
        while not self._is_up(sleeper) and (now := time.monotonic()) < until:
            found = _version(connection)
            if found != version:
                return found
            since = now - last_event
            pause_s = max(alertness.first_look_s, since * STRETCH) if now < alarmed_until else until - now
            if len(wakers) == 1:  # no inotify here
                pause_s = min(pause_s, POLL_S)
            if _wait(wakers, min(pause_s, until - now)):
                last_event = time.monotonic()
                alarmed_until = last_event + GIVE_UP_S
        return version

    def close(self) -> None:
        """End every wait."""
        was_closed, self.is_closed = self.is_closed, True
        if not was_closed and self._pid == os.getpid():
            with self._lock:
                for nudger in self._sleepers:
                    os.write(nudger, b"x")


def _wait(wakers: list[int], seconds: float) -> bool:
    """Sleep until the first of these, a nudge, or the second, the log that was written to; True for the latter."""
    poller = select.poll()
    for descriptor in wakers:
        poller.register(descriptor, select.POLLIN)
    if seconds < 0.001:  # poll counts in whole milliseconds
        time.sleep(seconds)
        seconds = 0.0
    ready = poller.poll(seconds * 1000)
    watch = wakers[-1]
    if len(wakers) > 1 and any(descriptor == watch for descriptor, _ in ready):
        os.read(watch, 65536)
        return True
    return False


def _version(connection: sqlite3.Connection) -> int:
    (version,) = connection.execute("PRAGMA data_version").fetchone()
    return version
