"""Connections of callers: whether they are of use, and enqueueing in the transaction that they have under way.

Nothing here commits, but for a connection in autocommit, whose every statement is a transaction of its own.
"""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Generator, Mapping, Sequence
from typing import Any, cast

import psycopg

from ...core.aside import in_thread
from ...core.batch import BatchPart
from ...core.errors import ConfigError
from ...core.job import NewJob
from ...core.queue import Over, Queue
from .. import foreign
from . import into
from .errors import in_our_words
from .into import Row, Script
from .messages import Jobs
from .pool import Pool
from .queries import Queries

Connection = psycopg.Connection[Any]
AsyncConnection = psycopg.AsyncConnection[Any]
TRY_AGAIN = ("40001", "40P01")  # whoever retries transactions looks for these


class Callers:
    """Enqueues on connections of callers to the database that the pool is connected to, in their transactions."""

    def __init__(self, pool: Pool, queries: Queries) -> None:
        self._pool, self._sql = pool, queries
        self._place: Row = ()
        self._known: weakref.WeakSet[Connection | AsyncConnection] = weakref.WeakSet()
        self._lanes: set[tuple[str, str, str]] = set()

    def enqueue(
        self,
        given: Any,
        jobs: Sequence[NewJob],
        wanted: Jobs,
        limits: Mapping[str, Queue],
        now: float | None,
        batches: Sequence[BatchPart] = (),
    ) -> Row | Over:
        """Write jobs, or none and the limit that they would go past.

        Raises ConfigError, BackendError, and psycopg.Error where the transaction is to be tried again.
        """
        found = foreign.unwrap(given)
        if isinstance(found, psycopg.AsyncConnection):
            raise foreign.is_async(given)
        if not isinstance(found, psycopg.Connection):
            raise _no_use(given, found)
        caller = cast(Connection, found)
        into.refuse_failed(caller)
        self._make_lanes(wanted, batches)
        with self._errors_said_plainly():
            if caller not in self._known:
                self._check(caller, into.run(caller, into.place(self._sql)))
            script = self._script(jobs, wanted, limits, now, batches)
            if not limits:
                return into.run(caller, script)
            if not into.is_open(caller):
                caller.execute("SELECT 1")  # begins it, for what follows would commit a transaction that it began
            return into.run_whole(caller, script)

    async def aenqueue(
        self,
        given: Any,
        jobs: Sequence[NewJob],
        wanted: Jobs,
        limits: Mapping[str, Queue],
        now: float | None,
        batches: Sequence[BatchPart] = (),
    ) -> Row | Over:
        """`enqueue` for async code. A connection that is not async blocks the event loop, as its own statements do."""
        found = await foreign.aunwrap(given)
        if not isinstance(found, psycopg.AsyncConnection):
            return self.enqueue(given, jobs, wanted, limits, now, batches)
        caller = cast(AsyncConnection, found)
        into.refuse_failed(caller)
        await in_thread(self._make_lanes, wanted, batches)
        with self._errors_said_plainly():
            if caller not in self._known:
                row = await into.arun(caller, into.place(self._sql))
                await in_thread(self._check, caller, row)
            script = self._script(jobs, wanted, limits, now, batches)
            if not limits:
                return await into.arun(caller, script)
            if not into.is_open(caller):
                await caller.execute("SELECT 1")
            return await into.arun_whole(caller, script)

    def _script(
        self,
        jobs: Sequence[NewJob],
        wanted: Jobs,
        limits: Mapping[str, Queue],
        now: float | None,
        batches: Sequence[BatchPart],
    ) -> Script[Row | Over]:
        write = into.enqueue_and_ring(self._sql, wanted, now)
        if batches:
            write = into.batched(self._sql, batches, now, write)
        return into.enqueue_within(self._sql, jobs, limits, write) if limits else write

    def _make_lanes(self, wanted: Jobs, batches: Sequence[BatchPart]) -> None:
        """Those that are not there yet, at once: else whoever needs one would wait until the caller commits. Those with
        a key come and go, and are asked for each time.
        """
        lanes = set(zip(wanted.queues, wanted.tasks, wanted.lane_keys, strict=True))
        lanes |= {(then.queue, then.task, then.lane_key) for part in batches if (then := part.then)}
        if lanes <= self._lanes:
            return
        queues, tasks, lane_keys = map(list, zip(*sorted(lanes), strict=True))
        named = {"queues": queues, "tasks": tasks, "lane_keys": lane_keys}
        self._pool.run(lambda line: line.execute(self._sql("lanes"), named))
        if len(self._lanes) > 10_000:
            self._lanes.clear()
        self._lanes |= {lane for lane in lanes if not lane[2]}

    def _check(self, caller: Connection | AsyncConnection, theirs: Row) -> None:
        """Whether this connection leads to the very schema in which the backend's own connections work."""
        *identity, database, may_use = theirs
        if identity != list(self._place[:3]):
            script = into.place(self._sql)
            self._place = self._pool.run(
                lambda line: into.run(line, script)
            )  # anew: the server may have been restarted
        if identity != list(self._place[:3]):
            schema = "" if identity[2] else f", which has no schema {self._sql.schema}"
            raise ConfigError(
                f"connection= leads to the database {database} of {_server(caller)}{schema}, but the jobs are in "
                f"{self._pool.location}; a job can only be written by your transaction in the database that it is in"
            )
        if not may_use:
            raise ConfigError(
                f"connection= is one of the role {caller.info.user}, which may not use the schema {self._sql.schema}: "
                "GRANT it what docs/postgresql.md shows"
            )
        self._known.add(caller)

    @contextlib.contextmanager
    def _errors_said_plainly(self) -> Generator[None]:
        try:
            yield
        except psycopg.Error as error:
            if error.sqlstate in TRY_AGAIN:
                raise
            raise in_our_words(error, self._pool.location) from error


def _server(caller: Connection | AsyncConnection) -> str:
    return f"{caller.info.host}:{caller.info.port}"


def _no_use(given: Any, found: Any) -> ConfigError:
    return ConfigError(
        f"connection= is {foreign.described(given, found)}; where jobs are in PostgreSQL, it takes a Connection "
        "or AsyncConnection of psycopg 3, or what runs on one: a SQLAlchemy Connection, Session or AsyncSession "
        "(postgresql+psycopg://), a Django alias"
    )
