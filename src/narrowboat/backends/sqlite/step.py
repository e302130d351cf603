"""Settle and claim in one transaction."""

from __future__ import annotations

import sqlite3
from collections import Counter

import msgspec

from ...core import codec
from ...core.errors import UnknownWorker
from ...core.job import Claim
from ...core.states import State
from ..base import TURN, Step, StepReply, allowed
from . import counts
from .enqueue import draw
from .lanes import open_expired, promote
from .meters import Meters
from .queries import sql
from .rows import claim_of, claim_rows
from .settle import settle
from .turns import Turns, can_serve

_reply = msgspec.json.Decoder(StepReply)
PROMOTE = 200  # scheduled jobs that one step may queue


def step(connection: sqlite3.Connection, step: Step, now: float) -> StepReply:
    """One round trip of a worker. Raises UnknownWorker."""
    row = connection.execute(sql("worker_get"), {"worker": step.worker}).fetchone()
    if row is None:
        raise unknown(step.worker)
    if row[0] == step.seq:  # its answer was lost
        return msgspec.structs.replace(_reply.decode(row[1]), claimed=_claims_of_step(connection, step))
    if step.seq < row[0]:
        return StepReply()  # a late copy: its sender has had the answer and moved on
    meters = Meters(connection, now)
    refused = settle(connection, step, meters, now)
    promoted = 0
    claimed: tuple[Claim, ...] = ()
    if step.wants:
        open_expired(connection, now)
        promoted = promote(connection, now, PROMOTE)
        meters.look_after()
        claimed = _claim(connection, step, meters)
    reply = StepReply(
        refused=tuple(refused),
        cancelled=cancelling(connection, step.worker),
        more=promoted == PROMOTE or any(can_serve(connection, want, meters) for want in step.wants),
    )
    meters.flush()
    remembered = codec.encode(reply).decode()
    connection.execute(sql("worker_step"), {"worker": step.worker, "seq": step.seq, "reply": remembered, "now": now})
    return msgspec.structs.replace(reply, claimed=claimed)


def unknown(worker: str) -> UnknownWorker:
    """What is raised for a worker without a record."""
    return UnknownWorker(f"worker {worker} has not published here, or was forgotten: publish again")


def cancelling(connection: sqlite3.Connection, worker: str) -> tuple[str, ...]:
    """Running jobs of a worker whose cancel was asked for."""
    return tuple(row[0] for row in connection.execute(sql("cancelling"), {"worker": worker}))


def _claim(connection: sqlite3.Connection, step: Step, meters: Meters) -> tuple[Claim, ...]:
    """New claims in the order in which lanes were served, which is the order of their tokens."""
    claimed, room = 0, step.room or 0.0
    moves: counts.Moves = Counter()
    for want in step.wants:
        left, turns = allowed(step, want, claimed, room), Turns(connection, want, meters)
        while left > 0 and (turn := turns.next()):
            lane = turn.lane
            n = min(left if turn.is_alone else min(left, TURN), turn.room)
            last = draw(connection, n + 1)
            new = {"worker": step.worker, "token": last - n, "step": step.seq}
            taken = connection.execute(
                sql("claim"), {**new, "lane": lane.id, "priority": lane.priority, "n": n}
            ).rowcount
            if turn.gates:
                ids = [id_ for (id_,) in connection.execute(sql("claimed_ids"), new)]
                if passed := meters.take(turn.gates, ids):
                    connection.execute(sql("pass"), {**new, "passed": passed})
            (head,) = connection.execute(sql("lane_served"), {"lane": lane.id, "turn": last}).fetchone()
            if head is not None:
                turns.back(lane, head)
            moves[want.queue, State.QUEUED] -= taken
            moves[want.queue, State.RUNNING] += taken
            left -= taken
            claimed += taken
            room -= taken * want.room
    counts.moved(connection, moves)
    return _claims_of_step(connection, step)


def _claims_of_step(connection: sqlite3.Connection, step: Step) -> tuple[Claim, ...]:
    (rows,) = connection.execute(sql("claimed"), {"worker": step.worker, "step": step.seq}).fetchone()
    return tuple(sorted(map(claim_of, claim_rows(rows)), key=lambda claim: claim.token))
