"""`app.testing()`: enqueue for real, look at what was enqueued, and run it when the test says so."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar, cast

from ..backends.base import NO_LIMITS, Backend, Filter
from ..core import codec
from ..core.aside import in_thread
from ..core.batch import BatchPart
from ..core.controls import NEVER
from ..core.errors import ConfigError, WaitTimeout
from ..core.firing import job_for
from ..core.job import Enqueued, Job, JobSummary, NewJob
from ..core.queue import Queue
from ..core.runnable import RunnableApp
from ..core.schedule import plan
from ..core.states import State
from ..files.folder import FolderStore
from .again import all_of
from .clock import Clock, Clocked
from .handle import AnyJob, Home, JobHandle
from .stand_in import StandIn
from .steering import opens_at
from .task import Enqueueable

R = TypeVar("R")
Errors = Literal["raise", "record"]
MOST_RUNS = 10_000  # in one drain
SHOWN = 12


class Troupe(Home, RunnableApp, Protocol):
    """What a rehearsal needs of its App."""


class Rehearsal:
    """The jobs of an app under test, in memory: nothing runs by itself.

    clock: the backend's time, which stands still; let it pass with `clock.advance("10m")`.
    errors: "raise" lets what a task raises through to the test, after it was recorded; "record" only records it.
    folder: for files.
    """

    def __init__(
        self, app: Troupe, backend: Backend, folder: Path, *, inline: bool = False, errors: Errors = "raise"
    ) -> None:
        self.clock = Clock()
        self.errors: Errors = _checked(errors)
        self._app = app
        self._is_inline = inline
        self._record = cast(Backend, Clocked(backend, self.clock))
        self.files = FolderStore(folder / "files")
        manifest = app.manifest()
        self._specs = manifest.by_name()
        self._schedules = [(task, spec) for task in manifest.tasks for spec in task.schedules]
        self._fire()  # the times from now on
        self._worker = StandIn(app, self._record, self.clock, self.files, folder / "scratch")
        self._turn = threading.RLock()
        self._is_draining = False
        self.backend = cast(Backend, _Stage(self, backend, self.clock))

    def __repr__(self) -> str:
        return f"<Rehearsal: {len(self._all())} jobs>"

    def enqueued(self, task: Enqueueable[..., R] | None = None, /, *args: Any, **kwargs: Any) -> list[JobHandle[R]]:
        """Every job enqueued so far, oldest first, run or not: of a task, and with these arguments among its own."""
        jobs = self._all()
        if task is not None:
            asked = task.part(*args, **kwargs)
            jobs = [job for job in jobs if job.task in task.spec.names and _has(task.all_values(job.args), asked)]
        return [JobHandle[R](self._app, job.id) for job in jobs]

    def assert_enqueued(self, task: Enqueueable[..., R], /, *args: Any, **kwargs: Any) -> JobHandle[R]:
        """The latest job of a task with these arguments among its own; AssertionError if there is none."""
        __tracebackhide__ = True
        found = self.enqueued(task, *args, **kwargs)
        if not found:
            raise AssertionError(f"no job {_call(task.name, task.part(*args, **kwargs))} was enqueued; {self._shown()}")
        return found[-1]

    def assert_not_enqueued(self, task: Enqueueable[..., Any], /, *args: Any, **kwargs: Any) -> None:
        """AssertionError if there is a job of a task with these arguments among its own."""
        __tracebackhide__ = True
        if self.enqueued(task, *args, **kwargs):
            raise AssertionError(f"a job {_call(task.name, task.part(*args, **kwargs))} was enqueued; {self._shown()}")

    def drain(self, *, until_empty: bool = False, errors: Errors | None = None) -> list[AnyJob]:
        """Run what is queued now, one after another, and what that enqueues; the jobs in the order of their attempts.

        until_empty: move the clock on to each retry, delay and snooze, until nothing waits any more.
        Schedules whose time has come since the last drain make their jobs first: one each, as after an absence.
        Jobs of tasks that the app does not know, and of paused queues, stay where they are.
        Raises what a task raises, unless errors is "record"; AssertionError after MOST_RUNS attempts.
        """
        do_raise = _checked(errors or self.errors) == "raise"
        ran: list[AnyJob] = []
        self._fire()
        with self._turn:
            self._is_draining = True
            try:
                while True:
                    self._run_queued(ran, do_raise)
                    due = self._next_due() if until_empty else None
                    if due is None:
                        return ran
                    self.clock.advance_to(due)
            finally:
                self._is_draining = False

    async def adrain(self, *, until_empty: bool = False, errors: Errors | None = None) -> list[AnyJob]:
        """`drain` for async tests."""
        return await asyncio.to_thread(self.drain, until_empty=until_empty, errors=errors)

    def close(self) -> None:
        """Call the executor_stop hooks."""
        self._worker.close()

    def wrote(self) -> None:
        """Jobs were enqueued."""
        if self._is_inline and not self._is_draining:  # a drain that is under way comes to them by itself
            self.drain()

    def waited_for(self, revisions: Mapping[str, int]) -> list[JobSummary]:
        """Somebody waits for jobs, and nobody but the one who waits can run them. Raises WaitTimeout at once."""
        self.drain()
        changed = self._record.watch(revisions, 0.0)
        if not changed:
            found = [job for job in self._record.get(list(revisions)) if job]
            states = ", ".join(f"{job.id} is {job.state}" for job in found) or "there is no such job"
            raise WaitTimeout(f"waiting would never end: {states}, and time stands still until clock.advance(...)")
        return changed

    def _run_queued(self, ran: list[AnyJob], do_raise: bool) -> None:
        while (done := self._worker.run_next()) is not None:
            job_id, error = done
            ran.append(JobHandle(self._app, job_id))
            if error is not None and do_raise:
                raise error
            if len(ran) >= MOST_RUNS:
                raise AssertionError(f"{MOST_RUNS:,} attempts, and jobs still wait; the last was {job_id}")

    def _fire(self) -> None:
        states = self._record.schedules([spec.key for _, spec in self._schedules])
        for task, spec in self._schedules:
            todo = plan(spec, states[spec.key], self.clock.now)
            if todo.due is not None:
                self._record.fire(spec.key, todo.due, job_for(task, spec) if todo.runs else None)

    def _next_due(self) -> float | None:
        now, jobs = self.clock.now, self._all()
        due = [job.due_at for job in jobs if job.state is State.SCHEDULED and job.due_at]
        queued = [job for job in jobs if job.state is State.QUEUED and job.task in self._specs]
        held = (opens_at(self._record, job, self._specs[job.task], now) for job in queued)
        return min([*due, *(at for at in held if now < at < NEVER)], default=None)

    def _all(self) -> list[Job]:
        ids = [job.id for job in all_of(self._record, Filter())]
        return [job for job in self._record.get(ids[::-1]) if job]

    def _shown(self) -> str:
        jobs = self._all()
        if not jobs:
            return "nothing was"
        lines = [f"  {_call(job.task, codec.decode(job.args))} is {job.state}" for job in jobs[-SHOWN:]]
        more = f" (the last {SHOWN} of {len(jobs)})" if len(jobs) > SHOWN else ""
        return f"enqueued were{more}:\n" + "\n".join(lines)


class _Stage(Clocked):
    """The backend that the app sees."""

    def __init__(self, rehearsal: Rehearsal, backend: Backend, clock: Clock) -> None:
        super().__init__(backend, clock)
        self._rehearsal = rehearsal

    def enqueue(
        self,
        jobs: Sequence[NewJob],
        into: Any = None,
        limits: Mapping[str, Queue] = NO_LIMITS,
        *,
        batches: Sequence[BatchPart] = (),
    ) -> list[Enqueued]:
        """`into` is left alone: there is no transaction that memory could be part of."""
        written = self._backend.enqueue(jobs, None, limits, self._clock.now, batches)
        self._rehearsal.wrote()
        return written

    async def aenqueue(
        self,
        jobs: Sequence[NewJob],
        into: Any,
        limits: Mapping[str, Queue] = NO_LIMITS,
        *,
        batches: Sequence[BatchPart] = (),
    ) -> list[Enqueued]:
        return await in_thread(partial(self.enqueue, jobs, into, limits, batches=batches))

    def watch(self, revisions: Mapping[str, int], timeout_s: float, watcher: str = "") -> list[JobSummary]:
        return self._rehearsal.waited_for(revisions)


def _checked(errors: str) -> Errors:
    if errors not in ("raise", "record"):
        raise ConfigError(f'errors={errors!r}: give "raise" or "record"')
    return errors


def _has(values: Mapping[str, Any], asked: Mapping[str, Any]) -> bool:
    return all(name in values and values[name] == value for name, value in asked.items())


def _call(task: str, arguments: Mapping[str, Any]) -> str:
    return f"{task}({', '.join(f'{name}={value!r}' for name, value in arguments.items())})"
