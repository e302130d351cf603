"""Schedules: which due times were dealt with."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from ...core import codec
from ...core.job import NewJob
from ...core.schedule import ScheduleState
from .enqueue import enqueue
from .queries import sql


def read(connection: sqlite3.Connection, keys: Sequence[str]) -> dict[str, ScheduleState]:
    """What is remembered of each."""
    rows = connection.execute(sql("schedules"), {"keys": codec.encode(list(keys)).decode()})
    found = {key: ScheduleState(last=last, is_paused=bool(paused)) for key, last, paused in rows}
    return {key: found.get(key, ScheduleState()) for key in keys}


def fire(connection: sqlite3.Connection, key: str, due: float, job: NewJob | None, now: float) -> bool:
    """Deal with a due time, once."""
    if due > now or not connection.execute(sql("schedule_fire"), {"key": key, "due": due}).fetchall():
        return False
    if job is not None:
        enqueue(connection, [job], now)
    return True


def pause(connection: sqlite3.Connection, key: str, is_paused: bool) -> None:
    """Let due times pass, or no longer."""
    connection.execute(sql("schedule_pause"), {"key": key, "paused": is_paused})
