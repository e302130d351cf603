"""Group commit: whichever thread comes first commits for all that wait, one process at a time.

SQLite lets a waiting writer sleep and try again, up to 100 ms at a time, which starves some for seconds when
many write. Here the processes queue for a lock on a file beside the database, and within a process the threads
hand their operations to one leader, who runs them in one transaction: one sync of the disk for all.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import random
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Generator
from typing import Any, Generic, TypeVar, cast

from ...core.errors import BackendUnavailable
from .connection import Connections, errors_said_plainly, prepare

T = TypeVar("T")
BATCH = 128  # operations in one transaction
PAUSE_S = 0.0005

Operation = Callable[[sqlite3.Connection], T]


class Ticket(Generic[T]):
    """An operation that waits for a leader, and afterwards its result or its error."""

    __slots__ = ("error", "is_done", "is_durable", "operation", "result", "turn")

    def __init__(self, operation: Operation[T], is_durable: bool) -> None:
        self.operation, self.is_durable = operation, is_durable
        self.result: T | None = None
        self.error: BaseException | None = None
        self.is_done = False
        self.turn = threading.Lock()  # released when the operation is done, or when its thread is to lead
        self.turn.acquire()

    def outcome(self) -> T:
        """What the operation returned. Raises what it raised."""
        if self.error is not None:
            raise self.error
        return cast(T, self.result)


class Writer:
    """The one place where this process writes."""

    def __init__(self, connections: Connections, durability: str, timeout_s: float) -> None:
        self._connections, self._durability, self._timeout_s = connections, durability, timeout_s
        self._lock_path = connections.path.with_name(connections.path.name + "-lock")
        self._reset()

    def write(self, operation: Operation[T], *, is_durable: bool = True) -> T:
        """Run an operation in a transaction, alone or with those of other threads; it is committed on return.

        is_durable: False lets the commit count before it is on the disk, if nobody in the group needs more.
        Raises what the operation raises, after which nothing of it is written; BackendUnavailable.
        """
        if self._pid != os.getpid():
            self._reset()
        ticket = Ticket(operation, is_durable)
        deadline = time.monotonic() + self._timeout_s
        with self._mutex:
            self._waiting.append(ticket)
            leads, self._has_leader = not self._has_leader, True
        if not leads:
            self._wait_for_turn(ticket)
        try:
            while not ticket.is_done:
                leads = True
                self._lead(deadline)
        finally:
            if leads:
                self._hand_over()
        return ticket.outcome()

    def _wait_for_turn(self, ticket: Ticket[Any]) -> None:
        """Until the operation is done or this thread is to lead. Raises BackendUnavailable."""
        if ticket.turn.acquire(timeout=self._timeout_s):
            return
        with self._mutex:
            if ticket.turn.acquire(blocking=False):
                return  # its turn came in this very moment
            if ticket in self._waiting:
                self._waiting.remove(ticket)
                raise self._locked()
        ticket.turn.acquire()  # a leader took it up in this very moment

    def _hand_over(self) -> None:
        """The first of those who wait leads next."""
        with self._mutex:
            self._has_leader = bool(self._waiting)
            if self._waiting:
                self._waiting[0].turn.release()
            elif self._is_closed:
                self._give_up_lock()

    def close(self) -> None:
        """Give up the lock file, or let the one who leads now do so."""
        if self._pid != os.getpid():
            return
        with self._mutex:
            self._is_closed = True
            if not self._has_leader:
                self._give_up_lock()

    def _give_up_lock(self) -> None:
        if self._lock_file is not None:
            os.close(self._lock_file)
            self._lock_file = None

    def _reset(self) -> None:
        """Start anew, also in a forked child: the parent's locks may be held by threads that are not here."""
        self._pid = os.getpid()
        self._mutex = threading.Lock()
        self._has_leader = self._is_closed = False
        self._waiting: deque[Ticket[Any]] = deque()
        self._prepared: sqlite3.Connection | None = None
        self._lock_file: int | None = None
        self._synchronous = "FULL"

    def _lead(self, deadline: float) -> None:
        """Take up what waits, and commit it."""
        group: list[Ticket[Any]] = []
        try:
            with (
                self._file_locked(deadline),
                errors_said_plainly(self._connections.path),
                self._connections.writing() as connection,
            ):
                self._prepare(connection)
                self._take(group)
                self._commit(connection, group)
        except BaseException as error:
            if not group:  # not even the lock could be had: everyone who waits hears it
                self._take(group)
            for ticket in group:
                ticket.error = ticket.error or error
            if not isinstance(error, Exception):
                raise
        finally:
            for ticket in group:
                ticket.is_done = True
                ticket.turn.release()

    def _take(self, group: list[Ticket[Any]]) -> None:
        with self._mutex:
            while self._waiting and len(group) < BATCH:
                group.append(self._waiting.popleft())

    def _commit(self, connection: sqlite3.Connection, group: list[Ticket[Any]]) -> None:
        self._set_synchronous(connection, any(ticket.is_durable for ticket in group))
        connection.execute("BEGIN IMMEDIATE")
        try:
            for ticket in group:
                self._run(connection, ticket, is_alone=len(group) == 1)
            connection.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            raise

    def _run(self, connection: sqlite3.Connection, ticket: Ticket[Any], is_alone: bool) -> None:
        """One operation; if it fails, the others of its group are not harmed."""
        if is_alone:
            ticket.result = ticket.operation(connection)
            return
        connection.execute("SAVEPOINT one")
        try:
            ticket.result = ticket.operation(connection)
        except Exception as error:
            if not connection.in_transaction:  # a full disk rolls everything back
                raise
            connection.execute("ROLLBACK TO one")
            ticket.error = error
        connection.execute("RELEASE one")

    def _prepare(self, connection: sqlite3.Connection) -> None:
        if connection is not self._prepared:
            prepare(connection, self._connections.path)
            self._prepared, self._synchronous = connection, "FULL"

    def _set_synchronous(self, connection: sqlite3.Connection, is_durable: bool) -> None:
        wanted = "FULL" if is_durable and self._durability == "full" else "NORMAL"
        if wanted != self._synchronous:
            connection.execute("PRAGMA synchronous = FULL" if wanted == "FULL" else "PRAGMA synchronous = NORMAL")
            self._synchronous = wanted

    @contextlib.contextmanager
    def _file_locked(self, deadline: float) -> Generator[None]:
        """The lock between processes. flock has no time limit, so it is tried again after short random pauses."""
        if self._lock_file is None:
            try:
                self._lock_file = os.open(self._lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            except OSError as error:
                raise BackendUnavailable(
                    f"{self._connections.path}: cannot be written: {error.strerror} ({self._lock_path.name}); "
                    "give this user write access to the folder"
                ) from error
        descriptor = self._lock_file
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise self._locked() from None
                time.sleep(PAUSE_S * (0.5 + random.random()))
        try:
            yield
        finally:
            fcntl.flock(descriptor, fcntl.LOCK_UN)

    def _locked(self) -> BackendUnavailable:
        return BackendUnavailable(
            f"{self._connections.path}: locked by other processes for {self._timeout_s:g} s (is one of them stopped?); "
            "nothing was written"
        )
