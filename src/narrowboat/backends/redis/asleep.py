"""Sleeping until the server says something: on a connection of one's own, and with an eye on the clock.

The server ends each sleep by itself in time. Where it does not (it stands still, or the network has swallowed the
connection), the sleeper hangs up.
"""

from __future__ import annotations

import contextlib
import os
import select
import threading
from collections.abc import Generator, Sequence

from redis import exceptions as errors

from ...core.errors import BackendError
from .connection import Connections
from .line import Line, pack

LONGEST_S = 5.0  # after which a sleeper looks by itself
GRACE_S = 1.0  # for the answer of a server that is to answer now
PAUSE_S = 0.1  # after a sleep that failed; whether the server is gone, the next look will tell


class Sleep:
    """One sleep of this process. `is_up`: it is to end, since someone has roused the sleeper or closed the backend."""

    def __init__(self, sleepers: Sleepers, name: str, ear: int) -> None:
        self._sleepers, self._name, self._ear = sleepers, name, ear

    @property
    def is_up(self) -> bool:
        """Whether it is over."""
        return self._sleepers.is_up(self._name)

    def until_heard(self, line: Line | None, seconds: float) -> bool:
        """Whether the server has said something on a line; False when the time is up, or the sleep is."""
        if line is not None and line.has_unread():
            return True
        poller = select.poll()
        poller.register(self._ear, select.POLLIN)
        if line is not None and line.socket is not None:
            poller.register(line.socket, select.POLLIN)
        ready = poller.poll(max(0.0, seconds) * 1000)
        return any(descriptor != self._ear for descriptor, _ in ready)


class Sleepers:
    """Who sleeps in this process, and how to end that."""

    def __init__(self) -> None:
        self._lock, self._pid = threading.Lock(), os.getpid()
        self._mouths: dict[int, str] = {}  # the writing end of a pipe for each sleep -> who sleeps
        self._roused: set[str] = set()
        self.is_closed = False

    @contextlib.contextmanager
    def sleep(self, name: str) -> Generator[Sleep]:
        """name: by which it can be roused; none if it is empty."""
        self._forget_after_fork()
        ear, mouth = os.pipe()
        with self._lock:
            self._mouths[mouth] = name
        try:
            yield Sleep(self, name, ear)
        finally:
            with self._lock:
                del self._mouths[mouth]
                self._roused.discard(name)
            os.close(ear)
            os.close(mouth)

    def is_up(self, name: str) -> bool:
        """Whether a sleep of this name is to end."""
        return self.is_closed or (name != "" and name in self._roused)

    def rouse(self, name: str) -> None:
        """End the sleep of this name that is under way, or else the next one."""
        self._forget_after_fork()
        with self._lock:
            self._roused.add(name)
            for mouth, sleeper in self._mouths.items():
                if sleeper == name:
                    os.write(mouth, b"x")

    def close(self) -> None:
        """End every sleep."""
        was_closed, self.is_closed = self.is_closed, True
        if not was_closed and self._pid == os.getpid():
            with self._lock:
                for mouth in self._mouths:
                    os.write(mouth, b"x")

    def _forget_after_fork(self) -> None:
        if self._pid != os.getpid():
            self._lock, self._pid, self._mouths, self._roused = threading.Lock(), os.getpid(), {}, set()


def until_rung(connections: Connections, bells: Sequence[str], seconds: float, sleep: Sleep) -> str:
    """Block on bells, at most so long, until one rings or the sleep is to end. Which it was, "" for none."""
    seconds = max(0.001, min(seconds, LONGEST_S))
    try:
        with connections.taken() as line:
            name = line.connect()
            line.send(pack(("BLPOP", *bells, f"{seconds:.3f}")))
            if not sleep.until_heard(line, seconds + GRACE_S):
                # Hanging up could swallow a ring that is under way to us.
                connections.call("CLIENT", "UNBLOCK", name)
            rung: list[bytes] | None = line.read()
            return rung[0].decode() if rung else ""
    except (errors.RedisError, BackendError):
        sleep.until_heard(None, PAUSE_S)
    return ""


@contextlib.contextmanager
def subscribed(connections: Connections, channel: str) -> Generator[Line]:
    """A line on which the messages of a channel come in."""
    with connections.taken() as line:
        line.connect()
        line.ask("SUBSCRIBE", channel)
        yield line
        line.send(pack(("UNSUBSCRIBE", channel)))
        while line.read()[0] != b"unsubscribe":
            pass


def hear(line: Line, seconds: float, sleep: Sleep) -> set[bytes] | None:
    """The names that the next message holds; None when there was none in time, or the sleep is to end."""
    if not sleep.until_heard(line, seconds):
        return None
    found: bytes = line.read()[2]
    return set(found.split(b"\n"))
