"""The reference model: every verb as plainly as it can be said, under one lock."""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from math import inf
from typing import Any, TypeVar

import msgspec

from ...core.batch import Batch, BatchPart
from ...core.controls import Control, Meter, close, trip
from ...core.job import Claim, Ended, Enqueued, Job, JobSummary, NewJob
from ...core.queue import ENDS, Queue, full
from ...core.schedule import ScheduleState
from ...core.states import State
from ...core.task import Manifest, TaskSpec
from ..base import (
    NO_LIMITS,
    PLACES,
    Backend,
    Capabilities,
    Change,
    ClaimRef,
    Extended,
    Filter,
    Gate,
    Page,
    QueueStats,
    Retention,
    Step,
    StepReply,
    Wakeup,
    Want,
    WorkerInfo,
    WorkerView,
    allowed,
    no_part_of_it,
    open_breakers,
)
from . import look
from .audit import audit
from .record import Record
from .settle import cancel, release, settle
from .store import Store, Worker

T = TypeVar("T")


class MemoryBackend(Backend):
    """Keeps jobs in this process, and forgets them with it: for tests and for trying things out."""

    capabilities = Capabilities(name="memory", is_shared=False)

    def __init__(self) -> None:
        self.location = "memory of this process"
        self._store = Store()
        self._changed = threading.Condition()
        self._is_closed = False
        self._roused: set[str] = set()
        _all.add(self)

    def after_fork(self) -> None:
        """In a child process: whichever thread of the parent held the lock is not here to let go of it."""
        self._changed = threading.Condition()

    def enqueue(
        self,
        jobs: Sequence[NewJob],
        into: Any = None,
        limits: Mapping[str, Queue] = NO_LIMITS,
        now: float | None = None,
        batches: Sequence[BatchPart] = (),
    ) -> list[Enqueued]:
        if into is not None:
            raise no_part_of_it("memory")
        if not all(isinstance(job, NewJob) for job in jobs):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError("enqueue takes NewJob values; nothing was written")
        with self._changed:
            at = _time(now)
            over = self._store.over(jobs, limits, at) if limits else None
            if over is not None:
                raise full(over, look.ended(self._store, over.queue.name, ENDS), at)
            self._changed.notify_all()
            for part in batches:
                self._store.make_batch(part, at)
            written = self._store.write(jobs, at)
            for part in batches:
                self._store.end_part(part, at)
            return written

    def batches(self, ids: Sequence[str]) -> list[Batch | None]:
        with self._changed:
            return [self._store.batches.get(id_) for id_ in ids]

    def latest_batches(self, limit: int = 50) -> list[Batch]:
        with self._changed:
            return list(reversed(self._store.batches.values()))[:limit]

    def step(self, step: Step, now: float | None = None) -> StepReply:
        with self._changed:
            worker = self._store.worker(step.worker)
            if step.seq == worker.seq and worker.reply is not None:
                return self._answer_again(worker, worker.reply)
            if step.seq < worker.seq:
                return StepReply()  # a late copy: its sender has had the answer and moved on
            worker.seq = step.seq
            worker.reply = self._take_step(worker, step, _time(now))
            self._changed.notify_all()
            return worker.reply

    def _answer_again(self, worker: Worker, reply: StepReply) -> StepReply:
        # What was released since, because an `extend` did not name it, is not this worker's any more.
        held = tuple(claim for claim in reply.claimed if self._store.held(worker, claim.id, claim.token))
        return msgspec.structs.replace(reply, claimed=held, cancelled=self._cancelled(worker))

    def _take_step(self, worker: Worker, step: Step, now: float) -> StepReply:
        store, worker.seen_at = self._store, now
        for report in step.progress:
            record = store.held(worker, report.id, report.token)
            if record is not None:
                record.progress = report.progress
                record.revision += 1
        refused = tuple(end.id for end in step.settled if not settle(store, worker, end, now))
        for ref in step.started:
            record = store.held(worker, ref.id, ref.token)
            if record is not None and record.hold is not None and not record.hold.is_started:
                record.hold.is_started, record.started_at = True, now
                record.revision += 1
        if step.wants:
            store.promote(now)
        claimed: list[Claim] = []
        room = step.room or 0.0
        for want in step.wants:
            n = allowed(step, want, len(claimed), room)
            for record in store.take(msgspec.structs.replace(want, n=n), now):
                store.claim(record, worker, step.seq, now)
                claimed.append(record.claim())
                room -= want.room
        return StepReply(
            refused=refused,
            claimed=tuple(claimed),
            cancelled=self._cancelled(worker),
            more=any(store.ready(want, now) for want in step.wants),
        )

    def _cancelled(self, worker: Worker) -> tuple[str, ...]:
        return tuple(sorted(job for job in worker.holds if self._store.jobs[job].is_cancel_asked))

    def extend(self, worker: str, seq: int, claims: Sequence[ClaimRef], now: float | None = None) -> Extended:
        with self._changed:
            at, store = _time(now), self._store
            me = store.worker(worker)
            me.seen_at, me.lease_until = at, at + me.info.lease_s
            lost = tuple(ref.id for ref in claims if store.held(me, ref.id, ref.token) is None)
            named = {(ref.id, ref.token) for ref in claims}
            for record in self._held(me):
                hold = record.hold
                if hold is not None and hold.seq <= seq and (record.new.id, hold.token) not in named:
                    release(store, record, at)
            self._changed.notify_all()
            return Extended(lost=lost, cancelled=self._cancelled(me))

    def _held(self, worker: Worker) -> list[Record]:
        return sorted((self._store.jobs[job] for job in worker.holds), key=lambda record: record.order)

    def rescue(self, worker: str, dead: Sequence[str], limit: int = 100) -> list[Claim]:
        with self._changed:
            store = self._store
            rescuer = store.worker(worker)
            lost = [other for other in store.workers.values() if other is not rescuer and other.info.id in dead]
            claims: list[Claim] = []
            for other in lost:
                for record in self._held(other)[: limit - len(claims)]:
                    store.rescue(record, other.info.id, rescuer)
                    claims.append(record.claim())
                if not other.holds:
                    del store.workers[other.info.id]
            self._changed.notify_all()
            return claims

    def wait(
        self, worker: str, wants: Sequence[Want], timeout_s: float, cancels: int = 0, now: float | None = None
    ) -> Wakeup:
        ahead_s = 0.0 if now is None else now - time.time()
        queues = {want.queue for want in wants}
        seen = Wakeup(False, 0)

        def look() -> tuple[Wakeup | None, float]:
            nonlocal seen
            moment = time.time() + ahead_s
            asked = self._store.worker(worker).cancels
            next_s = self._store.next_change(queues, moment) - moment
            has_work = next_s <= 0 or any(self._store.ready(want, moment) for want in wants)
            seen = Wakeup(has_work, asked, max(0.0, next_s))
            return seen if has_work or asked > cancels else None, next_s

        self._sleep_until(look, timeout_s, worker if wants else "")
        return seen

    def rouse(self, name: str) -> None:
        with self._changed:
            self._roused.add(name)
            self._changed.notify_all()

    def watch(
        self, revisions: Mapping[str, int], timeout_s: float, now: float | None = None, watcher: str = ""
    ) -> list[JobSummary]:
        def look() -> tuple[list[JobSummary] | None, float]:
            records = ((self._store.jobs.get(job), seen) for job, seen in revisions.items())
            return [record.summary() for record, seen in records if record and record.revision > seen], inf

        return self._sleep_until(look, timeout_s, watcher) or []

    def _sleep_until(self, look: Callable[[], tuple[T | None, float]], timeout_s: float, sleeper: str) -> T | None:
        """Look after every change, and when the last look said that time alone will bring one.

        sleeper: a name under which the sleep can be ended by `rouse`; none if it is empty.
        """
        until = time.monotonic() + timeout_s
        with self._changed:
            while True:
                found, next_s = look()
                left = until - time.monotonic()
                is_roused = sleeper != "" and sleeper in self._roused
                if found or is_roused or self._is_closed or left <= 0:
                    self._roused.discard(sleeper)
                    return found
                self._changed.wait(min(left, max(0.001, next_s)))

    def get(self, ids: Sequence[str], now: float | None = None) -> list[Job | None]:
        with self._changed:
            return [record.job() if (record := self._store.jobs.get(job)) else None for job in ids]

    def find(self, filter: Filter, after: str | None = None, limit: int = 50, now: float | None = None) -> Page:
        with self._changed:
            return look.find(self._store, filter, after, limit)

    def find_key(self, task: str, key: str) -> str | None:
        with self._changed:
            return self._store.keys.get((task, key))

    def places(self, ids: Sequence[str], most: int = PLACES, now: float | None = None) -> list[int | None]:
        with self._changed:
            return [look.place(self._store, job, most) for job in ids]

    def ended(self, queue: str, limit: int = 100, now: float | None = None) -> list[Ended]:
        with self._changed:
            return look.ended(self._store, queue, limit)

    def cancel(self, ids: Sequence[str], reason: str = "", now: float | None = None) -> list[State | None]:
        with self._changed:
            at = _time(now)
            records = [self._store.jobs.get(job) for job in ids]
            for record in records:
                if record is not None:
                    cancel(self._store, record, reason, at)
            self._changed.notify_all()
            return [None if record is None else record.state for record in records]

    def retry(self, ids: Sequence[str], change: Change | None = None, now: float | None = None) -> list[bool]:
        with self._changed:
            self._changed.notify_all()
            return [self._retry(job, change or Change(), _time(now)) for job in ids]

    def _retry(self, id: str, change: Change, now: float) -> bool:
        record = self._store.jobs.get(id)
        if record is None or record.state not in (State.DEAD, State.CANCELLED):
            return False
        # A person who retries means it, also after a success; but two jobs of one key are never alive.
        if self._store.key_holder(msgspec.structs.replace(record.new, key_for="active"), now) is not None:
            return False
        record.new = msgspec.structs.replace(
            record.new,
            args=record.new.args if change.args is None else change.args,
            queue=record.new.queue if change.queue is None else change.queue,
            priority=record.new.priority if change.priority is None else change.priority,
        )
        record.errors = record.crashes = record.snoozes = 0
        record.started_at = record.finished_at = record.progress = None
        record.reason = record.cancel_reason = ""
        record.due_at = now + change.delay_s
        self._store.move(record, State.SCHEDULED if change.delay_s > 0 else State.QUEUED, now)
        self._store.take_key(record)
        return True

    def gates(self, now: float | None = None) -> list[Gate]:
        with self._changed:
            pauses = [gate for _, gate in sorted(self._store.shut_gates(_time(now)).items())]
            return [*pauses, *open_breakers(self._store.meters)]

    def meters(self, scopes: Sequence[str]) -> dict[str, Meter]:
        with self._changed:
            return {scope: copy(self._store.meter(scope)) for scope in scopes}

    def adjust(self, scope: str, control: Control | None) -> None:
        with self._changed:
            self._store.meters[scope].override = control
            self._changed.notify_all()

    def shut(self, gate: Gate, now: float | None = None) -> None:
        with self._changed:
            at = _time(now)
            if gate.scope.startswith("breaker:"):
                trip(self._store.meters[gate.scope], gate.reason, gate.until, at)
            else:
                self._store.gates[gate.scope] = msgspec.structs.replace(gate, since=gate.since or at)
            self._changed.notify_all()

    def open(self, scope: str, now: float | None = None) -> bool:
        with self._changed:
            self._changed.notify_all()
            if scope.startswith("breaker:"):
                return close(self._store.meters[scope], _time(now))
            was_shut = scope in self._store.shut_gates(_time(now))
            self._store.gates.pop(scope, None)
            return was_shut

    def schedules(self, keys: Sequence[str]) -> dict[str, ScheduleState]:
        with self._changed:
            return {key: self._store.schedules.get(key, ScheduleState()) for key in keys}

    def fire(self, key: str, due: float, job: NewJob | None, now: float | None = None) -> bool:
        with self._changed:
            at, there = _time(now), self._store.schedules.get(key, ScheduleState())
            if due <= there.last or due > at:
                return False
            self._store.schedules[key] = msgspec.structs.replace(there, last=due)
            if job is not None:
                self._store.write([job], at)
            self._changed.notify_all()
            return True

    def pause_schedule(self, key: str, is_paused: bool) -> None:
        with self._changed:
            there = self._store.schedules.get(key, ScheduleState())
            self._store.schedules[key] = msgspec.structs.replace(there, is_paused=is_paused)

    def publish(self, worker: WorkerInfo, manifest: Manifest, now: float | None = None) -> None:
        with self._changed:
            at, tasks = _time(now), tuple(manifest.by_name())
            known = self._store.workers.get(worker.id)
            if known is None:
                self._store.workers[worker.id] = Worker(worker, tasks, at, at + worker.lease_s)
            else:
                known.info, known.tasks, known.seen_at, known.lease_until = worker, tasks, at, at + worker.lease_s
            self._store.specs.update(manifest.by_name())
            self._changed.notify_all()

    def leave(self, worker: str, now: float | None = None) -> None:
        with self._changed:
            known = self._store.workers.get(worker)
            if known is None:
                return
            for record in self._held(known):
                release(self._store, record, _time(now))
            del self._store.workers[worker]
            self._changed.notify_all()

    def workers(self, now: float | None = None) -> list[WorkerView]:
        with self._changed:
            return look.workers(self._store)

    def published(self, names: Sequence[str] | None = None) -> dict[str, TaskSpec]:
        with self._changed:
            specs = self._store.specs
            return {name: specs[name] for name in (specs if names is None else names) if name in specs}

    def stats(self, now: float | None = None) -> list[QueueStats]:
        with self._changed:
            return look.stats(self._store, _time(now))

    def purge(self, retention: Retention, limit: int = 1000, now: float | None = None) -> int:
        with self._changed:
            past = look.past_retention(self._store, retention, _time(now))[:limit]
            for record in past:
                self._store.forget(record)
            self._store.forget_idle_meters(_time(now))
            self._store.forget_old_batches(retention.keep_s, retention.dead_s, _time(now))
            return len(past)

    def audit(self) -> list[str]:
        with self._changed:
            return audit(self._store)

    def close(self) -> None:
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()


_all: weakref.WeakSet[MemoryBackend] = weakref.WeakSet()
os.register_at_fork(after_in_child=lambda: [backend.after_fork() for backend in _all])


def _time(now: float | None) -> float:
    return time.time() if now is None else now
