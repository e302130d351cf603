"""Write new jobs."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial

from ...core import codec
from ...core.batch import BatchPart
from ...core.job import Enqueued, NewJob
from ...core.queue import Over, Queue, Tally
from ...core.states import State
from . import batches, counts
from .queries import sql


def enqueue_within(
    connection: sqlite3.Connection,
    jobs: Sequence[NewJob],
    now: float,
    limits: Mapping[str, Queue],
    parts: Sequence[BatchPart] = (),
) -> list[Enqueued] | Over:
    """Write the jobs that are not there yet, or none of them, and the limit that they would go past."""
    limited = dict.fromkeys(job.queue for job in jobs if job.queue in limits)
    if not limited:
        return enqueue(connection, jobs, now, parts=parts)
    tally = Tally(limits, partial(counts.waiting, connection), partial(counts.waiting_of, connection))
    connection.execute("SAVEPOINT within")
    written = _write(connection, jobs, now, tally, parts)
    if isinstance(written, Over):
        connection.execute("ROLLBACK TO within")
    connection.execute("RELEASE within")
    return written


def enqueue(
    connection: sqlite3.Connection, jobs: Sequence[NewJob], now: float, parts: Sequence[BatchPart] = ()
) -> list[Enqueued]:
    """Write the jobs that are not there yet, in order. The caller's transaction makes it all or none."""
    written = _write(connection, jobs, now, None, parts)
    assert not isinstance(written, Over)
    return written


def _write(
    connection: sqlite3.Connection, jobs: Sequence[NewJob], now: float, tally: Tally | None, parts: Sequence[BatchPart]
) -> list[Enqueued] | Over:
    """tally: where new jobs are counted; if they are over it, the caller is to roll back."""
    batches.make(connection, parts, now)
    written = _Batch(connection, now)
    ids = codec.encode([job.id for job in jobs]).decode()
    there = {row[0] for row in connection.execute(sql("known_ids"), {"ids": ids})}
    answers: list[Enqueued] = []
    (ord_,) = connection.execute(sql("last_ord")).fetchone()
    for job in jobs:
        if job.id in there:
            answers.append(Enqueued(job.id, False))
            continue
        holder = written.key_holder(job)
        if holder is not None:
            answers.append(Enqueued(holder, False))
            continue
        there.add(job.id)
        ord_ += 1
        if tally is not None:
            tally.add(job)
        written.add(job, ord_)
        answers.append(Enqueued(job.id, True))
    over = None if tally is None else tally.over()
    if over is not None:
        return over
    written.flush()
    finals = batches.end(connection, parts, now)
    if finals:
        enqueue(connection, finals, now)
    return answers


def draw(connection: sqlite3.Connection, n: int = 1) -> int:
    """The last of n new numbers."""
    (last,) = connection.execute(sql("count"), {"n": n}).fetchone()
    return last


def lane_of(connection: sqlite3.Connection, queue: str, task: str, lane_key: str) -> tuple[int, int | None]:
    """Its id, and the priority of its head; it comes into being with its first job."""
    names = {"queue": queue, "task": task, "lane_key": lane_key}
    return (
        connection.execute(sql("lane_find"), names).fetchone() or connection.execute(sql("lane_make"), names).fetchone()
    )


def is_held(state: str, finished_at: float | None, key_for: str | float, now: float) -> bool:
    """Whether a job in this state keeps its key from one that asks with `key_for`."""
    if state in (State.SCHEDULED, State.QUEUED):
        return True
    if state == State.RUNNING:
        return key_for != "waiting"
    return state == State.SUCCEEDED and not isinstance(key_for, str) and now < (finished_at or 0.0) + key_for


def key_holder(
    connection: sqlite3.Connection, task: str, key: str | None, key_for: str | float, now: float
) -> str | None:
    """The id of the job that keeps a key, if one does."""
    if key is None:
        return None
    row = connection.execute(sql("key_holder"), {"task": task, "key": key}).fetchone()
    return row[0] if row and is_held(row[1], row[2], key_for, now) else None


class _Batch:
    """Rows that wait to be written together. Jobs with a key are written at once, since later ones may ask for it."""

    def __init__(self, connection: sqlite3.Connection, now: float) -> None:
        self._connection, self._now = connection, now
        self._jobs: list[tuple[object, ...]] = []
        self._payloads: list[tuple[object, ...]] = []
        self._lanes: dict[tuple[str, str, str], tuple[int, int | None]] = {}
        self._rises: dict[int, int] = {}
        self._added: counts.Moves = Counter()
        self._batched: batches.Ends = Counter()

    def key_holder(self, job: NewJob) -> str | None:
        if job.key is None:
            return None
        return key_holder(self._connection, job.task, job.key, job.key_for, self._now)

    def add(self, job: NewJob, ord_: int) -> None:
        names = (job.queue, job.task, job.lane_key)
        if names not in self._lanes:
            self._lanes[names] = lane_of(self._connection, *names)
        lane, head = self._lanes[names]
        due = self._now + job.delay_s if job.due is None else job.due
        is_due = due <= self._now
        state = State.QUEUED if is_due else State.SCHEDULED
        self._added[job.queue, state] += 1
        if job.batch:
            self._batched[job.batch, "total"] += 1
        if is_due and (head is None or head < job.priority):
            self._rises[lane] = max(self._rises.get(lane, job.priority), job.priority)
        tags = codec.encode(job.tags).decode() if job.tags else "[]"
        self._jobs.append(
            (
                ord_,
                job.id,
                job.task,
                job.queue,
                lane,
                job.priority,
                state,
                self._now,
                self._now if is_due else None,
                None if is_due else due,
                job.key,
                job.summary,
                tags,
                job.client,
                job.batch or None,
            )
        )
        headers = codec.encode(job.headers).decode() if job.headers else "{}"
        self._payloads.append((ord_, job.args, headers, job.version, job.shape))
        if job.key is not None:
            self._insert()
            self._connection.execute(sql("key_take"), {"task": job.task, "key": job.key, "ord": ord_})

    def flush(self) -> None:
        self._insert()
        counts.moved(self._connection, self._added)
        batches.count(self._connection, self._batched, self._now)
        for lane, priority in self._rises.items():
            turn = draw(self._connection)
            self._connection.execute(sql("lane_rise"), {"lane": lane, "priority": priority, "turn": turn})

    def _insert(self) -> None:
        self._connection.executemany(sql("enqueue"), self._jobs)
        self._connection.executemany(sql("enqueue_payload"), self._payloads)
        self._jobs.clear()
        self._payloads.clear()
