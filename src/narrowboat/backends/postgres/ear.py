"""One connection per process that listens for hints. What it does not hear is found by looking, only later."""

from __future__ import annotations

import contextlib
import os
import random
import secrets
import select
import threading
import time
from collections.abc import Callable
from math import inf

import psycopg
from psycopg import sql

from ...core.errors import NarrowboatError
from .bells import Bells
from .pool import Line, Pool

PROOF_S = 3.0  # in which a bell that is rung must be heard, or there is a pooler in between that carries none
AGAIN_S = 10.0  # at most between two tries to connect
DEAF_S = 600.0  # between two tries where no bell was heard


class Ear:
    """Hears the bells that are rung on one channel, and rings them here. `hears`: whether it can be relied on.

    through_poolers: also listen where a pooler is in between. One that hands out sessions for a transaction would give
    them to others while they listen, so it is only done where somebody has said so.
    """

    def __init__(
        self, pool: Pool, channel: str, bells: Bells, ring: Callable[[list[str]], None], through_poolers: bool
    ) -> None:
        self._pool, self._channel, self._bells, self._ring = pool, channel, bells, ring
        self._through_poolers = through_poolers
        self._reset()

    def _reset(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stop, self._stopper = -1, -1
        self.hears = False

    def start(self) -> None:
        """Listen, in a thread; legal twice, and after a fork."""
        if self._pid != os.getpid():
            self._reset()
        with self._lock:
            if self._thread is None and not self._bells.is_closed:
                self._stop, self._stopper = os.pipe()
                self._thread = threading.Thread(target=self._run, name="narrowboat-ear", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """Stop listening; legal twice."""
        if self._pid != os.getpid():
            return
        with self._lock:
            thread, self._thread = self._thread, None
        if thread is not None:
            os.write(self._stopper, b"x")
            thread.join(5)
            if not thread.is_alive():
                os.close(self._stop)
                os.close(self._stopper)

    def _run(self) -> None:
        failures = 0
        while not self._bells.is_closed:
            pause_s = DEAF_S
            try:
                line = self._pool.connect(time.monotonic() + PROOF_S)
                with contextlib.closing(line):
                    may_listen = self._through_poolers or not line.is_pooled
                    if may_listen and self._proves_itself(line):
                        failures, self.hears = 0, True
                        self._listen(line)
                        return
            except (psycopg.Error, NarrowboatError, OSError):
                failures += 1
                pause_s = min(AGAIN_S, 0.1 * 2**failures) * random.random()
            self.hears = False
            if self._sleeps(pause_s):
                return

    def _proves_itself(self, line: Line) -> bool:
        """Ring a bell of its own through another connection, and see whether it comes."""
        line.execute(sql.SQL("LISTEN {}").format(sql.Identifier(self._channel)))
        word = f"proof:{secrets.token_hex(8)}"
        self._ring([word])
        until = time.monotonic() + PROOF_S
        while (left_s := until - time.monotonic()) > 0:
            for heard in line.notifies(timeout=left_s, stop_after=1):
                if heard.payload == word:
                    return True
                self._bells.ring(heard.payload)
        return False

    def _listen(self, line: Line) -> None:
        """Until it is to stop. Raises psycopg.Error when the connection is lost."""
        line.until = inf
        poller = select.poll()
        poller.register(line.pgconn.socket, select.POLLIN)
        poller.register(self._stop, select.POLLIN)
        while True:
            if any(descriptor == self._stop for descriptor, _ in poller.poll()):
                return
            line.pgconn.consume_input()
            while (heard := line.pgconn.notifies()) is not None:  # `line.notifies` takes its time
                if not self._pool.has(heard.be_pid):  # what this process tells others has rung here already
                    self._bells.ring(heard.extra.decode(errors="replace"))

    def _sleeps(self, seconds: float) -> bool:
        """Whether it was to stop meanwhile."""
        poller = select.poll()
        poller.register(self._stop, select.POLLIN)
        return bool(poller.poll(seconds * 1000))
