"""Lanes and gates: what may be claimed, and in which order."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Sequence

from ...core import codec
from ...core.errors import UnknownWorker
from ...core.states import State
from ..base import Gate, Want, slowed
from . import counts
from .enqueue import draw
from .queries import sql


def look_at_heads(connection: sqlite3.Connection, lanes: Iterable[int]) -> None:
    """Find the heads of lanes whose jobs have come or gone otherwise than by a claim."""
    for lane in dict.fromkeys(lanes):
        connection.execute(sql("lane_head"), {"lane": lane, "turn": draw(connection)})


def drop_lanes(connection: sqlite3.Connection, lanes: Iterable[int]) -> None:
    """Forget lanes with a key, of which there may be any number, when no record of a job is in them any more."""
    keyed = [lane for lane in set(lanes) if lane < 0]
    if keyed:
        connection.execute(sql("lanes_drop"), {"lanes": codec.encode(keyed).decode()})


def promote(connection: sqlite3.Connection, now: float, n: int) -> int:
    """Queue scheduled jobs that are due, at most n; returns how many."""
    due = connection.execute(sql("due"), {"now": now, "n": n}).fetchall()
    if due:
        connection.executemany(sql("promote"), [(now, ord_) for ord_, _, _ in due])
        moves: counts.Moves = Counter()
        for _, _, queue in due:
            moves[queue, State.SCHEDULED] -= 1
            moves[queue, State.QUEUED] += 1
        counts.moved(connection, moves)
        look_at_heads(connection, (lane for _, lane, _ in due))
    return len(due)


def open_expired(connection: sqlite3.Connection, now: float) -> None:
    """Open the gates whose time is over."""
    if connection.execute(sql("gates_expire"), {"now": now}).fetchall():
        connection.execute(sql("lanes_shut"))


def look(connection: sqlite3.Connection, worker: str, wants: Sequence[Want]) -> tuple[int, float | None]:
    """For a sleeper: how many cancels were asked of it, and when time alone will bring work. Raises UnknownWorker."""
    row = connection.execute(sql("worker_get"), {"worker": worker}).fetchone()
    if row is None:
        raise UnknownWorker(f"worker {worker} has not published here, or was forgotten: publish again")
    if not wants:
        return row[2], None
    queues = codec.encode([want.queue for want in wants]).decode()
    return row[2], connection.execute(sql("next_change"), {"queues": queues}).fetchone()[0]


def slow_task(connection: sqlite3.Connection, task: str, until: float, now: float) -> None:
    """Shut a task for a while, unless it is shut for longer."""
    row = connection.execute(sql("gate_of"), {"scope": f"task:{task}", "now": now}).fetchone()
    gate = slowed(task, _gate(row) if row else None, until, now)
    if gate is not None:
        shut(connection, gate, now)


def shut(connection: sqlite3.Connection, gate: Gate, now: float) -> None:
    """Shut a gate."""
    since = gate.since or now
    row = {"scope": gate.scope, "kind": gate.kind, "reason": gate.reason, "until": gate.until, "since": since}
    connection.execute(sql("gate_shut"), row)
    connection.execute(sql("lanes_shut"))


def open_gate(connection: sqlite3.Connection, scope: str, now: float) -> bool:
    """Open a gate; False if it was open."""
    open_expired(connection, now)
    was_shut = bool(connection.execute(sql("gate_open"), {"scope": scope}).fetchall())
    connection.execute(sql("lanes_shut"))
    return was_shut


def gates(connection: sqlite3.Connection, now: float) -> list[Gate]:
    """The gates that are shut."""
    return [_gate(row) for row in connection.execute(sql("gates"), {"now": now})]


def _gate(row: tuple[str, str, str, float | None, float]) -> Gate:
    scope, kind, reason, until, since = row
    return Gate(scope=scope, kind=kind, reason=reason, until=until, since=since)
