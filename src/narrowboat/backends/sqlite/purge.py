"""Delete finished records past their retention."""

from __future__ import annotations

import sqlite3

from ...core import codec
from ..base import Retention
from .queries import sql

_TABLES = ("purge_key", "purge_payload", "purge_result", "purge_attempt", "purge_job")


def purge(connection: sqlite3.Connection, retention: Retention, limit: int, now: float) -> int:
    """At most `limit` records, oldest first; returns how many."""
    gone = 0
    for (queue,) in connection.execute(sql("purge_queues")).fetchall():
        for kind, keep_s, most in (
            ("done", retention.keep_s, retention.keep_max),
            ("dead", retention.dead_s, retention.dead_max),
        ):
            if gone >= limit:
                return gone
            gone += _purge(connection, queue, kind, keep_s, now, most, limit - gone)
    return gone


def _purge(
    connection: sqlite3.Connection, queue: str, kind: str, keep_s: float, now: float, most: int, limit: int
) -> int:
    (count,) = connection.execute(sql(f"count_{kind}"), {"queue": queue}).fetchone()
    oldest = connection.execute(sql(f"old_{kind}"), {"queue": queue, "n": limit}).fetchall()
    surplus = count - most
    ords = [ord_ for place, (ord_, ended) in enumerate(oldest) if place < surplus or ended + keep_s <= now]
    if ords:
        named = {"ords": codec.encode(ords).decode()}
        for table in _TABLES:
            connection.execute(sql(table), named)
    return len(ords)
