"""Read jobs and numbers."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from ...core import codec
from ...core.job import Attempt, Ended, Job, JobSummary
from ...core.states import State
from ..base import Filter, Gate, Page, QueueStats, WorkerView
from .queries import sql
from .rows import attempt_of, job_of, summary_of

_NEWEST = 1 << 62
NEAR = 1000  # jobs that are cheaper to look through than to ask where others are
PASSED_OVER = 1000  # jobs cancelled before they began, which may stand in front of those that ended
_numbers = msgspec.json.Decoder(list[int]).decode
_names = msgspec.json.Decoder(list[tuple[str, int]]).decode


def get(connection: sqlite3.Connection, ids: Sequence[str]) -> list[Job | None]:
    """Whole jobs, in order. The caller holds a read transaction, so that state and history agree."""
    rows = connection.execute(sql("get"), {"ids": codec.encode(sorted(set(ids))).decode()}).fetchall()
    histories: dict[int, list[Attempt]] = {}
    ords = codec.encode([row[0] for row in rows]).decode()
    for row in connection.execute(sql("history"), {"ords": ords}):
        histories.setdefault(row[0], []).append(attempt_of(row))
    found = {row[1]: job_of(row, tuple(histories.get(row[0], ()))) for row in rows}
    return [found.get(id_) for id_ in ids]


def find(connection: sqlite3.Connection, filter_: Filter, after: str | None, limit: int) -> Page:
    """Jobs that match, newest first. The caller holds a read transaction."""
    states = frozenset(State) if filter_.states is None else filter_.states
    named = {
        "after": _NEWEST if after is None else _cursor(after),
        "floor": 0,
        "states": None if filter_.states is None else codec.encode(sorted(states)).decode(),
        "task": filter_.task,
        "queue": filter_.queue,
        "tag": filter_.tag,
        "batch": filter_.batch,
        "limit": limit + 1,
    }
    if filter_.batch is not None:
        rows = connection.execute(sql("find_batch"), named).fetchall()
    elif filter_.tag is not None and State.QUEUED in states:  # nothing is kept by tag
        rows = connection.execute(sql("find"), named).fetchall()
    else:
        rows = _found_near(connection, named)
    is_last = len(rows) <= limit
    rows = rows[:limit]
    return Page(jobs=tuple(map(summary_of, rows)), next=None if is_last else str(rows[-1][0]))


def _found_near(connection: sqlite3.Connection, named: dict[str, Any]) -> list[Any]:
    """Looks through as many of the newest jobs as looking by state would cost, and only then by state."""
    (newest,) = connection.execute(sql("last_ord")).fetchone()
    (apart,) = connection.execute(sql("count_apart"), named).fetchone()
    floor = min(named["after"], newest + 1) - NEAR - apart
    rows = connection.execute(sql("find"), {**named, "floor": floor}).fetchall()
    missing = named["limit"] - len(rows)
    if missing and floor > 0:
        rows += connection.execute(sql("find_apart"), {**named, "after": floor, "limit": missing}).fetchall()
    return rows


def watch(revisions: Mapping[str, int]) -> Callable[[sqlite3.Connection], list[JobSummary]]:
    """A look for the jobs whose revision is above the one given. A watcher may name thousands, and look often."""
    named = {"revisions": codec.encode(dict(revisions)).decode()}

    def look(connection: sqlite3.Connection) -> list[JobSummary]:
        return [summary_of(row) for row in connection.execute(sql("watch"), named)]

    return look


def places(connection: sqlite3.Connection, ids: Sequence[str], most: int) -> list[int | None]:
    """How many stand before each job, up to `most`; None for those that are not queued."""
    named = {"ids": codec.encode(sorted(set(ids))).decode(), "most": most}
    found: dict[str, int] = {}
    for waiting, front in connection.execute(sql("places"), named):
        at = {ord_: place for place, ord_ in enumerate(_numbers(front))}
        found |= {id_: at.get(ord_, most) for id_, ord_ in _names(waiting)}
    return [found.get(id_) for id_ in ids]


def ended(connection: sqlite3.Connection, queue: str, limit: int) -> list[Ended]:
    """Those that had begun, newest first."""
    rows = connection.execute(sql("ended"), {"queue": queue, "limit": limit, "looked": limit + PASSED_OVER})
    return [
        Ended(task=task, started_at=started_at, finished_at=finished_at, state=State(state))
        for task, started_at, finished_at, state in rows
    ]


def stats(connection: sqlite3.Connection, gates: list[Gate], workers: list[WorkerView], now: float) -> list[QueueStats]:
    """Every queue with jobs, a gate or a live worker, by name."""
    counts: dict[str, dict[State, int]] = {}
    for queue, state, n in connection.execute(sql("counts")):
        counts.setdefault(queue, {})[State(state)] = n
    oldest = dict(connection.execute(sql("stats_oldest")).fetchall())
    unknown: dict[str, list[str]] = {}
    for queue, task in connection.execute(sql("stats_unknown"), {"now": now}):
        unknown.setdefault(queue, []).append(task)
    live = [worker for worker in workers if worker.lease_until >= now]
    names = {*counts, *(name for worker in live for name in worker.info.queues)}
    names |= {gate.scope.removeprefix("queue:") for gate in gates if gate.scope.startswith("queue:")}
    return [
        QueueStats(
            queue=name,
            counts=counts.get(name, {}),
            oldest_waiting_s=None if oldest.get(name) is None else max(0.0, now - oldest[name]),
            workers=sum(name in worker.info.queues for worker in live),
            gates=tuple(gate for gate in gates if gate.scope == f"queue:{name}"),
            unknown_tasks=tuple(unknown.get(name, ())),
        )
        for name in sorted(names)
    ]


def _cursor(text: str) -> int:
    return int(text) if text.isdigit() else 0
