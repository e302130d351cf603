"""Where jobs sit: one structure per state, and the moves between them. Not locked: the backend does that."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from math import inf
from typing import NamedTuple

import msgspec

from ...core.batch import Batch, BatchPart, final_job, is_past
from ...core.controls import ALL, BreakerSpec, Gated, LimitSpec, Meter
from ...core.errors import UnknownWorker
from ...core.job import Enqueued, NewJob
from ...core.queue import Over, Queue, Tally
from ...core.schedule import ScheduleState
from ...core.states import FINAL, WAITING, State, can_move
from ...core.task import TaskSpec
from ..base import TURN, Gate, StepReply, Want, WorkerInfo, slowed
from .record import Hold, Record


class LaneName(NamedTuple):
    """What a lane is known by."""

    queue: str
    task: str
    key: str


@dataclass(slots=True)
class Lane:
    """The queued jobs of a lane as (-priority, order, id), first to go first. Lanes of low `turn` go first."""

    name: LaneName
    turn: int
    line: list[tuple[int, int, str]] = field(default_factory=list[tuple[int, int, str]])


@dataclass(slots=True)
class Worker:
    """A worker that has published. `reply` answers step `seq` if that is sent again."""

    info: WorkerInfo
    tasks: tuple[str, ...]
    seen_at: float
    lease_until: float
    seq: int = 0
    reply: StepReply | None = None
    cancels: int = 0
    holds: set[str] = field(default_factory=set[str])


class Store:
    """All that the memory backend knows."""

    def __init__(self) -> None:
        self.jobs: dict[str, Record] = {}
        self.lanes: dict[LaneName, Lane] = {}
        self.scheduled: list[tuple[float, int, str]] = []  # (due, order, id)
        self.keys: dict[tuple[str, str], str] = {}  # (task, key) -> the latest job that asked for it
        self.workers: dict[str, Worker] = {}
        self.gates: dict[str, Gate] = {}
        self.specs: dict[str, TaskSpec] = {}
        self.meters: defaultdict[str, Meter] = defaultdict(Meter)
        self.schedules: dict[str, ScheduleState] = {}
        self.batches: dict[str, Batch] = {}
        self.finals: dict[str, NewJob] = {}  # by batch
        self.waiting: Counter[tuple[str, str]] = Counter()  # (queue, client) -> scheduled and queued jobs
        self._orders, self._tokens, self._turns = count(1), count(1), count(1)

    def worker(self, id: str) -> Worker:
        """Raises UnknownWorker."""
        found = self.workers.get(id)
        if found is None:
            raise UnknownWorker(f"worker {id} has not published here, or was forgotten: publish again")
        return found

    def write(self, jobs: Sequence[NewJob], now: float) -> list[Enqueued]:
        """Write the jobs that are not there yet, by id and by key."""
        return [self._write(job, now) for job in jobs]

    def over(self, jobs: Sequence[NewJob], limits: Mapping[str, Queue], now: float) -> Over | None:
        """The limit that writing these jobs would go past."""
        tally = Tally(
            limits,
            lambda queue: sum(n for (name, _), n in self.waiting.items() if name == queue),
            lambda queue, client, most: min(most, self.waiting[queue, client]),
        )
        ids: set[str] = set()
        keys: set[tuple[str, str | None]] = set()
        for job in jobs:
            is_held = job.key is not None and ((job.task, job.key) in keys or self.key_holder(job, now) is not None)
            if job.id not in self.jobs and job.id not in ids and not is_held:
                tally.add(job)
                ids.add(job.id)
                keys.add((job.task, job.key))
        return tally.over()

    def make_batch(self, part: BatchPart, now: float) -> None:
        """Unless it is there."""
        if part.id in self.batches:
            return
        self.batches[part.id] = Batch(
            id=part.id,
            when=part.when,
            is_sealed=False,
            created_at=now,
            changed_at=now,
            then=part.then.id if part.then else "",
            summary=part.summary,
            is_kept=part.is_kept,
        )
        if part.then is not None:
            self.finals[part.id] = part.then

    def end_part(self, part: BatchPart, now: float) -> None:
        """Its jobs are written."""
        if part.is_last and not part.is_kept and not self.batches[part.id].total:
            self.forget_batch(part.id)
        elif part.is_last:
            self._change_batch(part.id, now, is_sealed=True)

    def forget_batch(self, id: str) -> None:
        """Delete its record."""
        del self.batches[id]
        self.finals.pop(id, None)

    def forget_old_batches(self, keep_s: float, dead_s: float, now: float) -> None:
        """Those that are past their retention."""
        for batch in [batch for batch in self.batches.values() if is_past(batch, keep_s, dead_s, now)]:
            self.forget_batch(batch.id)

    def _count_in(self, id: str, field: str, by: int, now: float) -> None:
        if id in self.batches:  # else its record was purged
            self._change_batch(id, now, **{field: getattr(self.batches[id], field) + by})

    def _change_batch(self, id: str, now: float, **fields: object) -> None:
        batch = msgspec.structs.replace(self.batches[id], changed_at=now, **fields)
        is_due = batch.is_due
        self.batches[id] = msgspec.structs.replace(batch, finished_at=now) if is_due else batch
        if is_due and (then := self.finals.get(id)):
            self._write(final_job(then, batch), now)
        if is_due and not batch.is_kept:
            self.forget_batch(id)

    def _write(self, job: NewJob, now: float) -> Enqueued:
        if job.id in self.jobs:
            return Enqueued(job.id, False)
        holder = self.key_holder(job, now)
        if holder is not None:
            return Enqueued(holder, False)
        due = job.due if job.due is not None else now + job.delay_s
        state = State.SCHEDULED if due > now else State.QUEUED
        record = Record(job, next(self._orders), now, state, due_at=due)
        self.jobs[job.id] = record
        self._enter(record, now)
        self.take_key(record)
        if job.batch:
            self._count_in(job.batch, "total", 1, now)
        return Enqueued(job.id, True)

    def key_holder(self, job: NewJob, now: float) -> str | None:
        """The other job that keeps this one's key from it."""
        holder = self.keys.get((job.task, job.key)) if job.key is not None else None
        if holder is None or holder == job.id or not self.jobs[holder].keeps_key(job.key_for, now):
            return None
        return holder

    def take_key(self, record: Record) -> None:
        """Make this job the latest of its key."""
        if record.new.key is not None:
            self.keys[record.new.task, record.new.key] = record.new.id

    def move(self, record: Record, to: State, now: float) -> None:
        """Take a job out of the structure of its state and put it into that of another."""
        assert can_move(record.state, to), f"{record.new.id}: {record.state} -> {to}"
        before = record.state
        self._leave(record)
        record.state = to
        record.revision += 1
        self._enter(record, now)
        if record.new.batch:
            for state, by in ((before, -1), (to, 1)):
                if state in FINAL:
                    self._count_in(record.new.batch, state.value, by, now)

    def claim(self, record: Record, worker: Worker, seq: int, now: float) -> None:
        """Give a queued job to a worker, as a new attempt."""
        self.move(record, State.RUNNING, now)
        record.passed = tuple(self.gates_of(lane_of(record)))
        for scope, control in record.passed:
            control.take(self.meters[scope], record.new.id, now)
        record.ran_by = worker.info.id
        record.started_at, record.progress = None, None
        self.hand_over(record, Hold(worker.info.id, next(self._tokens), seq))

    def rescue(self, record: Record, lost: str, rescuer: Worker) -> None:
        """Give a running job to another worker, as the same attempt."""
        assert record.hold is not None
        # No step made this claim; the rescuer has surely heard of it when it has heard the reply to its next one.
        seq, is_started = rescuer.seq + 1, record.hold.is_started
        self.workers[lost].holds.discard(record.new.id)
        record.revision += 1
        self.hand_over(record, Hold(rescuer.info.id, next(self._tokens), seq, is_started, lost))

    def hand_over(self, record: Record, hold: Hold) -> None:
        """Enter who holds a running job."""
        record.hold = hold
        self.workers[hold.worker].holds.add(record.new.id)

    def held(self, worker: Worker, id: str, token: int) -> Record | None:
        """The job, if this worker holds it with this token."""
        record = self.jobs.get(id)
        if record is None or record.hold is None:
            return None
        return record if (record.hold.worker, record.hold.token) == (worker.info.id, token) else None

    def promote(self, now: float) -> None:
        """Queue the scheduled jobs that are due."""
        while self.scheduled and self.scheduled[0][0] <= now:
            self.move(self.jobs[self.scheduled[0][2]], State.QUEUED, now)

    def next_change(self, queues: set[str], now: float) -> float:
        """When time alone will bring work: a scheduled job of these queues comes due, or a gate opens."""
        due = (at for at, _, job in self.scheduled if self.jobs[job].new.queue in queues)
        opens = [gate.until for gate in self.shut_gates(now).values() if gate.until is not None]
        names = (name for name in self.lanes if name.queue in queues and not self._is_paused(name, now))
        held = [self._opens_at(name) for name in names if not self.room(name, now)]
        return min([next(due, inf), *opens, *held])

    def take(self, want: Want, now: float) -> Iterator[Record]:
        """The jobs for a wish, in order; each must be claimed before the next is asked for."""
        left = want.n
        while left > 0 and (ready := self.ready(want, now)):
            lane = min(ready, key=lambda lane: (lane.line[0][0], lane.turn))
            first = lane.line[0][0]
            most = min(TURN, left, self.room(lane.name, now))
            turn = [job for priority, _, job in lane.line[:most] if priority == first]
            lane.turn = next(self._turns)
            left -= len(turn)
            yield from (self.jobs[job] for job in turn)

    def ready(self, want: Want, now: float) -> list[Lane]:
        """The lanes that could serve this wish now."""
        return [
            lane
            for name, lane in self.lanes.items()
            if want.n > 0 and name.queue == want.queue and name.task in want.tasks and self.room(name, now)
        ]

    def forget(self, record: Record) -> None:
        """Delete a finished job."""
        del self.jobs[record.new.id]
        if record.new.key is not None and self.keys.get((record.new.task, record.new.key)) == record.new.id:
            del self.keys[record.new.task, record.new.key]

    def shut_gates(self, now: float) -> dict[str, Gate]:
        """The gates that are shut, by scope."""
        return {scope: gate for scope, gate in self.gates.items() if gate.until is None or now < gate.until}

    def gates_of(self, lane: LaneName) -> list[Gated]:
        """The gates of its controls, with the numbers that hold now."""
        spec = self.specs.get(lane.task)
        gates = spec.controls.gates(lane.key) if spec is not None else []
        return [Gated(scope, self.meter(scope).override or control) for scope, control in gates]

    def room(self, lane: LaneName, now: float) -> int:
        """How many jobs of a lane may be claimed now."""
        if self._is_paused(lane, now):
            return 0
        return min((control.room(self.meter(scope), now) for scope, control in self.gates_of(lane)), default=ALL)

    def meter(self, scope: str) -> Meter:
        """What a gate remembers, to be read only."""
        return self.meters.get(scope) or Meter()

    def slow_task(self, task: str, until: float, now: float) -> None:
        """Shut a task that has no rate, unless it is shut for longer."""
        gate = slowed(task, self.shut_gates(now).get(f"task:{task}"), until, now)
        if gate is not None:
            self.gates[gate.scope] = gate

    def forget_idle_meters(self, now: float) -> None:
        """Those without which nothing would change."""
        for scope in [scope for scope, meter in self.meters.items() if meter.idle_at <= now]:
            del self.meters[scope]

    def _is_paused(self, lane: LaneName, now: float) -> bool:
        shut = self.shut_gates(now)
        return f"queue:{lane.queue}" in shut or f"task:{lane.task}" in shut

    def _opens_at(self, lane: LaneName) -> float:
        return max((control.opens_at(self.meter(scope)) for scope, control in self.gates_of(lane)), default=inf)

    def _leave(self, record: Record) -> None:
        if record.state in WAITING:
            self._count(record, -1)
        if record.state is State.SCHEDULED:
            self.scheduled.pop(bisect_left(self.scheduled, due_entry(record)))
        elif record.state is State.QUEUED:
            name = lane_of(record)
            line = self.lanes[name].line
            line.pop(bisect_left(line, line_entry(record)))
            if not line:
                del self.lanes[name]
        elif record.state is State.RUNNING:
            assert record.hold is not None
            self.workers[record.hold.worker].holds.discard(record.new.id)
            record.hold, record.is_cancel_asked = None, False
            for scope, control in record.passed:
                if isinstance(control, LimitSpec):
                    self.meters[scope].running -= 1
                elif isinstance(control, BreakerSpec):  # unless the settlement has said more
                    control.ended(self.meters[scope], record.new.id, 0.0, has_answered=False)
            record.passed = ()

    def _count(self, record: Record, by: int) -> None:
        asker = record.new.queue, record.new.client
        self.waiting[asker] += by
        if not self.waiting[asker]:
            del self.waiting[asker]

    def _enter(self, record: Record, now: float) -> None:
        if record.state in WAITING:
            self._count(record, 1)
        if record.state is State.SCHEDULED:
            insort(self.scheduled, due_entry(record))
        elif record.state is State.QUEUED:
            record.queued_at = now
            name = lane_of(record)
            if name not in self.lanes:
                self.lanes[name] = Lane(name, next(self._turns))
            insort(self.lanes[name].line, line_entry(record))


def lane_of(record: Record) -> LaneName:
    """The lane of a job."""
    return LaneName(record.new.queue, record.new.task, record.new.lane_key)


def line_entry(record: Record) -> tuple[int, int, str]:
    """A job as it stands in its lane."""
    return -record.new.priority, record.order, record.new.id


def due_entry(record: Record) -> tuple[float, int, str]:
    """A job as it stands among the scheduled ones."""
    assert record.due_at is not None
    return record.due_at, record.order, record.new.id
