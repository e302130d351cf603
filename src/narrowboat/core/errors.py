"""Every exception that Narrowboat raises, and the four that a task may raise.

Messages say what happened, to which job or setting, and what to do about it.
"""

from __future__ import annotations

from datetime import timedelta


class NarrowboatError(Exception):
    """The root of all errors of this package."""


class ConfigError(NarrowboatError):
    """A setting, URL or task option that cannot be used."""


class BackendError(NarrowboatError):
    """The backend refused or failed."""


class BackendUnavailable(BackendError):
    """The backend could not be reached or could not write, within the bounded wait. Nothing was written."""


class SchemaTooNew(BackendError):
    """The database was made by a newer Narrowboat than this one."""


class UnsupportedByBackend(BackendError):
    """The chosen backend cannot do what was asked; its Capabilities say so."""


class UnknownWorker(BackendError):
    """The backend has no record of this worker (any more): publish again."""


class BadArguments(NarrowboatError, TypeError):
    """Arguments that do not fit the task's signature; the message has the path of the bad value."""


class PayloadTooLarge(NarrowboatError, ValueError):
    """Arguments or a result over the size limit."""


class FileTooLarge(BadArguments, ValueError):
    """A file over the size that its parameter takes."""


class PictureTooLarge(FileTooLarge):
    """A picture with more pixels than its parameter takes, by its header."""


class FileTypeRefused(BadArguments, ValueError):
    """A file of a type that its parameter does not take."""


class FileMissing(NarrowboatError, LookupError):
    """The store has no such file (any more): files go with the record of their job."""


class StoreUnavailable(NarrowboatError):
    """The file store could not be reached, or could not write."""


class QueueFull(NarrowboatError):
    """More jobs would wait in a queue than its limit lets. Nothing was written.

    client: whose own limit it is; empty where it is that of the whole queue. waiting: jobs in the queue.
    retry_after_s: when there may be room, reckoned from how fast the queue moves.
    """

    def __init__(
        self, message: str, *, queue: str, limit: int, client: str, waiting: int, retry_after_s: float
    ) -> None:
        super().__init__(message)
        self.queue, self.limit, self.client = queue, limit, client
        self.waiting, self.retry_after_s = waiting, retry_after_s


class UnknownBatch(NarrowboatError, LookupError):
    """No batch has this id: it never existed, or its record was purged."""


class UnknownTask(NarrowboatError, LookupError):
    """No worker has published a task of this name."""


class UnknownJob(NarrowboatError, LookupError):
    """No job has this id: it never existed, or its record was purged."""


class JobNotFinished(NarrowboatError):
    """A result was asked for before the job ended."""


class JobFailed(NarrowboatError):
    """A result was asked for, but the job ended dead or cancelled."""

    def __init__(self, job_id: str, state: str, why: str) -> None:
        super().__init__(f"job {job_id} is {state}: {why}")
        self.job_id, self.state, self.why = job_id, state, why


class WaitTimeout(NarrowboatError, TimeoutError):
    """The job had not ended when the wait was over. The job itself goes on."""


class Control(Exception):
    """Raised by a task to end its attempt in another way than success or failure."""


class RetryIn(Control):
    """Try again after `delay`; this attempt is spent."""

    def __init__(self, delay: float | str | timedelta, reason: str = "") -> None:
        super().__init__(reason or f"retry in {delay}")
        self.delay, self.reason = delay, reason


class Snooze(Control):
    """Try again after `delay`; no attempt is spent."""

    def __init__(self, delay: float | str | timedelta) -> None:
        super().__init__(f"snooze for {delay}")
        self.delay = delay


class SlowDown(Control):
    """A service has asked for a pause: everything under the task's rate key waits, and no attempt is spent.

    retry_after: seconds, a timedelta, text such as "30s", or what an HTTP `Retry-After` says: a number or a date.
    Without one, 30 s. At most a day.
    """

    def __init__(self, retry_after: float | str | timedelta | None = None) -> None:
        super().__init__(f"slow down: {retry_after}")
        self.retry_after = retry_after


class Cancel(Control):
    """End this job as cancelled, without another attempt."""

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason or "cancelled by the task")
        self.reason = reason or "cancelled by the task"


class Stopping(BaseException):
    """Raised inside a running task when its time is up: on timeout, cancel or shutdown.

    It derives from BaseException so that `except Exception` does not swallow it. The process is killed
    one second later.
    """
