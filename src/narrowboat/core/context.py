"""What a task can see and say about the job it runs in: `current_job()`, `progress()`, and enqueueing."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextvars import ContextVar
from typing import Protocol

import msgspec

from .batch import Totals, told
from .file import File, FileRef
from .job import NewJob, Progress


class RunningJob(msgspec.Struct, frozen=True, gc=False):
    """The job that the calling code runs in.

    attempt: from 1. deadline: when the timeout strikes, seconds since 1970.
    fence: a number that rises with every claim; guard effects elsewhere with "only if greater than the last".
    """

    id: str
    task: str
    queue: str
    attempt: int
    deadline: float
    fence: int
    headers: dict[str, str] = {}
    tags: tuple[str, ...] = ()

    @property
    def batch(self) -> Totals | None:
        """In the final job of a batch: how its jobs stood when it was written."""
        return told(self.headers)

    def remaining(self) -> float:
        """Seconds until the deadline, at least 0."""
        return max(0.0, self.deadline - time.time())


class Channel(Protocol):
    """A running job, and its way to its worker."""

    @property
    def job(self) -> RunningJob:
        """What it is."""
        ...

    def report(self, progress: Progress) -> None:
        """Tell how far the job is."""
        ...

    def enqueue(self, jobs: Sequence[NewJob]) -> None:
        """Ask for jobs to be written together with this one's success."""
        ...

    def carry(self, file: File) -> FileRef:
        """Give out a file that the result names; what stands for it there."""
        ...

    def log(self, text: str) -> None:
        """Whole lines for its log."""
        ...

    def print(self, text: str) -> None:
        """Pieces of lines for its log."""
        ...


channel: ContextVar[Channel | None] = ContextVar("narrowboat_channel", default=None)


def current_job() -> RunningJob | None:
    """The job that this code runs in, or None outside of one."""
    to_worker = channel.get()
    return None if to_worker is None else to_worker.job


def progress(done: float = 0, total: float = 0, message: str = "") -> None:
    """Tell whoever watches how far this job is: `done` of `total` (0: unknown), and a short text.

    Cheap to call often: at most about 20 a second are sent on. Does nothing outside of a job.
    """
    to_worker = channel.get()
    if to_worker is not None:
        to_worker.report(Progress(done, total, message[:200]))
