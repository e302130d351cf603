"""What people do to jobs: cancel and retry."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Sequence

from ...core.states import FINAL, State
from ..base import Change
from . import batches, counts
from .enqueue import enqueue, key_holder, lane_of
from .lanes import drop_lanes, look_at_heads
from .queries import sql


def cancel(connection: sqlite3.Connection, ids: Sequence[str], reason: str, now: float) -> list[State | None]:
    """The state of each job afterwards."""
    return [_cancel(connection, id_, reason, now) for id_ in ids]


def _cancel(connection: sqlite3.Connection, id_: str, reason: str, now: float) -> State | None:
    row = connection.execute(sql("cancel_find"), {"id": id_}).fetchone()
    if row is None:
        return None
    ord_, state, lane, queue, worker, batch = row
    if state in FINAL:
        return State(state)
    if state == State.RUNNING:
        if connection.execute(sql("cancel_running"), {"ord": ord_, "reason": reason}).fetchall():
            connection.execute(sql("cancel_bell"), {"worker": worker})
        return State.RUNNING
    connection.execute(sql("cancel_waiting"), {"ord": ord_, "reason": reason, "now": now})
    counts.moved(connection, Counter({(queue, state): -1, (queue, State.CANCELLED): 1}))
    if state == State.QUEUED:
        look_at_heads(connection, [lane])
    if batch is not None and (finals := batches.count(connection, Counter({(batch, State.CANCELLED): 1}), now)):
        enqueue(connection, finals, now)
    return State.CANCELLED


def retry(connection: sqlite3.Connection, ids: Sequence[str], change: Change, now: float) -> list[bool]:
    """Which of the jobs were queued again."""
    return [_retry(connection, id_, change, now) for id_ in ids]


def _retry(connection: sqlite3.Connection, id_: str, change: Change, now: float) -> bool:
    row = connection.execute(sql("retry_find"), {"id": id_}).fetchone()
    if row is None or row[1] not in (State.DEAD, State.CANCELLED):
        return False
    ord_, old_state, task, old_queue, old_lane, lane_key, old_priority, key, batch = row
    holder = key_holder(connection, task, key, "active", now)
    if holder is not None and holder != id_:
        return False
    queue = old_queue if change.queue is None else change.queue
    lane, _ = lane_of(connection, queue, task, lane_key)
    is_due = change.delay_s <= 0
    state = State.QUEUED if is_due else State.SCHEDULED
    connection.execute(
        sql("retry"),
        {
            "ord": ord_,
            "state": state,
            "queue": queue,
            "lane": lane,
            "priority": old_priority if change.priority is None else change.priority,
            "queued_at": now if is_due else None,
            "due_at": None if is_due else now + change.delay_s,
        },
    )
    if change.args is not None:
        connection.execute(sql("retry_args"), {"ord": ord_, "args": change.args})
    if key is not None:
        connection.execute(sql("key_take"), {"task": task, "key": key, "ord": ord_})
    moves: counts.Moves = Counter({(old_queue, old_state): -1})
    moves[queue, state] += 1
    counts.moved(connection, moves)
    look_at_heads(connection, [lane])
    drop_lanes(connection, [old_lane])
    if batch is not None:
        batches.count(connection, Counter({(batch, old_state): -1}), now)
    return True
