"""What a task can see and say about the job it runs in: `current_job()` and `progress()`."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field

from .job import Progress


@dataclass(frozen=True, slots=True)
class RunningJob:
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
    headers: dict[str, str] = field(default_factory=dict[str, str])
    tags: tuple[str, ...] = ()

    def remaining(self) -> float:
        """Seconds until the deadline, at least 0."""
        return max(0.0, self.deadline - time.time())


current: ContextVar[RunningJob | None] = ContextVar("narrowboat_job", default=None)
reporter: ContextVar[Callable[[Progress], None] | None] = ContextVar("narrowboat_reporter", default=None)


def current_job() -> RunningJob | None:
    """The job that this code runs in, or None outside of one."""
    return current.get()


def progress(done: float = 0, total: float = 0, message: str = "") -> None:
    """Tell whoever watches how far this job is: `done` of `total` (0: unknown), and a short text.

    Cheap to call often: at most about 20 a second are sent on. Does nothing outside of a job.
    """
    report = reporter.get()
    if report is not None:
        report(Progress(done, total, message[:200]))
