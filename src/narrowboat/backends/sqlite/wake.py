"""Sleep until the database changes: inotify on its write-ahead log, then a look until the change is visible.

The event comes when bytes are written, before the commit counts; so after an event `PRAGMA data_version` is
looked at until it moves, more and more seldom.
"""

from __future__ import annotations

import ctypes
import os
import select
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
_IN_MODIFY, _IN_CLOEXEC, _IN_NONBLOCK = 0x2, 0o2000000, 0o4000
FIRST_PAUSE_S = 0.0003
LONGEST_PAUSE_S = 0.02
GIVE_UP_S = 0.1  # after an event without a visible change: it was rolled back, or a checkpoint
POLL_S = 0.05  # where there is no inotify


class Bell:
    """Wakes the sleepers of one process when the database changes, or when it is closed."""

    def __init__(self, database: Path) -> None:
        self._log = database.with_name(database.name + "-wal")
        self._local = threading.local()
        self._closed, self._closer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._pid = os.getpid()
        self.is_closed = False

    def sleep_until(self, look: Callable[[], T], connection: sqlite3.Connection, timeout_s: float) -> T:
        """Call `look` whenever the database has changed, until it is true or the time is up; return its last value."""
        until = time.monotonic() + timeout_s
        pause_s = FIRST_PAUSE_S
        watch = self._watch()
        while True:
            version = _version(connection)
            found = look()
            if found or self.is_closed:
                return found
            changed = False
            while not changed:
                left = until - time.monotonic()
                if left <= 0:
                    return look()
                if not self._wait(watch, min(left, POLL_S) if watch is None else left):
                    if self.is_closed:
                        return found
                    if watch is not None:
                        continue
                changed = _becomes_visible(connection, version, until)
            # A change that was not for us: with many of them, look more seldom.
            time.sleep(min(pause_s, max(0.0, until - time.monotonic())))
            pause_s = min(LONGEST_PAUSE_S, pause_s * 2)

    def close(self) -> None:
        """End every wait."""
        if not self.is_closed and self._pid == os.getpid():
            os.write(self._closer, b"x")
        self.is_closed = True

    def _watch(self) -> int | None:
        """This thread's inotify descriptor, watching the log."""
        if getattr(self._local, "pid", None) != os.getpid():
            self._local.pid, self._local.descriptor = os.getpid(), _inotify(self._log)
        descriptor: int | None = self._local.descriptor
        return descriptor

    def _wait(self, watch: int | None, seconds: float) -> bool:
        """Sleep; True when the log was written to."""
        poller = select.poll()
        poller.register(self._closed, select.POLLIN)
        if watch is not None:
            poller.register(watch, select.POLLIN)
        ready = poller.poll(max(1.0, seconds * 1000))
        if watch is not None and any(descriptor == watch for descriptor, _ in ready):
            os.read(watch, 65536)
            return True
        return False


def _becomes_visible(connection: sqlite3.Connection, version: int, until: float) -> bool:
    give_up = min(until, time.monotonic() + GIVE_UP_S)
    pause_s = FIRST_PAUSE_S
    while _version(connection) == version:
        if time.monotonic() > give_up:
            return False
        time.sleep(pause_s)
        pause_s = min(LONGEST_PAUSE_S, pause_s * 1.5)
    return True


def _version(connection: sqlite3.Connection) -> int:
    (version,) = connection.execute("PRAGMA data_version").fetchone()
    return version


def _inotify(path: Path) -> int | None:
    """A descriptor that becomes readable when the file is written to; None where that cannot be had."""
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        descriptor: int = libc.inotify_init1(_IN_CLOEXEC | _IN_NONBLOCK)
    except AttributeError:
        return None
    if descriptor < 0:
        return None
    if libc.inotify_add_watch(descriptor, os.fsencode(path), _IN_MODIFY) < 0:
        os.close(descriptor)
        return None
    return descriptor
