"""Delete finished records past their retention."""

from __future__ import annotations

import sqlite3
from collections import Counter

from ...core import codec
from ...core.states import State
from ..base import Retention
from . import batches, counts
from .lanes import drop_lanes
from .queries import sql

_TABLES = ("purge_key", "purge_payload", "purge_result", "purge_attempt")


def purge(connection: sqlite3.Connection, retention: Retention, limit: int, now: float) -> int:
    """At most `limit` records, oldest first; returns how many."""
    connection.execute(sql("meters_purge"), {"now": now, "n": limit})
    batches.purge(connection, retention, now)
    gone = 0
    for (queue,) in connection.execute(sql("purge_queues")).fetchall():
        there: dict[str, int] = dict(connection.execute(sql("count_ended"), {"queue": queue}).fetchall())
        for kind, states, keep_s, most in (
            ("done", (State.SUCCEEDED, State.CANCELLED), retention.keep_s, retention.keep_max),
            ("dead", (State.DEAD,), retention.dead_s, retention.dead_max),
        ):
            if gone >= limit:
                return gone
            surplus = sum(there.get(state, 0) for state in states) - most
            gone += _purge(connection, queue, kind, now - keep_s, surplus, limit - gone)
    return gone


def _purge(connection: sqlite3.Connection, queue: str, kind: str, before: float, surplus: int, limit: int) -> int:
    oldest = connection.execute(sql(f"old_{kind}"), {"queue": queue, "n": limit}).fetchall()
    gone = [(ord_, state) for place, (ord_, state, ended) in enumerate(oldest) if place < surplus or ended <= before]
    if gone:
        named = {"ords": codec.encode([ord_ for ord_, _ in gone]).decode()}
        for table in _TABLES:
            connection.execute(sql(table), named)
        drop_lanes(connection, [lane for (lane,) in connection.execute(sql("purge_job"), named)])
        counts.moved(connection, Counter({(queue, state): -n for state, n in Counter(s for _, s in gone).items()}))
    return len(gone)
