"""How many jobs each queue has in each state: kept as numbers, since counting costs with what is counted."""

from __future__ import annotations

import sqlite3
from collections import Counter

from .queries import sql

Moves = Counter[tuple[str, str]]  # (queue, state) -> by how many


def moved(connection: sqlite3.Connection, moves: Moves) -> None:
    """Whoever makes, moves or deletes jobs says so, in the same transaction."""
    rows = [(queue, state, n) for (queue, state), n in moves.items() if n]
    connection.executemany(sql("count_add"), rows)


def waiting(connection: sqlite3.Connection, queue: str) -> int:
    """The jobs that wait in a queue, scheduled and queued ones."""
    (n,) = connection.execute(sql("count_waiting"), {"queue": queue}).fetchone()
    return n


def waiting_of(connection: sqlite3.Connection, queue: str, client: str, most: int) -> int:
    """Those of one client, counted up to `most`."""
    named = {"queue": queue, "client": client, "most": most}
    (n,) = connection.execute(sql("count_client"), named).fetchone()
    return n
