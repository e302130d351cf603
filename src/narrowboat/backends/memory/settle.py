"""Ends of claims: what a settlement, a release and a cancel do to a job."""

from __future__ import annotations

from ...core.decide import Settlement, heed
from ...core.job import Attempt
from ...core.states import FINAL, WAITING, State
from .record import Record
from .store import Store, Worker, lane_of


def settle(store: Store, worker: Worker, end: Settlement, now: float) -> bool:
    """End a claim and write the jobs that it carries; False, and no change, if it is not this worker's."""
    record = store.held(worker, end.id, end.token)
    if record is None:
        return False
    if end.outcome == "released":
        release(store, record, now, end.to, end.delay_s)
    else:
        end = _heed(store, record, end, now)
        _count(record, end, now)
        _end(store, record, end, now)
    store.write(end.enqueue, now)
    return True


def release(store: Store, record: Record, now: float, to: State = State.QUEUED, delay_s: float = 0.0) -> None:
    """Give a running job back, uncharged and without a trace in its history."""
    record.started_at, record.progress = None, None
    if record.is_cancel_asked:
        finish(store, record, State.CANCELLED, record.cancel_reason, now)
        return
    record.due_at = now + delay_s
    store.move(record, to, now)


def cancel(store: Store, record: Record, reason: str, now: float) -> None:
    """End a waiting job; ask for the end of a running one. Finished jobs stay."""
    if record.state in WAITING:
        finish(store, record, State.CANCELLED, reason, now)
    elif record.hold is not None and not record.is_cancel_asked:
        record.is_cancel_asked, record.cancel_reason = True, reason
        record.revision += 1
        store.workers[record.hold.worker].cancels += 1


def finish(store: Store, record: Record, to: State, reason: str, now: float) -> None:
    """Move a job to a final state."""
    store.move(record, to, now)
    record.finished_at, record.reason = now, reason


def _heed(store: Store, record: Record, end: Settlement, now: float) -> Settlement:
    lane = lane_of(record)
    spec = store.specs.get(lane.task)
    if end.slow_s and (spec is None or spec.controls.rate is None):
        store.slow_task(lane.task, now + end.slow_s, now)
    return heed(end, store.gates_of(lane), store.meters.__getitem__, record.snoozes, now)


def _count(record: Record, end: Settlement, now: float) -> None:
    number = record.errors + record.crashes + 1
    if record.started_at is None:
        record.started_at = now - end.started_ago_s
    record.errors += end.outcome == "failed"
    record.crashes += end.outcome == "crashed"
    record.snoozes += end.outcome == "snoozed"
    if end.outcome == "succeeded" and not end.logs:
        return
    attempt = Attempt(
        number=number,
        outcome=end.outcome,
        worker=record.ran_by,
        started_at=record.started_at,
        ended_at=now,
        error=end.error,
        logs=end.logs,
    )
    record.history = (*record.history, attempt)


def _end(store: Store, record: Record, end: Settlement, now: float) -> None:
    if end.to in FINAL:
        record.result = end.result if end.to is State.SUCCEEDED else b""
        reason = (record.cancel_reason if end.to is State.CANCELLED else "") or end.reason
        finish(store, record, end.to, reason, now)
    elif record.is_cancel_asked:  # a person has said that there is to be no other try
        finish(store, record, State.CANCELLED, record.cancel_reason or end.reason, now)
    else:
        record.due_at = now + end.delay_s
        store.move(record, end.to, now)
