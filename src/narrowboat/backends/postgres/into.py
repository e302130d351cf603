"""Enqueueing on a connection that is not ours, sync or async: the same statements, whoever sends them.

A script yields statements and is sent the row that each of them gives; `run` and `arun` are the two who drive it.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import psycopg
from psycopg.pq import TransactionStatus
from psycopg.rows import tuple_row

from ...core.batch import BatchPart
from ...core.errors import ConfigError, UnsupportedByBackend
from ...core.job import NewJob
from ...core.queue import Over, Queue, Tally
from ..foreign import described
from .messages import Jobs, batches_of
from .queries import Queries

T = TypeVar("T")
Row = tuple[Any, ...]


class Statement(NamedTuple):
    """One of sql/queries, and its parameters."""

    text: bytes
    named: Mapping[str, Any]


Script = Generator[Statement, Row, T]


def run(connection: psycopg.Connection[Any], script: Script[T]) -> T:
    """What a script gives."""
    with psycopg.Cursor(connection, row_factory=tuple_row) as cursor:
        row: Row | None = None
        while True:
            try:
                statement = next(script) if row is None else script.send(row)
            except StopIteration as end:
                return end.value
            row = _must(cursor.execute(*statement, binary=True).fetchone())


async def arun(connection: psycopg.AsyncConnection[Any], script: Script[T]) -> T:
    """`run` for async code."""
    async with psycopg.AsyncCursor(connection, row_factory=tuple_row) as cursor:
        row: Row | None = None
        while True:
            try:
                statement = next(script) if row is None else script.send(row)
            except StopIteration as end:
                return end.value
            row = _must(await (await cursor.execute(*statement, binary=True)).fetchone())


def run_whole(connection: psycopg.Connection[Any], script: Script[T | Over]) -> T | Over:
    """What a script gives, in a savepoint of the transaction that is open, else in one of its own. Over: undone."""
    with connection.transaction() as within:
        found = run(connection, script)
        if isinstance(found, Over):
            raise psycopg.Rollback(within)
        return found
    return found


async def arun_whole(connection: psycopg.AsyncConnection[Any], script: Script[T | Over]) -> T | Over:
    """`run_whole` for async code."""
    async with connection.transaction() as within:
        found = await arun(connection, script)
        if isinstance(found, Over):
            raise psycopg.Rollback(within)
        return found
    return found


def enqueue(sql: Queries, wanted: Jobs, now: float | None, *, is_alone: bool) -> Script[Row]:
    """Write jobs: (places that were not written, ids that are there instead, queues to tell of)."""
    return (yield Statement(sql("enqueue"), {**wanted.parameters(), "now": now, "is_alone": is_alone}))


def enqueue_and_ring(sql: Queries, wanted: Jobs, now: float | None) -> Script[Row]:
    """The same, and tell of their queues when the transaction is committed.

    Also of queues that have work already: it may be gone by then.
    """
    named = {**wanted.parameters(), "now": now, "channel": sql.schema, "bells": sorted(wanted.bells())}
    return (yield Statement(sql("enqueue_and_ring"), named))


def batched(sql: Queries, parts: Sequence[BatchPart], now: float | None, write: Script[Row]) -> Script[Row]:
    """Write jobs of batches, which are made before, and sealed after it."""
    yield Statement(sql("make_batches"), {"parts": batches_of(parts), "now": now})
    passed, there, rings, *_ = yield from write
    last = [part.id for part in parts if part.is_last]
    (more,) = yield Statement(sql("seal_batches"), {"ids": last, "now": now})
    return passed, there, [*(rings or ()), *(more or ())]


def enqueue_within(
    sql: Queries, jobs: Sequence[NewJob], limits: Mapping[str, Queue], write: Script[Row]
) -> Script[Row | Over]:
    """Write jobs, or say which limit they go past, which the caller then undoes. One at a time does so for a queue."""
    limited = sorted({job.queue for job in jobs if job.queue in limits})
    (isolation,) = yield Statement(sql("waiting_lock"), {"queues": limited})
    if isolation != "read committed":
        write.close()
        raise UnsupportedByBackend(
            f"the queue {limited[0]} has a limit, and to keep it a transaction must see what others have written; this "
            f"one is {isolation}: enqueue in one that is read committed"
        )
    waiting: dict[str, int] = {}
    for queue in limited:
        (waiting[queue],) = yield Statement(sql("waiting"), {"queue": queue})
    own: dict[tuple[str, str], int] = {}
    for queue, client in dict.fromkeys((job.queue, job.client) for job in jobs if job.client and job.queue in limits):
        most = limits[queue].waiting_per_client
        if most is not None:
            named = {"queue": queue, "client": client, "most": most}
            (own[queue, client],) = yield Statement(sql("waiting_own"), named)
    row = yield from write
    tally = Tally(limits, waiting.__getitem__, lambda queue, client, _: own[queue, client])
    there: set[int] = set(row[0] or ())
    for place, job in enumerate(jobs, 1):
        if place not in there:
            tally.add(job)
    return tally.over() or row


def place(sql: Queries) -> Script[Row]:
    """What tells one schema of one server from any other."""
    return (yield Statement(sql("place"), {"schema": sql.schema}))


def is_open(connection: psycopg.Connection[Any] | psycopg.AsyncConnection[Any]) -> bool:
    """Whether a transaction is under way, or no statement begins one by itself."""
    return connection.autocommit or connection.pgconn.transaction_status != TransactionStatus.IDLE


def refuse_failed(connection: psycopg.Connection[Any] | psycopg.AsyncConnection[Any]) -> None:
    """Raises ConfigError for a connection on which nothing can be done any more."""
    if connection.closed:
        raise ConfigError(f"connection= is {described(connection)} that is closed")
    if connection.pgconn.transaction_status == TransactionStatus.INERROR:
        raise ConfigError("connection= is in a transaction in which a statement has failed: roll it back first")


def _must(row: Row | None) -> Row:
    assert row is not None
    return row
