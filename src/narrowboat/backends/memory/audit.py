"""Is every job in exactly the structure of its state?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from ...core.controls import LimitSpec
from ...core.states import FINAL, WAITING, State
from .record import Record
from .store import Store, due_entry, lane_of, line_entry


def audit(store: Store) -> list[str]:
    """What is wrong, one sentence each."""
    return [*_memberships(store), *_strays(store), *_keys(store), *_waiting(store), *_meters(store), *_batches(store)]


def _memberships(store: Store) -> Iterator[str]:
    tokens: Counter[int] = Counter()
    for name, record in store.jobs.items():
        lane = store.lanes.get(lane_of(record))
        places = {
            State.QUEUED: lane is not None and line_entry(record) in lane.line,
            State.SCHEDULED: record.due_at is not None and due_entry(record) in store.scheduled,
            State.RUNNING: any(name in worker.holds for worker in store.workers.values()),
        }
        for state, is_there in places.items():
            if is_there != (record.state is state):
                yield f"{name} is {record.state}, and {'also' if is_there else 'not'} among the {state} jobs"
        if (record.hold is not None) != (record.state is State.RUNNING):
            yield f"{name} is {record.state}, and its hold is {record.hold}"
        if record.hold is not None:
            tokens[record.hold.token] += 1
            if name not in getattr(store.workers.get(record.hold.worker), "holds", ()):
                yield f"{name} is held by {record.hold.worker}, which does not know it"
        if (record.finished_at is not None) != (record.state in FINAL):
            yield f"{name} is {record.state}, and finished at {record.finished_at}"
    yield from (f"the token {token} is used {times} times" for token, times in tokens.items() if times > 1)


def _strays(store: Store) -> Iterator[str]:
    counts: Counter[State] = Counter(record.state for record in store.jobs.values())
    sizes = {
        State.QUEUED: sum(len(lane.line) for lane in store.lanes.values()),
        State.SCHEDULED: len(store.scheduled),
        State.RUNNING: sum(len(worker.holds) for worker in store.workers.values()),
    }
    for state, size in sizes.items():
        if size != counts[state]:
            yield f"{counts[state]} jobs are {state}, and their structure has {size}"
    yield from (f"the lane {name} is empty, and kept" for name, lane in store.lanes.items() if not lane.line)


def _waiting(store: Store) -> Iterator[str]:
    found = Counter((r.new.queue, r.new.client) for r in store.jobs.values() if r.state in WAITING)
    if found != store.waiting:
        yield f"{dict(found)} jobs of each queue and client wait, and counted are {dict(store.waiting)}"


def _meters(store: Store) -> Iterator[str]:
    held = Counter(scope for r in store.jobs.values() for scope, control in r.passed if isinstance(control, LimitSpec))
    for scope, meter in store.meters.items():
        if meter.running != held[scope]:
            yield f"{scope} counts {meter.running} running jobs, and {held[scope]} have gone through it"
        if meter.probe and store.jobs[meter.probe].state is not State.RUNNING:
            yield f"{scope} waits for {meter.probe}, which does not run"


def _batches(store: Store) -> Iterator[str]:
    for batch in store.batches.values():
        there = Counter(record.state for record in store.jobs.values() if record.new.batch == batch.id)
        for state in FINAL:
            counted: int = getattr(batch, state.value)
            if there[state] > counted:
                yield f"batch {batch.id} counts {counted} {state} jobs, and there are {there[state]}"
        if batch.total - batch.ended != there.total() - sum(there[state] for state in FINAL):
            yield f"batch {batch.id} counts {batch.total - batch.ended} jobs that have not ended, which is not so"
        if batch.is_due:
            yield f"batch {batch.id} is to be finished, and is not"


def _keys(store: Store) -> Iterator[str]:
    for (task, key), name in store.keys.items():
        record: Record | None = store.jobs.get(name)
        if record is None or (record.new.task, record.new.key) != (task, key):
            yield f"the key {key!r} of {task} names {name}, which does not have it"
