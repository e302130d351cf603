"""One attempt on the far side: what it is, what it says, and how it ended."""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Sequence
from functools import partial
from typing import Any, Protocol

import msgspec

from ..core import codec, context
from ..core.errors import BadArguments, Cancel, PayloadTooLarge, RetryIn, SlowDown, Snooze, Stopping
from ..core.file import MOST_FILES, OUT, File, FileRef, bound_by, refs_in
from ..core.job import NewJob, Progress
from ..core.moments import wait_of
from ..core.outcome import Cancelled, Crashed, ErrorInfo, Failed, Outcome, Released, SlowedDown, Snoozed, Unreadable
from ..core.runnable import Runnable
from ..core.units import seconds
from . import refusal, wire
from .capture import Output
from .describe import describe
from .scratch import Scratch

PROGRESS_EVERY_S = 0.05
MOST_ASKED = 100_000  # jobs that one attempt may enqueue
ASKED_BYTES = 48 * 1024  # that fill a frame; with one largest job more it is still a legal one


class Send(Protocol):
    """The way to the worker."""

    def __call__(self, frame: wire.FromExecutor, descriptor: int = -1, /) -> None:
        """Send a frame, perhaps with an open file."""
        ...


class Attempt:
    """A job that runs here, and its way to the worker: progress, lines, jobs to enqueue, files.

    came: open files of its arguments, in their order; closed when they have been read.
    """

    # Where most attempts leave it: nothing is set for each.
    stop: wire.Stop | None = None  # why it is being stopped, if it is
    is_inside = is_over = False
    _carried = _asked = 0
    _last_progress = 0.0
    _said: Output | None = None
    _job: context.RunningJob | None = None

    def __init__(self, run: wire.Run, task: Runnable, send: Send, came: Sequence[int] = ()) -> None:
        self.run, self.task, self._send, self._came = run, task, send, came
        self.began = time.monotonic()

    @property
    def job(self) -> context.RunningJob:
        """What hooks and the task see of it; made for the first that asks."""
        if self._job is None:
            run, deadline = self.run, time.time() + self.began + self.run.timeout_s - time.monotonic()
            self._job = context.RunningJob(
                run.id, run.task, run.queue, run.attempt, deadline, run.token, run.headers, run.tags
            )
        return self._job

    def arguments(self, scratch: Scratch) -> dict[str, Any]:
        """Read them, and put their files into the scratch folder. Raises BadArguments, OSError."""
        if not self.task.spec.takes_files:
            return self.task.read(self.run.args)
        try:
            refs = list(refs_in(codec.decode(self.run.args)))
            if len(refs) != len(self._came):
                raise BadArguments(f"{len(refs)} files are named, and {len(self._came)} came")
            placed = scratch.put(self.run.token, self._came, refs)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT):
                error.add_note(
                    f"the files of this job do not fit into its scratch folder; raise scratch= of {self.run.task}"
                )
            raise
        finally:
            for descriptor in self._came:
                os.close(descriptor)
            self._came = ()

        def bind(file: File) -> None:
            if file.ref is not None:
                file.put_at(placed[file.ref.key])

        with bound_by(bind):
            return self.task.read(self.run.args)

    def carry(self, file: File) -> FileRef:
        """For a File in the result: sent to the worker now; what stands for it. Raises OSError, ValueError."""
        if file.ref is not None:  # one of its arguments
            return file.ref
        if self._carried >= MOST_FILES:
            raise ValueError(f"task {self.run.task}: a result holds at most {MOST_FILES} files")
        descriptor = _opened(file)
        try:
            self._send(wire.Carried(self.run.token, file.name), descriptor)
        finally:
            os.close(descriptor)
        self._carried += 1
        return FileRef(key=f"{OUT}{self._carried - 1}", name=file.name, size=0, type="", sha256="")

    def enter(self) -> None:
        """Make this the job of the calling context."""
        refusal.forget()
        context.channel.set(self)

    def leave(self) -> None:
        """The task has returned: nothing more is sent."""
        if self._said is not None:
            self._said.printed.finish()
        self.is_over = True
        context.channel.set(None)

    def log(self, text: str) -> None:
        """Whole lines."""
        if not self.is_over:
            self._output().lines.add(text)

    def print(self, text: str) -> None:
        """Pieces of lines."""
        if not self.is_over:
            self._output().printed.write(text)

    def _output(self) -> Output:
        """Made for the first words, by one thread: most attempts say nothing."""
        # Not with a method of this: an attempt is no work for the collector.
        return self._said or self.__dict__.setdefault("_said", Output(partial(_send_line, self._send, self.run.token)))

    def report(self, progress: Progress) -> None:
        """For `progress()`: at most about 20 a second are sent, and the last one always."""
        now = time.monotonic()
        is_last = bool(progress.total) and progress.done >= progress.total
        if not self.is_over and (is_last or now - self._last_progress >= PROGRESS_EVERY_S):
            self._last_progress = now
            self._send(wire.Reported(self.run.token, progress))

    def enqueue(self, jobs: Sequence[NewJob]) -> None:
        """For `enqueue` inside a task: sent to the worker now, written together with this attempt's success.

        Raises PermissionError for a task that the needs do not name, PayloadTooLarge past MOST_ASKED jobs.
        """
        allowed = self.task.spec.needs.enqueue
        for job in jobs:
            if job.task not in allowed:
                raise PermissionError(
                    f"task {self.run.task} may not enqueue {job.task}; "
                    f'declare it: @app.task(needs=Needs(enqueue=["{job.task}"]))'
                )
        self._asked += len(jobs)
        if self._asked > MOST_ASKED:
            raise PayloadTooLarge(f"task {self.run.task}: one attempt may enqueue at most {MOST_ASKED:,} jobs")
        if not self.is_over:
            for part in _parts(jobs):
                self._send(wire.Asked(self.run.token, part))

    def end(self, outcome: Outcome, next: int | None = None) -> wire.Ended:
        """The frame that ends it."""
        return wire.Ended(self.run.token, outcome, time.monotonic() - self.began, next)


def _send_line(send: Send, token: int, line: str) -> None:
    send(wire.Logged(token, line))


def outcome_of(error: BaseException, attempt: Attempt) -> Outcome:
    """What an exception that ended an attempt means."""
    stop = attempt.stop
    match error:
        case Snooze():
            return Snoozed(seconds(error.delay))
        case SlowDown():
            return SlowedDown(wait_of(error.retry_after, time.time()))
        case RetryIn():
            return Failed(describe(error), retry=True, delay_s=seconds(error.delay))
        case Cancel():
            return Cancelled(error.reason[:300])
        case MemoryError():
            return Crashed("out of memory", describe(error).traceback)
        case _ if stop is None and not isinstance(error, Stopping):
            task = attempt.task
            delay_s = task.delay_s(error, attempt.run.attempt)
            return Failed(_with_words(error, attempt), task.covers(error), delay_s, task.trips(error))
        case _ if stop is None or stop.why == "timeout":  # whatever it raised came from being stopped
            return Crashed("timeout", describe(error).traceback)
        case _:
            return Released("shutdown") if stop.why == "shutdown" else Cancelled(stop.reason)


def _with_words(error: BaseException, attempt: Attempt) -> ErrorInfo:
    """The error; if the sandbox is behind it, with what was refused and what would allow it."""
    info = describe(error)
    said = refusal.explain(error, attempt.run.task, attempt.task.spec.needs.reach)
    return msgspec.structs.replace(info, message=f"{said} ({info.message})").bounded() if said else info


def _opened(file: File) -> int:
    """For the worker to read: what was returned, or what it holds in a file without a name."""
    if file.is_here:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(file.path, flags)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise ValueError(f"{file.path} is not a regular file, so it cannot be a result")
        return descriptor
    import shutil
    import tempfile  # only here: see scratch.py

    with tempfile.TemporaryFile() as copy, file.lent() as content:
        shutil.copyfileobj(content, copy)
        copy.flush()
        return os.dup(copy.fileno())


def unreadable(run: wire.Run, task: Runnable, error: BadArguments) -> Outcome:
    """For arguments that do not fit: left for another version if another wrote them, else a failure."""
    info = ErrorInfo(type="BadArguments", message=str(error)).bounded()
    return Failed(info, retry=task.covers(error)) if run.shape in ("", task.spec.shape) else Unreadable(info)


def _parts(jobs: Sequence[NewJob]) -> list[tuple[NewJob, ...]]:
    parts: list[tuple[NewJob, ...]] = []
    part: list[NewJob] = []
    size = 0
    for job in jobs:
        part.append(job)
        size += len(job.args) + 300
        if size > ASKED_BYTES:
            parts.append(tuple(part))
            part, size = [], 0
    return [*parts, tuple(part)] if part else parts
