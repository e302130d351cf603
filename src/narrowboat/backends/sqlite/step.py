"""Settle and claim in one transaction."""

from __future__ import annotations

import sqlite3
from typing import NamedTuple

import msgspec

from ...core import codec
from ...core.decide import Settlement
from ...core.errors import UnknownWorker
from ...core.job import Claim
from ...core.states import FINAL, State
from ..base import TURN, ClaimRef, ProgressReport, Step, StepReply
from .enqueue import draw, enqueue
from .lanes import look_at_heads, next_lanes, open_expired, promote
from .queries import sql
from .rows import claim_of

_reply = msgspec.json.Decoder(StepReply)
PROMOTE = 200  # scheduled jobs that one step may queue


class Held(NamedTuple):
    """A running job as its settlement needs it."""

    ord: int
    id: str
    lane: int
    errors: int
    crashes: int
    snoozes: int
    started_at: float | None
    cancel: str | None
    ran_by: str
    token: int


def step(connection: sqlite3.Connection, step: Step, now: float) -> StepReply:
    """One round trip of a worker. Raises UnknownWorker."""
    row = connection.execute(sql("worker_get"), {"worker": step.worker}).fetchone()
    if row is None:
        raise unknown(step.worker)
    if row[0] == step.seq:  # its answer was lost
        claims = tuple(sorted(_claims_of_step(connection, step).values(), key=lambda claim: claim.token))
        return msgspec.structs.replace(_reply.decode(row[1]), claimed=claims)
    if step.seq < row[0]:
        return StepReply()  # a late copy: its sender has had the answer and moved on
    refused = _settle(connection, step, now)
    promoted = 0
    claimed: tuple[Claim, ...] = ()
    if step.wants:
        open_expired(connection, now)
        promoted = promote(connection, now, PROMOTE)
        claimed = _claim(connection, step)
    reply = StepReply(
        refused=tuple(refused),
        cancelled=cancelling(connection, step.worker),
        more=promoted == PROMOTE or any(next_lanes(connection, want) for want in step.wants),
    )
    remembered = codec.encode(reply).decode()
    connection.execute(sql("worker_step"), {"worker": step.worker, "seq": step.seq, "reply": remembered, "now": now})
    return msgspec.structs.replace(reply, claimed=claimed)


def unknown(worker: str) -> UnknownWorker:
    """What is raised for a worker without a record."""
    return UnknownWorker(f"worker {worker} has not published here, or was forgotten: publish again")


def cancelling(connection: sqlite3.Connection, worker: str) -> tuple[str, ...]:
    """Running jobs of a worker whose cancel was asked for."""
    return tuple(row[0] for row in connection.execute(sql("cancelling"), {"worker": worker}))


def held_of(connection: sqlite3.Connection, worker: str, claims: list[tuple[str, int]]) -> dict[tuple[str, int], Held]:
    """Those of the named claims that the worker holds, by id and token: it may name an older claim of a job, too."""
    if not claims:
        return {}
    rows = connection.execute(sql("held"), {"claims": codec.encode(claims).decode(), "worker": worker})
    return {(row[1], row[9]): Held(*row) for row in rows}


def _settle(connection: sqlite3.Connection, step: Step, now: float) -> list[str]:
    """Starts, progress and settlements; returns the ids of settlements that were refused."""
    named: list[Settlement | ClaimRef | ProgressReport] = [*step.settled, *step.started, *step.progress]
    held = held_of(connection, step.worker, [(claim.id, claim.token) for claim in named])
    claims = [(p, held.get((p.id, p.token))) for p in step.progress]
    reports = [(codec.encode(p.progress).decode(), job.ord) for p, job in claims if job is not None]
    connection.executemany(sql("progress"), reports)
    rows: list[tuple[object, ...]] = []
    results: list[tuple[object, ...]] = []
    attempts: list[tuple[object, ...]] = []
    back: list[int] = []
    refused: list[str] = []
    for settlement in step.settled:
        job = held.pop((settlement.id, settlement.token), None)
        if job is None:
            refused.append(settlement.id)
            continue
        settlement = _cancelled_if_asked(settlement, job)
        rows.append(_row(settlement, job, now))
        if settlement.result:
            results.append((job.ord, settlement.result))
        if settlement.outcome != "released" and (settlement.outcome != "succeeded" or settlement.logs):
            attempts.append(_attempt(settlement, job, now))
        if settlement.to is State.QUEUED:
            back.append(job.lane)
        if settlement.enqueue:
            enqueue(connection, settlement.enqueue, now)
    connection.executemany(sql("settle"), rows)
    connection.executemany(sql("settle_result"), results)
    connection.executemany(sql("settle_attempt"), attempts)
    begun = [held.get((ref.id, ref.token)) for ref in step.started]  # what was settled is not in `held` any more
    connection.executemany(sql("started"), [(now, job.ord) for job in begun if job is not None])
    look_at_heads(connection, back)
    return refused


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
    return (job.ord, number, settlement.outcome, job.ran_by, _started_at(settlement, job, now), now, error, logs)


def _claim(connection: sqlite3.Connection, step: Step) -> tuple[Claim, ...]:
    """New claims in the order in which lanes were served."""
    order: list[int] = []
    most = sum(want.n for want in step.wants) if step.most is None else step.most
    for want in step.wants:
        left = min(want.n, most - len(order))
        while left > 0 and (lanes := next_lanes(connection, want)):
            (lane, priority) = lanes[0]
            is_alone = len(lanes) == 1 or lanes[1][1] < priority
            n = left if is_alone else min(left, TURN)
            taken = connection.execute(
                sql("claim"),
                {
                    "worker": step.worker,
                    "token": draw(connection, n) - n + 1,
                    "step": step.seq,
                    "lane": lane,
                    "priority": priority,
                    "n": n,
                },
            ).fetchall()
            connection.execute(sql("lane_served"), {"lane": lane, "turn": draw(connection)})
            order += sorted(ord_ for (ord_,) in taken)
            left -= len(taken)
    claims = _claims_of_step(connection, step) if order else {}
    return tuple(claims[ord_] for ord_ in order)


def _claims_of_step(connection: sqlite3.Connection, step: Step) -> dict[int, Claim]:
    rows = connection.execute(sql("claimed"), {"worker": step.worker, "step": step.seq})
    return {row[0]: claim_of(row) for row in rows}
