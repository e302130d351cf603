"""What a job is, on its way in (NewJob), while a worker holds it (Claim), and as people see it (Job).

All values are frozen, and hold only values: those that are made for each job are no work for the garbage collector
(gc=False). Times are seconds since 1970 on the backend's own clock; durations are seconds.
"""

from __future__ import annotations

import msgspec

from .outcome import ErrorInfo
from .states import FINAL, State

ENVELOPE_VERSION = 1
MAX_PAYLOAD = 256 * 1024  # bytes of JSON, for arguments and for a result each
MAX_SUMMARY = 200  # characters
MIN_PRIORITY, MAX_PRIORITY = -100, 100  # higher first, as in Django


class NewJob(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A job to be written. Written twice with the same id, it is one job."""

    id: str
    task: str
    queue: str = "default"
    args: bytes = b"{}"  # a JSON object: parameter name -> value
    priority: int = 0
    lane_key: str = ""  # non-empty where the task's limit is per argument
    delay_s: float = 0.0  # from the backend's now
    due: float | None = None  # a point in time instead of a delay
    key: str | None = None  # the job's name within its task, if it has one
    key_for: str | float = "active"  # "waiting", "active", or seconds after success
    client: str = ""  # who asked for it, where a queue limits what each may have waiting
    batch: str = ""  # the id of the batch that counts it, if one does
    headers: dict[str, str] = {}  # for tracing; never arguments
    tags: tuple[str, ...] = ()
    summary: str = ""
    shape: str = ""  # of the parameters that the arguments were written for; empty: not known
    version: int = ENVELOPE_VERSION


class Enqueued(msgspec.Struct, frozen=True, gc=False):
    """The answer to one NewJob: the id of the job that is there, and whether this call made it."""

    id: str
    created: bool


class Progress(msgspec.Struct, frozen=True, gc=False):
    """How far a running attempt is: `done` of `total` (0 when unknown), and a short text."""

    done: float = 0
    total: float = 0
    message: str = ""


class Claim(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A worker's temporary ownership of a job.

    `token` is unique to this claim and rises with every claim in the backend, so it is also the fence.
    """

    id: str
    task: str
    queue: str
    token: int
    args: bytes
    priority: int = 0
    errors: int = 0  # attempts that ended in an error
    crashes: int = 0  # attempts whose process died
    snoozes: int = 0
    started: bool = False  # true only for rescued claims: the lost worker had begun the attempt
    lost_worker: str = ""  # for rescued claims: who held it before
    enqueued_at: float = 0.0
    headers: dict[str, str] = {}
    tags: tuple[str, ...] = ()
    shape: str = ""
    version: int = ENVELOPE_VERSION

    @property
    def attempt(self) -> int:
        """The number of the attempt that this claim is for, from 1."""
        return self.errors + self.crashes + 1


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One try that is over."""

    number: int
    outcome: str  # one of outcome.KINDS
    worker: str
    started_at: float
    ended_at: float
    error: ErrorInfo | None = None
    logs: tuple[str, ...] = ()


class JobSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A job as lists show it: nothing that can be large."""

    id: str
    task: str
    queue: str
    state: State
    priority: int
    revision: int  # rises by at least 1 with every change of state or progress
    errors: int
    crashes: int
    snoozes: int
    enqueued_at: float
    due_at: float | None = None  # scheduled jobs
    started_at: float | None = None  # the latest attempt
    finished_at: float | None = None
    worker: str = ""  # who runs it, or ran it last
    key: str | None = None
    summary: str = ""
    tags: tuple[str, ...] = ()
    progress: Progress | None = None
    reason: str = ""  # why it ended dead or cancelled, in one line
    is_cancel_asked: bool = False
    client: str = ""

    @property
    def attempts(self) -> int:
        """Attempts begun so far, the running one included; snoozes are not attempts."""
        current = self.state is State.SUCCEEDED or (self.state is State.RUNNING and self.started_at is not None)
        return self.errors + self.crashes + current

    @property
    def is_finished(self) -> bool:
        """Whether the state is final."""
        return self.state in FINAL


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """The end of a job that had begun: what the pace of a queue is reckoned from."""

    task: str
    started_at: float | None  # the latest attempt
    finished_at: float
    state: State


class Job(JobSummary, frozen=True, kw_only=True):
    """Everything that is known about a job."""

    args: bytes = b"{}"
    headers: dict[str, str] = {}
    result: bytes = b""  # JSON; empty for None
    lane_key: str = ""
    batch: str = ""
    history: tuple[Attempt, ...] = ()  # attempts that are over, oldest first; a silent success leaves none
