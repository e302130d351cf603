"""Connections: as many as there are calls at a time, for this process only, and each call bounded in time."""

from __future__ import annotations

import contextlib
import os
import random
import select
import time
from collections import deque
from collections.abc import Callable, Generator, Mapping
from math import inf
from typing import Any, TypeVar

import psycopg
from psycopg import waiting
from psycopg.pq import TransactionStatus

from ...core.errors import BackendUnavailable, ConfigError
from . import schema
from .address import Address
from .errors import Remedy, in_our_words, remedy
from .queries import Queries

T = TypeVar("T")
MOST_IDLE = 8  # that are kept for the next call
UNUSED_S = 10.0  # after which all but the last one are given up: a fleet that is idle must not use up the server's
CONNECT_S = 3
LAST_TRY_S = 0.25  # with less time left, another try would only hide what the last one was told
# Who only listens never learns otherwise that a server is gone which could not say so.
KEEPALIVES: dict[str, Any] = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3}
OLDEST = 13  # PostgreSQL that will do
PREPARED_AFTER = 2  # uses on one connection
_leaked: list[object] = []  # of a parent process: to close them here would end its sessions


class Line(psycopg.Connection[tuple[Any, ...]]):
    """A connection on which nothing waits beyond `until`."""

    until: float = inf
    used_at: float = 0.0
    _asker: psycopg.Cursor[tuple[Any, ...]] | None = None
    is_pooled: bool = False  # a pooler is in between, and the next transaction perhaps another session of the server

    def ask(self, text: bytes, named: Mapping[str, Any]) -> tuple[Any, ...]:
        """The one small row that a statement answers with: what is the same each time is kept for the next time."""
        if self._asker is None:
            self._asker = self.cursor(binary=True)
        row = self._asker.execute(text, named).fetchone()
        assert row is not None
        return row

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        """Drive one exchange with the server. Half an exchange leaves a connection that is of no use: it is closed."""
        left = None if self.until == inf else max(0.001, self.until - time.monotonic())
        try:
            return waiting.wait(gen, self.pgconn.socket, interval=interval, timeout=left)
        except BaseException as error:
            if self.pgconn.transaction_status == TransactionStatus.ACTIVE:
                self.pgconn.finish()
                if isinstance(error, psycopg.Error) and left is not None and time.monotonic() >= self.until:
                    raise psycopg.OperationalError("the server did not answer in time") from error
            raise


class Pool:
    """Runs pieces of work on connections to one server. Safe from any thread, and after a fork."""

    def __init__(self, address: Address, queries: Queries, *, makes_schema: bool = True) -> None:
        self.conninfo, self.location, self.queries = address.conninfo, address.location, queries
        self._timeout_s, self._is_prepared = address.timeout_s, address.is_prepared
        self._makes_schema = makes_schema
        self._pid = os.getpid()
        self._idle: deque[Line] = deque()
        self._open: set[Line] = set()
        self._is_checked = self._is_closed = False

    def run(self, work: Callable[[Line], T], *, is_repeatable: bool = True, needs_schema: bool = True) -> T:
        """The result of `work`, which gets a connection in autocommit.

        What fails for the connection or for a clash with others is tried again, with growing random pauses, as long as
        the call may take. is_repeatable: also if the first try may have been done. needs_schema: the schema is looked
        at first, and made where it is missing. Raises BackendError, ConfigError.
        """
        deadline = time.monotonic() + self._timeout_s
        failures = 0
        while True:
            is_sent = False
            try:
                with self._lent(deadline) as line:
                    if needs_schema and not self._is_checked:
                        self._check_schema(line)
                    is_sent = True
                    return work(line)
            except psycopg.Error as error:
                helps = remedy(error)
                if helps is Remedy.UNPREPARED and self._is_prepared is not False:
                    self._is_prepared = False
                    self._drop_idle()
                    continue
                if helps is Remedy.ANEW:
                    self._drop_idle()  # what happened to one has happened to all
                failures += 1
                pause_s = min(1.0, 0.02 * 2**failures) * random.random()
                is_over = time.monotonic() + pause_s > deadline - LAST_TRY_S
                is_unsure = helps is Remedy.ANEW and is_sent and not is_repeatable
                if helps is Remedy.NONE or is_over or is_unsure or self._is_closed:
                    raise in_our_words(error, self.location) from error
                time.sleep(pause_s)

    def connect(self, deadline: float) -> Line:
        """A new connection to a server that will do. Raises psycopg.Error, ConfigError."""
        line = Line.connect(
            self.conninfo,
            autocommit=True,
            connect_timeout=CONNECT_S,
            prepare_threshold=None,
            **({} if "keepalives" in self.conninfo else KEEPALIVES),
        )
        line.until = deadline
        try:
            self._check(line)
        except BaseException:
            line.close()
            raise
        return line

    def has(self, process: int) -> bool:
        """Whether a process of the server serves one of these connections."""
        return any(not line.closed and line.pgconn.backend_pid == process for line in tuple(self._open))

    def forget_after_fork(self) -> bool:
        """In a forked child, leave everything of the parent alone; True if there was anything."""
        if self._pid == os.getpid():
            return False
        _leaked.append((self._open, self._idle))
        self._pid, self._idle, self._open = os.getpid(), deque(), set()
        return True

    def close(self) -> None:
        """Close what waits; what is in use belongs to its thread, and is closed when it is given back."""
        self._is_closed = True
        if not self.forget_after_fork():
            self._drop_idle()

    @contextlib.contextmanager
    def _lent(self, deadline: float) -> Generator[Line]:
        self.forget_after_fork()
        if self._is_closed:
            raise BackendUnavailable(f"{self.location}: this backend was closed")
        line = self._fresh_idle()
        if line is None:
            line = self.connect(deadline)
            self._open.add(line)
        line.until = deadline
        try:
            yield line
        finally:
            is_good = not line.closed and line.pgconn.transaction_status == TransactionStatus.IDLE
            if is_good and line in self._open and len(self._idle) < MOST_IDLE:
                line.used_at = time.monotonic()
                self._idle.append(line)
                self._give_up_unused(line.used_at - UNUSED_S)
                if self._is_closed:  # meanwhile
                    self._drop_idle()
            else:
                self._open.discard(line)
                line.close()

    def _give_up_unused(self, before: float) -> None:
        """Those that were used last before a moment; the latest stand last."""
        with contextlib.suppress(IndexError):
            while len(self._idle) > 1 and self._idle[0].used_at < before:
                line = self._idle.popleft()
                if line.used_at >= before:  # another thread has been quicker
                    self._idle.append(line)
                    return
                self._open.discard(line)
                line.close()

    def _fresh_idle(self) -> Line | None:
        """One that waits and has not been closed by the server meanwhile, which would be something to read."""
        while True:
            try:
                line = self._idle.pop()
            except IndexError:
                return None
            if not line.closed and not _is_readable(line.pgconn.socket):
                return line
            self._open.discard(line)
            line.close()

    def _drop_idle(self) -> None:
        while self._idle:
            with contextlib.suppress(IndexError):
                line = self._idle.pop()
                self._open.discard(line)
                line.close()

    def _check(self, line: Line) -> None:
        row = line.execute(self.queries("check")).fetchone()
        assert row is not None
        encoding, isolation, is_standby, version, process = row
        if line.info.server_version < OLDEST * 10_000:
            raise ConfigError(f"{self.location}: PostgreSQL {OLDEST} or newer is needed, this is {version}")
        if encoding != "UTF8":
            raise ConfigError(f"{self.location}: the database's encoding is {encoding}; Narrowboat needs UTF8")
        if is_standby:
            raise psycopg.OperationalError("this server is a standby, which cannot be written to")
        if isolation != "read committed":
            raise ConfigError(
                f"{self.location}: default_transaction_isolation is {isolation}; Narrowboat needs 'read committed' for "
                "its own connections: ALTER ROLE ... SET default_transaction_isolation = 'read committed'"
            )
        # A pooler names a process of its own making. Statements of two clients that it gives one session in turn can
        # have the same name, and one of them would run the other's.
        line.is_pooled = line.info.backend_pid != process
        if self._is_prepared or (self._is_prepared is None and not line.is_pooled):
            line.prepare_threshold = PREPARED_AFTER

    def _check_schema(self, line: Line) -> None:
        version = schema.version_of(line, self.queries)
        if version == 0 and not self._makes_schema:
            raise BackendUnavailable(
                f"{self.location} has no schema {self.queries.schema}: no job was enqueued and no worker was started "
                "there yet; is it the right database?"
            )
        if version == 0:
            schema.migrate(line, self.queries)
        elif version < schema.VERSION:
            raise schema.must_migrate(version, self.queries.schema)
        self._is_checked = True


def _is_readable(descriptor: int) -> bool:
    poller = select.poll()
    poller.register(descriptor, select.POLLIN | select.POLLHUP | select.POLLERR)
    return bool(poller.poll(0))
