"""Workers: known, renewed, rescued, forgotten."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Sequence

import msgspec

from ...core import codec
from ...core.job import Claim
from ...core.states import State
from ...core.task import Manifest, TaskSpec
from ..base import ClaimRef, Extended, WorkerInfo, WorkerView
from . import batches, counts, meters
from .enqueue import draw, enqueue
from .lanes import look_at_heads
from .queries import sql
from .rows import claim_of, claim_row
from .settle import held_of
from .step import cancelling, unknown

_info = msgspec.json.Decoder(WorkerInfo)
_spec = msgspec.json.Decoder(TaskSpec)


def publish(connection: sqlite3.Connection, worker: WorkerInfo, manifest: Manifest, now: float) -> None:
    """Make a worker and its tasks known."""
    row = {"id": worker.id, "info": codec.encode(worker).decode(), "now": now, "until": now + worker.lease_s}
    connection.execute(sql("worker_publish"), row)
    connection.execute(sql("worker_forget_tasks"), {"worker": worker.id})
    connection.executemany(sql("worker_publish_task"), [(worker.id, name) for name in manifest.by_name()])
    specs = [(name, codec.encode(task).decode(), now) for name, task in manifest.by_name().items()]
    connection.executemany(sql("publish_spec"), specs)
    meters.publish(connection, {name: task.controls for name, task in manifest.by_name().items()})
    connection.execute(sql("lanes_known"))


def extend(connection: sqlite3.Connection, worker: str, seq: int, claims: Sequence[ClaimRef], now: float) -> Extended:
    """Renew a lease; release what was claimed up to a step and is not named. Raises UnknownWorker."""
    row = connection.execute(sql("worker_info"), {"worker": worker}).fetchone()
    if row is None:
        raise unknown(worker)
    until = now + _info.decode(row[0]).lease_s
    connection.execute(sql("worker_extend"), {"worker": worker, "until": until, "now": now})
    named = [(claim.id, claim.token) for claim in claims]
    held = held_of(connection, worker, named)
    lost = tuple(claim.id for claim in claims if (claim.id, claim.token) not in held)
    names = codec.encode(named).decode()
    _release(connection, connection.execute(sql("unnamed"), {"worker": worker, "seq": seq, "claims": names}), now)
    return Extended(lost=lost, cancelled=cancelling(connection, worker))


def rescue(connection: sqlite3.Connection, worker: str, dead: Sequence[str], limit: int) -> list[Claim]:
    """Take over from workers that are gone. Raises UnknownWorker."""
    row = connection.execute(sql("worker_get"), {"worker": worker}).fetchone()
    if row is None:
        raise unknown(worker)
    named = {"worker": worker, "dead": codec.encode(list(dead)).decode()}
    lost = connection.execute(sql("lost_workers"), named).fetchall()
    claims: list[Claim] = []
    for (other,) in lost:
        jobs = connection.execute(sql("lost_jobs"), {"worker": other, "n": limit - len(claims)}).fetchall()
        for (ord_,) in jobs:
            token = draw(connection)
            # The worker has surely heard of this claim when it has heard the reply to its next step.
            changes = {"ord": ord_, "worker": worker, "token": token, "step": row[0] + 1}
            (row_,) = connection.execute(sql("rescue"), changes).fetchone()
            claims.append(claim_of(claim_row(row_), lost_worker=other))
        (holds_any,) = connection.execute(sql("holds_any"), {"worker": other}).fetchone()
        if not holds_any:
            _forget(connection, other)
    return claims


def leave(connection: sqlite3.Connection, worker: str, now: float) -> None:
    """Forget a worker; what it holds goes back to its place."""
    _release(connection, connection.execute(sql("worker_all_jobs"), {"worker": worker}), now)
    _forget(connection, worker)


def workers(connection: sqlite3.Connection) -> list[WorkerView]:
    """Those that have published and not left."""
    tasks: dict[str, list[str]] = {}
    for worker, task in connection.execute(sql("workers_tasks")):
        tasks.setdefault(worker, []).append(task)
    return [
        WorkerView(
            info=_info.decode(info),
            tasks=tuple(tasks.get(id_, ())),
            seen_at=seen_at,
            lease_until=lease_until,
            running=running,
        )
        for id_, info, seen_at, lease_until, running in connection.execute(sql("workers"))
    ]


def published(connection: sqlite3.Connection, names: Sequence[str] | None) -> dict[str, TaskSpec]:
    """The newest specs, by name."""
    tasks = None if names is None else codec.encode(list(names)).decode()
    return {task: _spec.decode(spec) for task, spec in connection.execute(sql("published"), {"tasks": tasks})}


def _release(connection: sqlite3.Connection, rows: sqlite3.Cursor, now: float) -> None:
    jobs = rows.fetchall()
    back = [(now, ord_) for ord_, _, _, cancel, *_ in jobs if cancel is None]
    connection.executemany(sql("release"), back)
    moves: counts.Moves = Counter()
    ends: batches.Ends = Counter()
    for ord_, _, queue, cancel, _, _, batch in jobs:
        moves[queue, State.RUNNING] -= 1
        moves[queue, State.QUEUED if cancel is None else State.CANCELLED] += 1
        if cancel is not None:
            connection.execute(sql("cancel_waiting"), {"ord": ord_, "reason": cancel, "now": now})
            if batch is not None:
                ends[batch, State.CANCELLED] += 1
    counts.moved(connection, moves)
    look_at_heads(connection, (lane for _, lane, *_ in jobs))
    if finals := batches.count(connection, ends, now):
        enqueue(connection, finals, now)
    if any(passed for *_, passed, _ in jobs):
        gates = meters.Meters(connection, now)
        for *_, id_, passed, _ in jobs:
            gates.let_go(passed, id_)
        gates.flush()


def _forget(connection: sqlite3.Connection, worker: str) -> None:
    connection.execute(sql("worker_forget"), {"worker": worker})
    connection.execute(sql("worker_forget_tasks"), {"worker": worker})
    connection.execute(sql("lanes_known"))
