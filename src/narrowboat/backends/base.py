"""The backend port: what a service that keeps jobs must do, said in the words of jobs.

Every verb takes and returns batches of frozen values, and may be repeated: a lost reply changes nothing.
Times come from the backend's own clock; `now` exists for tests only. `narrowboat.testing.conformance` is
the definition of the behaviour; this page is its summary.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from math import inf
from typing import Any

import msgspec

from ..core.batch import Batch, BatchPart
from ..core.controls import NEVER, Control, Meter
from ..core.decide import Settlement
from ..core.errors import UnsupportedByBackend
from ..core.job import Claim, Ended, Enqueued, Job, JobSummary, NewJob, Progress
from ..core.queue import Queue
from ..core.schedule import ScheduleState
from ..core.states import State
from ..core.task import Manifest, TaskSpec
from .transport import Depth

TURN = 16  # jobs taken from one lane before the next lane has its turn
NO_LIMITS: Mapping[str, Queue] = {}
PLACES = 1000  # a place in line beyond this one is not counted, unless more is asked for


class Capabilities(msgspec.Struct, frozen=True, kw_only=True):
    """What a backend can do. What it cannot is refused at enqueue or start-up with a clear error."""

    name: str
    is_shared: bool = True  # other processes see the same jobs
    has_transactional_enqueue: bool = False  # `into=` takes the caller's own connection
    max_delay_s: float | None = None  # None: any delay


def no_part_of_it(service: str) -> UnsupportedByBackend:
    """What is raised for a connection of the caller's, where no transaction can hold what is enqueued."""
    return UnsupportedByBackend(
        f"the jobs are in {service}, which takes no part in a transaction of yours, so connection= cannot hold what it "
        "promises: keep jobs in the database of that transaction (postgresql, sqlite), or enqueue after the commit"
    )


class ClaimRef(msgspec.Struct, frozen=True, gc=False):
    """Names a claim."""

    id: str
    token: int


class Want(msgspec.Struct, frozen=True):
    """A wish for at most `n` jobs of `queue`, only of these tasks.

    `room` is the part of a slot that each of them takes: 1 for a job that fills one, 1/50 where fifty share
    one, 0 where there is room already.
    """

    queue: str
    tasks: frozenset[str]
    n: int
    room: float = 0.0


class ProgressReport(msgspec.Struct, frozen=True):
    """The latest progress of a running attempt."""

    id: str
    token: int
    progress: Progress


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One round trip of a worker: what ended, what began, how far the rest is, what it wants next.

    `seq` rises by one with every new step of this worker; a step sent again carries the same number and
    gets the same answer. Numbers start at 1.
    """

    worker: str
    seq: int
    settled: tuple[Settlement, ...] = ()
    started: tuple[ClaimRef, ...] = ()
    progress: tuple[ProgressReport, ...] = ()
    wants: tuple[Want, ...] = ()
    most: int | None = None  # claims over all wants together, which are served in the order given
    room: float | None = None  # slots that these claims may take together


def allowed(step: Step, want: Want, claimed: int, room: float) -> int:
    """How many jobs a want may still have: `claimed` were claimed in this step, `room` slots are left."""
    n = want.n if step.most is None else min(want.n, step.most - claimed)
    if step.room is not None and want.room > 0:
        n = min(n, int(room / want.room + 1e-9))
    return max(0, n)


class StepReply(msgspec.Struct, frozen=True, kw_only=True):
    """refused: ids of settlements whose claim was no longer this worker's (nothing was changed for them).
    claimed: new claims. cancelled: ids of this worker's running jobs whose cancel was asked for, every time
    until they are settled. more: whether more work of the wanted kind waits.
    """

    refused: tuple[str, ...] = ()
    claimed: tuple[Claim, ...] = ()
    cancelled: tuple[str, ...] = ()
    more: bool = False


class Extended(msgspec.Struct, frozen=True, kw_only=True):
    """lost: claims named by the worker that are no longer its own. cancelled: as in StepReply."""

    lost: tuple[str, ...] = ()
    cancelled: tuple[str, ...] = ()


class Wakeup(msgspec.Struct, frozen=True):
    """Why a wait ended: there is work, or the count of cancels asked of this worker moved.

    again_s: seconds until time alone may bring work: a scheduled job comes due, a gate opens by itself.
    """

    work: bool
    cancels: int
    again_s: float = inf


class WorkerInfo(msgspec.Struct, frozen=True, kw_only=True):
    """Who a worker is. `boot` and `pid_namespace` tell a neighbour whether it can look for the process."""

    id: str  # unique to one life of one worker process
    host: str
    pid: int
    pid_started: int = 0  # field 22 of /proc/PID/stat: tells a process from a later one of the same pid
    boot: str = ""
    pid_namespace: int = 0
    queues: dict[str, int] = {}  # queue -> slots
    slots: int = 0
    lease_s: float = 30.0


class WorkerView(msgspec.Struct, frozen=True, kw_only=True):
    """A worker as the backend knows it."""

    info: WorkerInfo
    tasks: tuple[str, ...]
    seen_at: float
    lease_until: float
    running: int


class Gate(msgspec.Struct, frozen=True, kw_only=True):
    """What shuts lanes. `until` is when it opens by itself.

    scope: "queue:<name>", "task:<name>" or "breaker:<key>".
    kind: "pause" (by a person), "slow-down" (a service asked for it), "breaker".
    What people are shown of rates and limits that hold jobs now are gates, too, of those kinds and scopes.
    """

    scope: str
    kind: str = "pause"
    reason: str = ""
    until: float | None = None
    since: float = 0.0


def open_breakers(meters: Mapping[str, Meter]) -> list[Gate]:
    """The breakers that are open, as gates, by scope."""
    return [
        Gate(
            scope=scope,
            kind="breaker",
            reason=meter.reason,
            until=meter.until if meter.until < NEVER else None,
            since=meter.since,
        )
        for scope, meter in sorted(meters.items())
        if meter.until
    ]


def slowed(task: str, there: Gate | None, until: float, now: float) -> Gate | None:
    """The gate of a task without a rate, which a service asked to slow down. None: it is shut for longer.

    there: what is shut now; a person's pause that ends sooner goes on in its own name.
    """
    if there is None:
        reason = "a service asked to slow down"
        return Gate(scope=f"task:{task}", kind="slow-down", reason=reason, until=until, since=now)
    if there.until is None or there.until >= until:
        return None
    return msgspec.structs.replace(there, until=until)


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """Which jobs `find` returns; None means any."""

    states: frozenset[State] | None = None
    task: str | None = None
    queue: str | None = None
    tag: str | None = None
    batch: str | None = None


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """Jobs, newest first, and the cursor of the next page (None on the last)."""

    jobs: tuple[JobSummary, ...]
    next: str | None = None


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What a person changes when a job is retried; None leaves it."""

    args: bytes | None = None
    queue: str | None = None
    priority: int | None = None
    delay_s: float = 0.0


class QueueStats(msgspec.Struct, frozen=True, kw_only=True):
    """A queue in numbers."""

    queue: str
    counts: dict[State, int]
    oldest_waiting_s: float | None = None  # age of the oldest queued job
    workers: int = 0  # live workers that consume it
    gates: tuple[Gate, ...] = ()
    unknown_tasks: tuple[str, ...] = ()  # tasks with waiting jobs that no live worker knows
    transport: Depth | None = None  # where a transport delivers, and says how much lies there


class Retention(msgspec.Struct, frozen=True, kw_only=True):
    """How long finished records stay: by age, then by number per queue, oldest first."""

    keep_s: float = 86_400.0  # succeeded and cancelled
    keep_max: int = 100_000  # per queue
    dead_s: float = 30 * 86_400.0
    dead_max: int = 10_000  # per queue


class Backend(ABC):
    """A service that keeps jobs. Safe to call from any thread, and after a fork."""

    capabilities: Capabilities
    location: str  # for people: the URL with passwords removed, or an absolute path
    url: str = ""  # with the password, if any; tasks must not get it
    hidden: tuple[str, ...] = ()  # real paths that tasks must not see
    variables: tuple[str, ...] = ()  # of the environment, with credentials for it; tasks must not get them
    beside: str = ""  # a path that a folder for files is named after, where jobs are kept in a file

    @property
    def urls(self) -> tuple[str, ...]:
        """Of all the services behind it, with their passwords."""
        return (self.url,) if self.url else ()

    @abstractmethod
    def enqueue(
        self,
        jobs: Sequence[NewJob],
        into: Any = None,
        limits: Mapping[str, Queue] = NO_LIMITS,
        now: float | None = None,
        batches: Sequence[BatchPart] = (),
    ) -> list[Enqueued]:
        """Write jobs, all or none, in order. Durable when it returns.

        A job whose id is there already, or whose key is held by another job of the same task, is not
        written; the answer names the job that is there. A key is held while its job is waiting
        (key_for "waiting"), not finished ("active"), or not finished or less than so many seconds past
        success (a number); the job that asks decides by its own `key_for`.
        limits: by the name of the queue. Jobs past one are refused with QueueFull, and then none of this call is
        written. Waiting are scheduled and queued jobs, wherever they came from; but what a task enqueues (in a
        settlement), retries, releases and rescues are never refused. Callers at the same time never go past a limit
        together.
        batches: those that jobs of this call name. Each is made if it is not there, counts the jobs that are really
        written, and is sealed by its last part; one whose jobs have all ended by then is finished at once. From then on
        whatever ends a job of a batch counts that, and the end that finishes the batch writes its final job, all in one
        step. A job that is retried is in no final state any more; a batch that is finished stays so.
        into: the caller's own connection, see `backends.foreign`: the jobs are written in the transaction that it has
        under way, or would begin with its next statement, and exist exactly when that is committed, which is left to
        the caller. Raises UnsupportedByBackend where Capabilities say so, ConfigError for one that leads elsewhere.
        Raises BackendUnavailable within a bounded wait when it cannot write.
        """

    async def aenqueue(
        self,
        jobs: Sequence[NewJob],
        into: Any,
        limits: Mapping[str, Queue] = NO_LIMITS,
        now: float | None = None,
        batches: Sequence[BatchPart] = (),
    ) -> list[Enqueued]:
        """`enqueue` into a connection of async code, on its own event loop; also into one that is not async, which
        blocks the loop as its own statements do.
        """
        return self.enqueue(jobs, into, limits, now, batches)

    @abstractmethod
    def batches(self, ids: Sequence[str]) -> list[Batch | None]:
        """The batches of these ids, in order."""

    @abstractmethod
    def latest_batches(self, limit: int = 50) -> list[Batch]:
        """The batches that were made last, newest first."""

    @abstractmethod
    def step(self, step: Step, now: float | None = None) -> StepReply:
        """Settle, note starts and progress, and claim, in one atomic round trip.

        Settlements are compare-and-set by token. A settlement carries the jobs that its task enqueued:
        they are written in the same step, and not at all if the settlement is refused. Claims: for each
        want, scheduled jobs that are due are queued first (boundedly many); then priority first, then
        lanes in turn, at most TURN jobs a turn, oldest first within a lane. Shut lanes give nothing.
        Raises UnknownWorker when the worker has not published or was forgotten.
        """

    @abstractmethod
    def extend(self, worker: str, seq: int, claims: Sequence[ClaimRef], now: float | None = None) -> Extended:
        """Renew the lease of a worker, which names all that it holds.

        Claims of steps up to `seq` (the last whose reply the worker saw) that it does not name are
        released, uncharged: their reply was lost. Raises UnknownWorker as `step` does.
        """

    @abstractmethod
    def rescue(self, worker: str, dead: Sequence[str], limit: int = 100) -> list[Claim]:
        """Take over claims of the workers in `dead`. Who that is, whoever asks has found out; see `worker.neighbours`.

        Each comes back as a claim of `worker` with a new token, `started` as last reported, and
        `lost_worker`; the caller settles it as a crash if it had started, else releases it. Workers
        left without claims are forgotten.
        """

    @abstractmethod
    def wait(
        self, worker: str, wants: Sequence[Want], timeout_s: float, cancels: int = 0, now: float | None = None
    ) -> Wakeup:
        """Sleep until one of `wants` could be met, or more than `cancels` cancels were asked of this worker
        since it published, or the time is up. Level-triggered; costs nothing while it sleeps. Who is told of new work
        may answer without asking whether others have been quicker.
        A scheduled job of a wanted queue that comes due ends it, too, and so does a gate that opens by itself.
        """

    @abstractmethod
    def rouse(self, name: str) -> None:
        """End at once what this process has under way under a name, or else what it begins next: the wait for work
        of a worker, or the watch of a watcher.

        For a worker whose wants have changed, and a watcher that has other jobs to watch. Waits without wants are
        left alone.
        """

    @abstractmethod
    def watch(
        self, revisions: Mapping[str, int], timeout_s: float, now: float | None = None, watcher: str = ""
    ) -> list[JobSummary]:
        """Sleep until a named job has a revision above the one given (0: any), or the time is up.

        Returns all that changed; jobs that do not exist never do. watcher: a name under which it can be roused;
        it then returns what has changed by now, mostly nothing.
        """

    @abstractmethod
    def get(self, ids: Sequence[str], now: float | None = None) -> list[Job | None]:
        """The jobs of these ids, in order."""

    @abstractmethod
    def find(self, filter: Filter, after: str | None = None, limit: int = 50, now: float | None = None) -> Page:
        """Jobs that match, newest enqueued first; `after` is the cursor of the page before."""

    @abstractmethod
    def find_key(self, task: str, key: str) -> str | None:
        """The id of the latest job of `task` that was enqueued with this key, while its record is kept."""

    @abstractmethod
    def places(self, ids: Sequence[str], most: int = PLACES, now: float | None = None) -> list[int | None]:
        """How many queued jobs of its own lane stand before each job, from 0, counted up to `most`.

        None for a job that is not queued. It costs with the lanes that the jobs are in, not with the jobs.
        """

    @abstractmethod
    def ended(self, queue: str, limit: int = 100, now: float | None = None) -> list[Ended]:
        """The jobs of a queue that ended last, newest first, of those whose records are kept.

        Jobs that were cancelled before they began are left out; of them, a backend may look past a bounded number.
        """

    @abstractmethod
    def cancel(self, ids: Sequence[str], reason: str = "", now: float | None = None) -> list[State | None]:
        """Cancel: a waiting job at once, a running one by asking its worker. Returns the state of each job
        afterwards (running: asked for), None for an unknown id. Finished jobs stay as they are.
        """

    @abstractmethod
    def retry(self, ids: Sequence[str], change: Change | None = None, now: float | None = None) -> list[bool]:
        """Queue dead or cancelled jobs again with fresh attempts; their history stays. False: not retried."""

    @abstractmethod
    def gates(self, now: float | None = None) -> list[Gate]:
        """The gates that are shut now: pauses by scope, then breakers. Rates and limits, which shut all the time, are
        not among them.
        """

    @abstractmethod
    def meters(self, scopes: Sequence[str]) -> dict[str, Meter]:
        """What gates of controls remember, by scope; one that was never used has an empty one."""

    @abstractmethod
    def adjust(self, scope: str, control: Control | None) -> None:
        """Put a person's numbers in place of those that tasks declare, at once, durably; None takes them back."""

    @abstractmethod
    def shut(self, gate: Gate, now: float | None = None) -> None:
        """Shut a gate everywhere, at once, durably; the same scope again replaces it. A breaker whose gate is shut
        without an end tries nothing until a person opens the gate.
        """

    @abstractmethod
    def open(self, scope: str, now: float | None = None) -> bool:
        """Open a gate; False if it was open."""

    @abstractmethod
    def schedules(self, keys: Sequence[str]) -> dict[str, ScheduleState]:
        """What is remembered of schedules, by ScheduleSpec.key; one that was never dealt with has an empty state."""

    @abstractmethod
    def fire(self, key: str, due: float, job: NewJob | None, now: float | None = None) -> bool:
        """Deal with a due time of a schedule, once: write its job, if there is one, or pass it over.

        False, and nothing is written, if this or a later time was dealt with before, or if it is not due yet by the
        backend's clock.
        """

    @abstractmethod
    def pause_schedule(self, key: str, is_paused: bool) -> None:
        """Let due times of a schedule pass without a job, or no longer."""

    @abstractmethod
    def publish(self, worker: WorkerInfo, manifest: Manifest, now: float | None = None) -> None:
        """Make a worker known, with a fresh lease, and its tasks; repeatable. The newest manifest wins."""

    @abstractmethod
    def leave(self, worker: str, now: float | None = None) -> None:
        """Forget a worker; what it still holds is released, uncharged. Unknown workers are no error."""

    @abstractmethod
    def workers(self, now: float | None = None) -> list[WorkerView]:
        """The workers that have published and not left, lease over or not."""

    @abstractmethod
    def published(self, names: Sequence[str] | None = None) -> dict[str, TaskSpec]:
        """The newest published spec of each task, by name; all tasks for None."""

    @abstractmethod
    def stats(self, now: float | None = None) -> list[QueueStats]:
        """Every queue that has jobs, a gate or a live worker, by name."""

    @abstractmethod
    def purge(self, retention: Retention, limit: int = 1000, now: float | None = None) -> int:
        """Delete at most about `limit` finished records that are past their retention; returns how many.

        Batches go, too (`core.batch.is_past`), which does not count; their numbers do not hang on records of jobs.
        """

    @abstractmethod
    def audit(self) -> list[str]:
        """What is wrong in the stored structures, one sentence each; empty when all is well."""

    def hindrance(self, queue: str) -> str:
        """What keeps the news of a queue's jobs from idle workers, in a few words; empty if nothing does."""
        return ""

    def doubts(self) -> list[str]:
        """What people should know of the service as it is set up, one sentence each: at a start, and for `doctor`."""
        return []

    def setup(self) -> list[tuple[str, str, str]]:
        """How the service is set up: (what, how it is, what that means). For `narrowboat doctor`."""
        return []

    @abstractmethod
    def close(self) -> None:
        """Give up connections and end waits; legal twice."""
