"""A job seen from the side that enqueued it."""

from __future__ import annotations

import functools
import time
from datetime import timedelta
from typing import Any, Generic, Protocol, TypeVar, cast

import msgspec

from ..backends.base import Backend
from ..core.aside import in_thread
from ..core.errors import JobFailed, JobNotFinished, UnknownJob, WaitTimeout
from ..core.job import Job, Progress
from ..core.states import State
from ..core.units import in_words, seconds

R = TypeVar("R")


class Home(Protocol):
    """What a handle needs of its App."""

    @property
    def backend(self) -> Backend:
        """Where the job is."""
        ...

    def decode_result(self, task: str, data: bytes) -> Any:
        """A result as its task's annotation says."""
        ...

    def retry(self, job_id: str, /, **changes: Any) -> bool:
        """Queue a dead or cancelled job again."""
        ...


class JobHandle(msgspec.Struct, Generic[R], eq=False, gc=False):
    """A job by its id. What it shows is read when first asked for, and again by `refresh()`.

    created: False when enqueue found the job of the same key instead of making one.
    """

    _app: Home
    id: str
    created: bool = True
    _record: Job | None = None

    @staticmethod
    def of(app: Home, job: Job) -> JobHandle[Any]:
        """The handle of a job that has been read already."""
        return JobHandle(app, job.id, _record=job)

    def __repr__(self) -> str:
        return f"<Job {self.id}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, JobHandle) and other.id == self.id

    def __hash__(self) -> int:
        return hash(self.id)

    @property
    def record(self) -> Job:
        """Everything known about the job, as last read. Raises UnknownJob."""
        return self._record or self.refresh()._must()

    @property
    def state(self) -> State:
        """The state as last read."""
        return self.record.state

    @property
    def progress(self) -> Progress | None:
        """What the task last reported, None before it did."""
        return self.record.progress

    @property
    def attempts(self) -> int:
        """Attempts begun so far."""
        return self.record.attempts

    @property
    def is_finished(self) -> bool:
        """Whether the state as last read is final."""
        return self.record.is_finished

    @property
    def result(self) -> R:
        """What the task returned, as its annotation says.

        Raises JobNotFinished before the end, JobFailed if the job ended dead or cancelled. Reads the job
        again unless it is known to have ended.
        """
        if not self.record.is_finished:
            self.refresh()
        record = self.record
        if record.state is State.SUCCEEDED:
            return cast(R, self._app.decode_result(record.task, record.result))
        if record.is_finished:
            raise JobFailed(self.id, record.state, record.reason)
        raise JobNotFinished(f"job {self.id} is {record.state}; its result is there when it has succeeded")

    def refresh(self) -> JobHandle[R]:
        """Read the job again. Raises UnknownJob when its record is gone."""
        [self._record] = self._app.backend.get([self.id])
        self._must()
        return self

    def wait(self, timeout: float | str | timedelta = "1m") -> JobHandle[R]:
        """Sleep until the job has ended, whichever way; at most `timeout`. Raises WaitTimeout, UnknownJob."""
        limit_s = seconds(timeout)
        until = time.monotonic() + limit_s
        self.refresh()
        while not self.record.is_finished:
            left = until - time.monotonic()
            if left <= 0:
                raise WaitTimeout(f"job {self.id} is still {self.state} after {in_words(limit_s)}; it goes on")
            self._app.backend.watch({self.id: self.record.revision}, min(left, 5.0))
            self.refresh()
        return self

    def cancel(self, reason: str = "") -> State:
        """Cancel the job: at once if it waits; a running one is stopped by its worker within about a second.

        Returns the state after the request. A finished job stays as it is. Raises UnknownJob.
        """
        [state] = self._app.backend.cancel([self.id], reason)
        if state is None:
            raise unknown_job(self.id)
        self._record = None
        return state

    def retry(self, **changes: Any) -> bool:
        """Queue the job again, if it is dead or cancelled, with fresh attempts; its history stays.

        changes: other arguments, by name; those not named stay. False if it was not queued: it goes on, has
        succeeded, or another job has its key. Raises BadArguments, UnknownJob.
        """
        self._record, is_queued = None, self._app.retry(self.id, **changes)
        return is_queued

    async def aretry(self, **changes: Any) -> bool:
        """`retry` for async code."""
        return await in_thread(functools.partial(self.retry, **changes))

    async def arefresh(self) -> JobHandle[R]:
        """`refresh` for async code."""
        return await in_thread(self.refresh)

    async def await_(self, timeout: float | str | timedelta = "1m") -> JobHandle[R]:
        """`wait` for async code."""
        return await in_thread(self.wait, timeout)

    async def acancel(self, reason: str = "") -> State:
        """`cancel` for async code."""
        return await in_thread(self.cancel, reason)

    def _must(self) -> Job:
        if self._record is None:
            raise unknown_job(self.id)
        return self._record


def unknown_job(job_id: str) -> UnknownJob:
    """What is raised for an id without a record."""
    return UnknownJob(f"no job has the id {job_id!r}: it never existed here, or its record was purged")


AnyJob = JobHandle[Any]
