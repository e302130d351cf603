"""A workbench: one fresh backend, a clock that the test drives, and workers that say what they mean."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import count
from typing import Any, TypeVar

from ...backends.base import (
    Backend,
    ClaimRef,
    Extended,
    ProgressReport,
    Step,
    StepReply,
    Wakeup,
    Want,
    WorkerInfo,
)
from ...core.controls import Controls
from ...core.decide import Settlement
from ...core.ids import ulid
from ...core.job import Claim, Job, NewJob, Progress
from ...core.states import State
from ...core.task import Manifest, TaskSpec
from .sleepers import woken_by

MakeBackend = Callable[[], Backend]
Reopen = Callable[[Backend], Backend]
T = TypeVar("T")

TASK, OTHER_TASK = "demo.send", "demo.draw"
ASLEEP_S = 0.15  # a call that has not returned by then sleeps


def requires(capability: str) -> Callable[[T], T]:
    """Mark a case that only backends with this field of Capabilities can run."""

    def mark(check: T) -> T:
        check.__dict__["needs"] = capability
        return check

    return mark


def needs_of(check: Callable[..., None]) -> str | None:
    """What `requires` has marked."""
    return vars(check).get("needs")


def ref(claim: Claim) -> ClaimRef:
    """The name of a claim."""
    return ClaimRef(claim.id, claim.token)


class Bench:
    """A fresh backend and helpers. `now` is passed to every verb, and moves only by `later`."""

    def __init__(self, make_backend: MakeBackend, reopen: Reopen | None = None) -> None:
        self._make, self._reopen, self._numbers = make_backend, reopen, count(1)
        self._opened: list[Backend] = []
        self.backend = self.make()
        self.now = 1_000_000.0
        self._threads: ThreadPoolExecutor | None = None

    def __enter__(self) -> Bench:
        return self

    def __exit__(self, *_: object) -> None:
        for backend in self._opened:
            backend.close()  # ends the waits of threads, too
        if self._threads is not None:
            self._threads.shutdown()

    def make(self) -> Backend:
        """Another fresh store."""
        self._opened.append(self._make())
        return self._opened[-1]

    def reopen(self) -> Backend:
        """A second handle on the same store."""
        assert self._reopen is not None
        self._opened.append(self._reopen(self.backend))
        return self._opened[-1]

    def later(self, seconds: float) -> float:
        """Let time pass."""
        self.now += seconds
        return self.now

    def new(self, task: str = TASK, **fields: Any) -> NewJob:
        """A job that is not written yet. Its id says nothing about order, as ids of many hosts do."""
        entropy = hashlib.sha256(str(next(self._numbers)).encode()).digest()[:16]
        return NewJob(id=f"{task}:{ulid(1_000_000_000, entropy)}", task=task, **fields)

    def add(self, task: str = TASK, **fields: Any) -> str:
        """Enqueue one job; its id."""
        [job_id] = self.add_many(1, task, **fields)
        return job_id

    def add_many(self, n: int, task: str = TASK, **fields: Any) -> list[str]:
        """Enqueue n jobs at once; their ids."""
        jobs = [self.new(task, **fields) for _ in range(n)]
        assert all(made.created for made in self.backend.enqueue(jobs, now=self.now))
        return [job.id for job in jobs]

    def job(self, id: str) -> Job:
        """A job that must be there."""
        [job] = self.backend.get([id], now=self.now)
        assert job is not None, f"{id} is gone"
        return job

    def state(self, id: str) -> State:
        """The state of a job that must be there."""
        return self.job(id).state

    def states(self, ids: Sequence[str]) -> list[State]:
        """The states of jobs that must be there."""
        return [self.state(job_id) for job_id in ids]

    def worker(self, id: str = "", **options: Any) -> BenchWorker:
        """A new worker that has published."""
        return BenchWorker(self, id or f"worker-{next(self._numbers)}", **options).publish()

    def ended(self, to: State, **fields: Any) -> str:
        """A job that a passing worker has brought to an end."""
        job_id = self.add(**fields)
        worker = self.worker(tasks=(self.job(job_id).task,))
        if to is State.CANCELLED:
            self.backend.cancel([job_id], now=self.now)
        else:
            claims = worker.claim(1000, queue=self.job(job_id).queue)
            worker.settle(
                *(succeeded(c) if to is State.SUCCEEDED else failed(c, to=to) for c in claims if c.id == job_id)
            )
        self.backend.leave(worker.id, now=self.now)
        assert self.state(job_id) is to
        return job_id

    def meanwhile(self, act: Callable[[], T]) -> Future[T]:
        """Do something in a thread."""
        self._threads = self._threads or ThreadPoolExecutor(max_workers=16)
        return self._threads.submit(act)

    def woken_by(self, deed: Callable[[], object], sleeper: Callable[[], T]) -> T:
        """What a sleeping call returns, promptly, after a deed that must wake it."""
        return woken_by(deed, sleeper, self.meanwhile, ASLEEP_S)


class BenchWorker:
    """A worker as the backend sees one; counts its own steps."""

    def __init__(
        self,
        bench: Bench,
        id: str,
        *,
        tasks: Sequence[str] = (TASK,),
        queues: Sequence[str] = ("default",),
        lease_s: float = 30.0,
        backend: Backend | None = None,
        controls: Mapping[str, Controls] | Controls | None = None,
    ) -> None:
        self.bench, self.id, self.tasks = bench, id, tuple(tasks)
        self.controls = dict.fromkeys(tasks, controls) if isinstance(controls, Controls) else controls or {}
        self.info = WorkerInfo(id=id, host="box", pid=7, queues=dict.fromkeys(queues, 4), slots=4, lease_s=lease_s)
        self.backend = backend or bench.backend
        self.seq = 0
        self.last = Step(worker=id, seq=0)

    def publish(self) -> BenchWorker:
        """Make this worker known."""
        manifest = Manifest(app="demo", tasks=tuple(map(self._spec, self.tasks)))
        self.backend.publish(self.info, manifest, now=self.bench.now)
        return self

    def _spec(self, name: str) -> TaskSpec:
        return TaskSpec(name=name, controls=self.controls.get(name) or Controls())

    def want(self, n: int = 1, queue: str = "default", tasks: Sequence[str] | None = None, room: float = 0.0) -> Want:
        """A wish, for this worker's tasks unless others are named."""
        return Want(queue, frozenset(self.tasks if tasks is None else tasks), n, room)

    def step(
        self,
        settled: Sequence[Settlement] = (),
        started: Sequence[Claim] = (),
        progress: Sequence[tuple[Claim, Progress]] = (),
        wants: Sequence[Want] = (),
        most: int | None = None,
        room: float | None = None,
    ) -> StepReply:
        """Take the next step."""
        self.seq += 1
        self.last = Step(
            worker=self.id,
            seq=self.seq,
            settled=tuple(settled),
            started=tuple(ref(claim) for claim in started),
            progress=tuple(ProgressReport(claim.id, claim.token, report) for claim, report in progress),
            wants=tuple(wants),
            most=most,
            room=room,
        )
        return self.step_again()

    def step_again(self) -> StepReply:
        """Send the last step once more, as after a lost reply."""
        return self.backend.step(self.last, now=self.bench.now)

    def claim(self, n: int = 1, queue: str = "default", tasks: Sequence[str] | None = None) -> list[Claim]:
        """Claim up to n jobs."""
        return list(self.step(wants=[self.want(n, queue, tasks)]).claimed)

    def claim_one(self, **options: Any) -> Claim:
        """Claim one job, which must be there."""
        [claim] = self.claim(1, **options)
        return claim

    def start_one(self, **options: Any) -> Claim:
        """Claim one job and say that it has begun."""
        claim = self.claim_one(**options)
        self.step(started=[claim])
        return claim

    def settle(self, *settled: Settlement) -> tuple[str, ...]:
        """End claims; returns those refused."""
        return self.step(settled).refused

    def extend(self, *claims: Claim, seq: int | None = None) -> Extended:
        """Renew the lease, naming these claims, having seen the replies up to `seq` (by default: all)."""
        seq = self.seq if seq is None else seq
        return self.backend.extend(self.id, seq, [ref(claim) for claim in claims], now=self.bench.now)

    def rescue(self, limit: int = 100, dead: Sequence[str] = ()) -> list[Claim]:
        """Take over claims of workers that are dead, or whose lease is over."""
        now = self.bench.now
        over = [view.info.id for view in self.backend.workers(now=now) if view.lease_until < now]
        return self.backend.rescue(self.id, [*dead, *over], limit)

    def wait(self, *wants: Want, timeout_s: float = 30.0, cancels: int = 0) -> Wakeup:
        """Sleep until there may be work (by default: of this worker's tasks in the default queue)."""
        return self.backend.wait(self.id, wants or [self.want()], timeout_s, cancels, now=self.bench.now)

    def leave(self) -> None:
        """Go, in good order."""
        self.backend.leave(self.id, now=self.bench.now)


def succeeded(claim: Claim, **fields: Any) -> Settlement:
    """It returned."""
    return _end(claim, "succeeded", {"to": State.SUCCEEDED, **fields})


def failed(claim: Claim, **fields: Any) -> Settlement:
    """It raised, and is tried again in 10 s unless `to` says otherwise."""
    return _end(claim, "failed", {"to": State.SCHEDULED, "delay_s": 10.0, **fields})


def crashed(claim: Claim, **fields: Any) -> Settlement:
    """Its process died; tried again in 10 s unless `to` says otherwise."""
    return _end(claim, "crashed", {"to": State.SCHEDULED, "delay_s": 10.0, **fields})


def snoozed(claim: Claim, **fields: Any) -> Settlement:
    """It asked to be run in 10 s."""
    return _end(claim, "snoozed", {"to": State.SCHEDULED, "delay_s": 10.0, **fields})


def cancelled(claim: Claim, **fields: Any) -> Settlement:
    """It ended as cancelled."""
    return _end(claim, "cancelled", {"to": State.CANCELLED, **fields})


def released(claim: Claim, **fields: Any) -> Settlement:
    """It was not begun, or interrupted through no fault of its own."""
    return _end(claim, "released", {"to": State.QUEUED, **fields})


def _end(claim: Claim, outcome: str, fields: dict[str, Any]) -> Settlement:
    return Settlement(id=claim.id, token=claim.token, outcome=outcome, **fields)
