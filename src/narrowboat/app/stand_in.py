"""A worker for tests: runs jobs one at a time in the calling process, by the rules of the real one.

What is the same: the backend port, the order of jobs, arguments and results as JSON, hooks, needs, what an
outcome means for a job, what is written together with it. What is not: no other process, so no timeouts, no
memory limits, and a crash is the test's own.
"""

from __future__ import annotations

import asyncio
import contextvars
import os
import random
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import msgspec

from ..backends.base import Backend, ClaimRef, ProgressReport, Step, StepReply, Want, WorkerInfo
from ..core.aftermath import aftermath
from ..core.decide import Settlement, decide
from ..core.errors import BadArguments, Control, FileMissing
from ..core.job import Claim, NewJob
from ..core.outcome import Failed, Outcome, Released, Succeeded
from ..core.runnable import Runnable, RunnableApp
from ..executor import wire
from ..executor.attempt import Attempt, outcome_of, unreadable
from ..executor.describe import describe
from ..executor.scratch import Scratch
from ..files.carry import Sent, named_in, take_out
from ..files.store import FileStore
from .clock import Clock

T = TypeVar("T")
FOREVER_S = 100 * 365 * 86_400.0
EXPECTED = (Exception, SystemExit, asyncio.CancelledError)  # what ends an attempt; anything else ends the test


class StandIn:
    """Has one slot. `backend` is one whose clock is the test's; scratch: a folder for the files of arguments."""

    def __init__(self, app: RunnableApp, backend: Backend, clock: Clock, files: FileStore, scratch: Path) -> None:
        self._app, self._backend, self._clock, self.files = app, backend, clock, files
        scratch.mkdir()
        self.scratch = Scratch(str(scratch))
        self._tasks = app.runnables()
        manifest = app.manifest()
        specs = manifest.by_name()
        self._on_dead = [specs[name] for name in manifest.on_dead]
        self._info = WorkerInfo(id="rehearsal", host="here", pid=0, slots=1, lease_s=FOREVER_S)
        self._backend.publish(self._info, manifest)
        self._seq = 0
        self._has_started = False
        self._loop: _Loop | None = None

    def run_next(self) -> tuple[str, BaseException | None] | None:
        """Run one job: its id, and what its task raised. None when no job that this app knows is queued now."""
        names = frozenset(self._tasks)
        wants = tuple(Want(stats.queue, names, 1) for stats in self._backend.stats())
        claimed = self._step(wants=wants, most=1).claimed
        if not claimed:
            return None
        [claim] = claimed
        attempt = Rehearsed(self, claim, self._tasks[claim.task])
        try:
            outcome, error = attempt.run()
        except BaseException:
            self._end(claim, Released("the test ended"), [])
            raise
        self._end(claim, outcome, attempt.asked)
        return claim.id, None if isinstance(error, Control) else error

    def note(self, claim: Claim, frame: wire.FromExecutor) -> None:
        """What a real executor would have sent."""
        if isinstance(frame, wire.Reported):
            self._step(progress=(ProgressReport(claim.id, claim.token, frame.progress),))

    def begin(self, claim: Claim) -> None:
        """The attempt begins."""
        self._step(started=(ClaimRef(claim.id, claim.token),))

    def call(self, task: Runnable, attempt: Attempt, arguments: dict[str, Any]) -> bytes:
        """Call the task inside its hooks."""
        hooks = self._app.hooks
        if task.spec.concurrency:
            if self._loop is None:
                self._loop = _Loop()
                self._loop.run(hooks.astart())
            return self._loop.run(self._acall(task, attempt, arguments))
        if not self._has_started:
            self._has_started = True
            hooks.start()
        with hooks.around(attempt.job):
            return task.run(arguments)

    def close(self) -> None:
        """The executors end in peace."""
        if self._has_started:
            self._app.hooks.stop()
        if self._loop is not None:
            self._loop.run(self._app.hooks.astop())
            self._loop.close()

    async def _acall(self, task: Runnable, attempt: Attempt, arguments: dict[str, Any]) -> bytes:
        async with self._app.hooks.aaround(attempt.job):
            return await task.arun(arguments)

    def _end(self, claim: Claim, outcome: Outcome, asked: list[NewJob]) -> None:
        age_s = self._clock.now - claim.enqueued_at
        settlement = decide(claim, outcome, self._tasks[claim.task].spec.retry, random.random, age_s)
        enqueue = aftermath(claim, outcome, settlement, asked, self._on_dead)
        self._step(settled=(msgspec.structs.replace(settlement, enqueue=enqueue),))

    def _step(
        self,
        *,
        settled: tuple[Settlement, ...] = (),
        started: tuple[ClaimRef, ...] = (),
        progress: tuple[ProgressReport, ...] = (),
        wants: tuple[Want, ...] = (),
        most: int | None = None,
    ) -> StepReply:
        self._seq += 1
        return self._backend.step(
            Step(
                worker=self._info.id,
                seq=self._seq,
                settled=settled,
                started=started,
                progress=progress,
                wants=wants,
                most=most,
            )
        )


class Rehearsed:
    """One attempt. asked: the jobs that it enqueued."""

    def __init__(self, worker: StandIn, claim: Claim, task: Runnable) -> None:
        self._worker, self._claim, self._task = worker, claim, task
        self.asked: list[NewJob] = []
        self._sent: list[Sent] = []
        run = wire.Run(
            token=claim.token,
            id=claim.id,
            task=claim.task,
            queue=claim.queue,
            attempt=claim.attempt,
            args=claim.args,
            timeout_s=task.spec.timeout_s,
            headers=claim.headers,
            tags=claim.tags,
            shape=claim.shape,
        )
        self._run = run

    def run(self) -> tuple[Outcome, BaseException | None]:
        """The outcome, and what was raised. Raises what is no business of the task, such as a failed pytest."""
        claim, files = self._claim, self._worker.files
        self._attempt = Attempt(self._run, self._task, self._hear)
        try:
            came = [os.dup(file.fileno()) for file in self._files()]
            self._attempt = Attempt(self._run, self._task, self._hear, came)
            arguments = self._attempt.arguments(self._worker.scratch)
        except BadArguments as error:
            return unreadable(self._run, self._task, error), error
        except FileMissing as error:
            return Failed(describe(error), retry=False), error
        self._worker.begin(claim)
        try:
            result = contextvars.copy_context().run(self._call, arguments)
            if self._task.spec.gives_files and result:
                result = take_out(files, claim.id, claim.token, result, self._sent, claim.args)
            return Succeeded(result), None
        except EXPECTED as error:
            return outcome_of(error, self._attempt), error
        finally:
            self._worker.scratch.drop(claim.token)
            for sent in self._sent:
                os.close(sent.descriptor)

    def _files(self) -> Iterator[BinaryIO]:
        """Those that the arguments name, each closed when the next one is asked for."""
        if self._task.spec.takes_files:
            for ref in named_in(self._claim.args):
                with self._worker.files.open(ref.key) as file:
                    yield file

    def _call(self, arguments: dict[str, Any]) -> bytes:
        self._attempt.enter()
        try:
            return self._worker.call(self._task, self._attempt, arguments)
        finally:
            self._attempt.leave()

    def _hear(self, frame: wire.FromExecutor, descriptor: int = -1, /) -> None:
        if isinstance(frame, wire.Asked):
            self.asked += frame.jobs
        elif isinstance(frame, wire.Carried):
            self._sent.append(Sent(os.dup(descriptor), frame.name))
        else:
            self._worker.note(self._claim, frame)


class _Loop:
    """An event loop in a thread of its own, so that tests which run in a loop themselves can use it."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "narrowboat-rehearsal")
        self._runner = asyncio.Runner()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Wait for it here, in the calling context."""
        context = contextvars.copy_context()
        return self._thread.submit(self._runner.run, coroutine, context=context).result()

    def close(self) -> None:
        """End the loop and its thread."""
        self._thread.submit(self._runner.close).result()
        self._thread.shutdown()
