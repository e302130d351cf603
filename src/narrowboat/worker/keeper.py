"""For --max-run-time: replaces the worker process by another one, which begins before the old one ends.

The keeper is the process that a supervisor knows: it stays, passes signals on, and ends with its worker.
"""

from __future__ import annotations

import logging
import os
import random
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Sequence

from .signals import Signals, has_terminal
from .supervisor import supervisor_here

log = logging.getLogger("narrowboat.worker")
ENDING_S = 15.0  # that a worker may take to end, besides its drain
KEPT = "NARROWBOAT_KEPT"  # in a kept worker's environment: "ready,lifeline", two descriptors
AGAIN_S = 60.0  # after a successor that did not come up
ENDINGS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)


class Ward:
    """A worker process. `ready` can be read when it takes work, or has ended."""

    def __init__(self, arguments: Sequence[str], lifeline: int) -> None:
        self.ready, theirs = os.pipe()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "narrowboat.cli", *arguments],
            env={**os.environ, KEPT: f"{theirs},{lifeline}"},
            pass_fds=(theirs, lifeline),
            start_new_session=True,  # a Ctrl-C on the terminal comes to it once, through the keeper
        )
        os.close(theirs)

    @property
    def status(self) -> int | None:
        """Its exit status, once it has ended."""
        return self._process.poll()

    def takes_work(self) -> bool:
        """To be asked when `ready` can be read; not again after that."""
        word = os.read(self.ready, 1)
        os.close(self.ready)
        return bool(word)

    def signal(self, number: int) -> None:
        """Pass a signal on; one that has ended is no error."""
        self._process.send_signal(number)


class Keeper:
    """Keeps one worker, and for a while a second one. arguments: those of `narrowboat`; durations are seconds."""

    def __init__(self, arguments: Sequence[str], max_run_s: float, drain_s: float) -> None:
        self._arguments, self._max_run_s, self._drain_s = arguments, max_run_s, drain_s
        self._supervisor = supervisor_here()
        self._has_terminal = has_terminal()
        self._selector = selectors.DefaultSelector()
        self._signals = Signals()
        self._lifeline, self._lifeline_write = os.pipe()  # workers drain when the write end is gone
        self._current: Ward | None = None
        self._next: Ward | None = None
        self._draining: list[Ward] = []
        self._is_ending = False
        self._replace_at = float("inf")

    def run(self) -> int:
        """Until told to end, or the worker ends by itself; its exit status."""
        self._signals.listen()
        self._selector.register(self._signals.descriptor, selectors.EVENT_READ)
        self._next = self._start()
        while True:
            self._supervisor.sign_of_life(time.monotonic())
            patience = max(0.0, min(self._replace_at, self._supervisor.next_sign) - time.monotonic())
            ready = {key.fd for key, _ in self._selector.select(None if patience == float("inf") else patience)}
            self._hear(ready)
            for number in self._signals.take():
                self._obey(number)
            status = self._look()
            if status is not None:
                return status
            if time.monotonic() >= self._replace_at:
                log.info("its time is over: another worker is started beside it")
                self._replace_at = float("inf")
                self._next = self._start()

    def _hear(self, ready: set[int]) -> None:
        if self._next is not None and self._next.ready in ready:
            self._came_up(self._next)

    def _start(self) -> Ward:
        ward = Ward(self._arguments, self._lifeline)
        self._selector.register(ward.ready, selectors.EVENT_READ)
        return ward

    def _came_up(self, ward: Ward) -> None:
        self._selector.unregister(ward.ready)
        self._next = None
        if not ward.takes_work():
            self._failed(ward)
            return
        if self._current is not None:
            self._current.signal(signal.SIGTERM)
            self._draining.append(self._current)
        self._current = ward
        self._supervisor.ready()
        if not self._is_ending:  # not all workers of a fleet at the same moment
            self._replace_at = time.monotonic() + self._max_run_s * random.uniform(0.9, 1.0)

    def _failed(self, ward: Ward) -> None:
        """It ended, or is about to, without having taken any work."""
        if self._current is None:
            self._current = ward  # the very first: its status is ours
        elif not self._is_ending:
            log.error("the worker that was to take over did not come up; the old one goes on")
            self._draining.append(ward)
            self._replace_at = time.monotonic() + min(AGAIN_S, self._max_run_s)

    def _obey(self, number: int) -> None:
        if number == signal.SIGHUP and self._has_terminal:
            number = signal.SIGTERM
        if number in ENDINGS:
            self._is_ending, self._replace_at = True, float("inf")
            self._supervisor.stopping(self._drain_s + ENDING_S)
        for ward in (self._current, self._next):
            if ward is not None:
                ward.signal(number)
        if number in ENDINGS:
            for ward in self._draining:
                ward.signal(number)

    def _look(self) -> int | None:
        """The status to end with, if it is time."""
        self._draining = [ward for ward in self._draining if ward.status is None]
        current = self._current
        if current is None or current.status is None:
            return None
        if not self._is_ending:
            log.error("the worker ended with status %s", current.status)
            for ward in [*self._draining, *([self._next] if self._next else [])]:
                ward.signal(signal.SIGTERM)
            self._is_ending, self._replace_at = True, float("inf")
        return None if self._draining or self._next is not None else max(current.status, 0) or int(current.status < 0)


def kept() -> tuple[int, int] | None:
    """In a kept worker: where to say that it takes work, and what to read the keeper's end from. Only once."""
    found = os.environ.pop(KEPT, None)
    if found is None:
        return None
    ready, lifeline = map(int, found.split(","))
    return ready, lifeline
