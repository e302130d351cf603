"""Reading the store: pages, places, numbers, and what is past its retention."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable

from ...core.job import Ended
from ...core.states import FINAL, State
from ..base import Filter, Page, QueueStats, Retention, WorkerView
from .record import Record
from .store import Store, lane_of, line_entry


def find(store: Store, filter: Filter, after: str | None, limit: int) -> Page:
    """The cursor is the order of the last job of the page before."""
    found = [
        record
        for record in reversed(store.jobs.values())  # a dict keeps the order of enqueueing
        if (after is None or record.order < int(after)) and _matches(record, filter)
    ]
    shown = found[:limit]
    return Page(
        jobs=tuple(record.summary() for record in shown),
        next=str(shown[-1].order) if shown and len(found) > limit else None,
    )


def _matches(record: Record, filter: Filter) -> bool:
    return (
        (filter.states is None or record.state in filter.states)
        and (filter.task is None or record.new.task == filter.task)
        and (filter.queue is None or record.new.queue == filter.queue)
        and (filter.tag is None or filter.tag in record.new.tags)
        and (filter.batch is None or record.new.batch == filter.batch)
    )


def place(store: Store, id: str, most: int) -> int | None:
    """Place in line, from 0."""
    record = store.jobs.get(id)
    if record is None or record.state is not State.QUEUED:
        return None
    return min(most, bisect_left(store.lanes[lane_of(record)].line, line_entry(record)))


def ended(store: Store, queue: str, limit: int) -> list[Ended]:
    """Those that had begun, newest first."""
    finished = sorted(
        (r for r in store.jobs.values() if r.new.queue == queue and r.state in FINAL and r.started_at is not None),
        key=lambda record: (_ended(record), record.order),
        reverse=True,
    )
    return [
        Ended(task=r.new.task, started_at=r.started_at, finished_at=_ended(r), state=r.state) for r in finished[:limit]
    ]


def workers(store: Store) -> list[WorkerView]:
    """All that have published."""
    return [
        WorkerView(
            info=worker.info,
            tasks=worker.tasks,
            seen_at=worker.seen_at,
            lease_until=worker.lease_until,
            running=len(worker.holds),
        )
        for worker in store.workers.values()
    ]


def stats(store: Store, now: float) -> list[QueueStats]:
    """Queues by name."""
    gates = store.shut_gates(now)
    live = [worker for worker in store.workers.values() if worker.lease_until >= now]
    known = {task for worker in live for task in worker.tasks}
    jobs: dict[str, list[Record]] = defaultdict(list)
    for record in store.jobs.values():
        jobs[record.new.queue].append(record)
    gated = {scope.removeprefix("queue:") for scope in gates if scope.startswith("queue:")}
    names = jobs.keys() | gated | {queue for worker in live for queue in worker.info.queues}
    return [
        QueueStats(
            queue=name,
            counts=dict(Counter(record.state for record in jobs[name])),
            oldest_waiting_s=_oldest_s(jobs[name], now),
            workers=sum(name in worker.info.queues for worker in live),
            gates=tuple(gate for scope, gate in gates.items() if scope == f"queue:{name}"),
            unknown_tasks=tuple(sorted({r.new.task for r in jobs[name] if r.state is State.QUEUED} - known)),
        )
        for name in sorted(names)
    ]


def _oldest_s(records: list[Record], now: float) -> float | None:
    # From when it was queued, not enqueued: a job that was delayed on purpose has not been waiting.
    ages = [now - r.queued_at for r in records if r.state is State.QUEUED and r.queued_at is not None]
    return max(ages, default=None)


def past_retention(store: Store, retention: Retention, now: float) -> list[Record]:
    """Finished jobs that may be deleted, those that ended first before the others."""

    def past(keep_s: float, keep_max: int, belongs: Callable[[Record], bool]) -> list[Record]:
        newer: Counter[str] = Counter()
        chosen: list[Record] = []
        for record in reversed(finished):
            if belongs(record):
                newer[record.new.queue] += 1
                if newer[record.new.queue] > keep_max or _ended(record) + keep_s <= now:
                    chosen.append(record)
        return chosen[::-1]

    finished = sorted((r for r in store.jobs.values() if r.state in FINAL), key=lambda r: (_ended(r), r.order))
    done = past(retention.keep_s, retention.keep_max, lambda record: record.state is not State.DEAD)
    return done + past(retention.dead_s, retention.dead_max, lambda record: record.state is State.DEAD)


def _ended(record: Record) -> float:
    assert record.finished_at is not None
    return record.finished_at
