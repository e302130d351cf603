"""Settle: the ends of claims, in as few statements as their variety allows."""

from __future__ import annotations

import sqlite3
from collections import Counter

import msgspec

from ...core import codec
from ...core.decide import Settlement
from ...core.job import NewJob
from ...core.states import FINAL, State
from ..base import ClaimRef, ProgressReport, Step
from . import batches, counts
from .enqueue import enqueue
from .lanes import look_at_heads, slow_task
from .meters import Meters
from .queries import sql
from .rows import Held, held_rows

Claims = dict[tuple[str, int], Held]


def settle(connection: sqlite3.Connection, step: Step, meters: Meters, now: float) -> list[str]:
    """Progress, settlements and starts of a step, in this order; returns the ids of settlements that were refused."""
    named: list[Settlement | ClaimRef | ProgressReport] = [*step.settled, *step.started, *step.progress]
    held = held_of(connection, step.worker, [(claim.id, claim.token) for claim in named])
    reports = [(codec.encode(p.progress).decode(), held.get((p.id, p.token))) for p in step.progress]
    connection.executemany(sql("progress"), [(text, job.ord) for text, job in reports if job is not None])
    batch = _Batch(connection, now)
    refused: list[str] = []
    for settlement in step.settled:
        job = held.pop((settlement.id, settlement.token), None)
        if job is None:
            refused.append(settlement.id)
            continue
        if settlement.outcome != "released":
            settlement = _heeded(connection, settlement, job, meters, now)
        meters.let_go(job.passed, job.id)
        batch.add(_cancelled_if_asked(settlement, job), job)
        if settlement.enqueue:
            batch.flush()  # whether a key is held may hang on what was settled just before
            enqueue(connection, settlement.enqueue, now)
    batch.flush()
    if batch.finals:
        enqueue(connection, batch.finals, now)
    begun = [held.get((ref.id, ref.token)) for ref in step.started]  # what was settled is not in `held` any more
    connection.executemany(sql("started"), [(now, job.ord) for job in begun if job is not None])
    return refused


def _heeded(
    connection: sqlite3.Connection, settlement: Settlement, job: Held, meters: Meters, now: float
) -> Settlement:
    controls = meters.controls.get(job.task)
    if settlement.slow_s and (controls is None or controls.rate is None):
        slow_task(connection, job.task, now + settlement.slow_s, now)
    if controls is None:
        return settlement
    (lane_key,) = connection.execute(sql("lane_key"), {"lane": job.lane}).fetchone()
    return meters.heed(settlement, job.task, lane_key, job.snoozes)


def held_of(connection: sqlite3.Connection, worker: str, claims: list[tuple[str, int]]) -> Claims:
    """Those of the named claims that the worker holds, by id and token: it may name an older claim of a job, too."""
    if not claims:
        return {}
    named = {"claims": codec.encode(claims).decode(), "worker": worker}
    (rows,) = connection.execute(sql("held"), named).fetchone()
    return {(held.id, held.token): held for held in held_rows(rows)}


class _Batch:
    """Settlements that wait to be written together."""

    def __init__(self, connection: sqlite3.Connection, now: float) -> None:
        self._connection, self._now = connection, now
        self._succeeded: list[tuple[int, float]] = []
        self._others: list[tuple[object, ...]] = []
        self._results: list[tuple[object, ...]] = []
        self._attempts: list[tuple[object, ...]] = []
        self._back: list[int] = []
        self._moves: counts.Moves = Counter()
        self._ends: batches.Ends = Counter()
        self.finals: list[NewJob] = []  # of batches that are finished

    def add(self, settlement: Settlement, job: Held) -> None:
        """One more."""
        if settlement.to is State.SUCCEEDED:
            self._succeeded.append((job.ord, settlement.started_ago_s))
        else:
            self._others.append(_row(settlement, job, self._now))
        if settlement.result:
            self._results.append((job.ord, settlement.result))
        if settlement.outcome != "released" and (settlement.outcome != "succeeded" or settlement.logs):
            self._attempts.append(_attempt(settlement, job, self._now))
        self._moves[job.queue, State.RUNNING] -= 1
        self._moves[job.queue, settlement.to] += 1
        if job.batch is not None and settlement.to in FINAL:
            self._ends[job.batch, settlement.to] += 1
        if settlement.to is State.QUEUED:
            self._back.append(job.lane)

    def flush(self) -> None:
        """Write them."""
        connection = self._connection
        if self._succeeded:
            jobs = codec.encode(self._succeeded).decode()
            connection.execute(sql("settle_success"), {"jobs": jobs, "now": self._now})
        connection.executemany(sql("settle"), self._others)
        connection.executemany(sql("settle_result"), self._results)
        connection.executemany(sql("settle_attempt"), self._attempts)
        counts.moved(connection, self._moves)
        look_at_heads(connection, self._back)
        self.finals += batches.count(connection, self._ends, self._now)
        self._ends.clear()
        for written in (self._succeeded, self._others, self._results, self._attempts, self._back, self._moves):
            written.clear()


def _cancelled_if_asked(settlement: Settlement, job: Held) -> Settlement:
    """A job that was to be cancelled does not go back into line; and the person's reason is the one shown."""
    if job.cancel is None or settlement.to in (State.SUCCEEDED, State.DEAD):
        return settlement
    return msgspec.structs.replace(settlement, to=State.CANCELLED, reason=job.cancel or settlement.reason)


def _row(settlement: Settlement, job: Held, now: float) -> tuple[object, ...]:
    to = settlement.to
    is_released = settlement.outcome == "released"  # leaves no trace of an attempt
    return (
        to,
        job.errors + (settlement.outcome == "failed"),
        job.crashes + (settlement.outcome == "crashed"),
        job.snoozes + (settlement.outcome == "snoozed"),
        now if to is State.QUEUED else None,
        now + settlement.delay_s if to is State.SCHEDULED else None,
        None if is_released else _started_at(settlement, job, now),
        now if to in FINAL else None,
        settlement.reason if to in FINAL else "",
        is_released,
        job.ord,
    )


def _started_at(settlement: Settlement, job: Held, now: float) -> float:
    return now - settlement.started_ago_s if job.started_at is None else job.started_at


def _attempt(settlement: Settlement, job: Held, now: float) -> tuple[object, ...]:
    error = None if settlement.error is None else codec.encode(settlement.error).decode()
    logs = codec.encode(settlement.logs).decode() if settlement.logs else "[]"
    number = job.errors + job.crashes + 1
    began = _started_at(settlement, job, now)
    return (job.ord, job.ord, number, settlement.outcome, job.ran_by, began, now, error, logs)
