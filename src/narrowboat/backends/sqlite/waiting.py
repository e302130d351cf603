"""How many jobs wait: of queues with a limit, kept as a number, since to count ten thousand takes a millisecond."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

from .queries import sql


def moved(connection: sqlite3.Connection, lanes: Mapping[int, int]) -> None:
    """So many more jobs wait in these lanes, or fewer. Whoever makes a job wait, or takes one that waits, says so."""
    for lane, n in lanes.items():
        if n:
            connection.execute(sql("waiting_add"), {"lane": lane, "n": n})


def count(connection: sqlite3.Connection, queue: str) -> int:
    """The jobs that wait in a queue. The first time it is counted, and the number kept from then on."""
    named = {"queue": queue}
    row = connection.execute(sql("waiting"), named).fetchone()
    if row is None:
        [row] = connection.execute(sql("waiting_begin"), named).fetchall()
    return row[0]


def count_own(connection: sqlite3.Connection, queue: str, client: str, most: int) -> int:
    """Those of one client, counted up to `most`."""
    named = {"queue": queue, "client": client, "most": most}
    (n,) = connection.execute(sql("waiting_own"), named).fetchone()
    return n
