"""What goes to the server: jobs, settlements and wants as JSON, as sql/functions read them. Defaults are left out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import msgspec

from ...core import codec
from ...core.batch import BatchPart
from ...core.decide import Settlement, told
from ...core.errors import UnsupportedByBackend
from ...core.job import NewJob
from ...core.states import State
from ..base import ClaimRef, ProgressReport, Step, Want
from .bells import queue_bell, soon_bell

_encode = msgspec.json.Encoder().encode
SOON_S = 15.0  # what is due later need not be heard of now


class JobMessage(msgspec.Struct, omit_defaults=True):
    """A job for write_jobs. lane: its number in the lists that go with it, from 1; of: the settlement it came with."""

    lane: int
    id: str
    args: str = "{}"
    priority: int = 0
    delay: float = 0.0
    due: float | None = None
    key: str | None = None
    key_for: str | float | None = None
    client: str = ""
    headers: str = "{}"
    tags: str = "[]"
    summary: str = ""
    shape: str = ""
    version: int = 1
    of: int | None = None
    batch: str | None = None

    @property
    def is_due(self) -> bool:
        """Whether nothing but its turn keeps it from beginning."""
        return self.delay <= 0 and self.due is None


class SettlementMessage(msgspec.Struct, omit_defaults=True):
    """The end of a claim, for settle."""

    id: str
    token: int
    to: str = "succeeded"
    outcome: str = "succeeded"
    delay: float = 0.0
    result: str | None = None
    error: str | None = None
    reason: str = ""
    ago: float = 0.0
    logs: str | None = None
    trips: str | None = None  # the failure in a line, where it counts for a breaker
    slow: float = 0.0


class ClaimMessage(msgspec.Struct, omit_defaults=True):
    """A claim that has begun, or how far it is."""

    id: str
    token: int
    progress: str | None = None


class WantMessage(msgspec.Struct):
    """A want."""

    queue: str
    tasks: tuple[str, ...]
    n: int
    room: float


@dataclass(slots=True)
class Jobs:
    """Jobs and their lanes, as write_jobs takes them."""

    queues: list[str] = field(default_factory=list[str])
    tasks: list[str] = field(default_factory=list[str])
    lane_keys: list[str] = field(default_factory=list[str])
    jobs: list[JobMessage] = field(default_factory=list[JobMessage])
    is_keyed: bool = False
    _lanes: dict[tuple[str, str, str], int] = field(default_factory=dict[tuple[str, str, str], int])

    @staticmethod
    def of(jobs: Iterable[NewJob]) -> Jobs:
        """These jobs. Raises UnsupportedByBackend for names that PostgreSQL cannot keep."""
        found = Jobs()
        for job in jobs:
            found.add(job)
        return found

    def add(self, job: NewJob, of: int | None = None) -> None:
        """One more; `of`: the token of the settlement that carries it."""
        names = (job.queue, job.task, job.lane_key)
        lane = self._lanes.get(names)
        if lane is None:
            for name in names:
                _refuse_nul(name, job)
            lane = self._lanes[names] = len(self.queues) + 1
            self.queues.append(job.queue)
            self.tasks.append(job.task)
            self.lane_keys.append(job.lane_key)
        _refuse_nul(job.id, job)
        _refuse_nul(job.client, job)
        if job.key is not None:
            _refuse_nul(job.key, job)
            self.is_keyed = True
        self.jobs.append(
            JobMessage(
                lane=lane,
                id=job.id,
                args=job.args.decode(),
                priority=job.priority,
                delay=job.delay_s,
                due=job.due,
                key=job.key,
                key_for=None if job.key is None else job.key_for,
                client=job.client,
                headers=codec.encode(job.headers).decode() if job.headers else "{}",
                tags=codec.encode(job.tags).decode() if job.tags else "[]",
                summary=without_nul(job.summary),
                shape=job.shape,
                version=job.version,
                of=of,
                batch=job.batch or None,
            )
        )

    def parameters(self) -> dict[str, object]:
        """For enqueue.sql."""
        return {
            "queues": self.queues,
            "tasks": self.tasks,
            "lane_keys": self.lane_keys,
            "jobs": _encode(self.jobs).decode(),
            "is_keyed": self.is_keyed,
        }

    def plain(self) -> dict[str, object] | None:
        """For put.sql; None unless this is one job that is due, without a key or a batch."""
        if len(self.jobs) != 1:
            return None
        [job] = self.jobs
        if not job.is_due or job.key is not None or job.batch is not None:
            return None
        return {
            "queue": self.queues[0],
            "task": self.tasks[0],
            "lane_key": self.lane_keys[0],
            "id": job.id,
            "args": job.args,
            "priority": job.priority,
            "client": job.client,
            "headers": job.headers,
            "tags": job.tags,
            "summary": job.summary,
            "shape": job.shape,
            "version": job.version,
        }

    def bells(self, queues: Iterable[str] | None = None) -> set[str]:
        """Those to ring for these queues, in which something has changed, or for all that may have work soon."""
        at_once = {self.queues[job.lane - 1] for job in self.jobs if job.is_due}
        soon = {self.queues[job.lane - 1] for job in self.jobs if job.delay < SOON_S}
        changed = soon if queues is None else {queue for queue in queues if queue}
        return {soon_bell(queue) if queue in soon - at_once else queue_bell(queue) for queue in changed}

    def as_carried(self) -> dict[str, object]:
        """For a part of a step."""
        return {**self.parameters(), "jobs": self.jobs}


class BatchMessage(msgspec.Struct):
    """A batch for make_batches; final: what its final job is written with."""

    id: str
    kept: bool
    waits_for: str
    final_id: str
    summary: str
    final: str | None


def batches_of(parts: Iterable[BatchPart]) -> str:
    """For make_batches."""
    rows = [
        BatchMessage(
            id=part.id,
            kept=part.is_kept,
            waits_for=part.when,
            final_id=part.then.id if part.then else "",
            summary=without_nul(part.summary),
            final=_encode(Jobs.of([part.then]).as_carried()).decode() if part.then else None,
        )
        for part in parts
    ]
    return _encode(rows).decode()


def parts_of(step: Step) -> str | None:
    """The settlements of a step, in parts: see functions/step.sql.

    A new part begins where the order matters: when a claim is named twice, and after jobs that may find their key held
    or not, or their lane empty or not, by what is settled next.
    """
    if not step.settled:
        return None
    parts: list[dict[str, object]] = []
    settled: list[SettlementMessage] = []
    carried = Jobs()
    tokens: set[int] = set()

    def end_part() -> None:
        part: dict[str, object] = {"settled": settled, "carried": carried.as_carried() if carried.jobs else None}
        if any(end.slow for end in settled):
            part["slows"] = True
        parts.append(part)

    must_end = False
    for settlement in step.settled:
        is_back = bool(carried.jobs) and settlement.to is State.QUEUED
        if settlement.token in tokens or must_end or is_back:
            end_part()
            settled, carried, tokens = [], Jobs(), set[int]()
        tokens.add(settlement.token)
        settled.append(_settlement(settlement))
        for job in settlement.enqueue:
            carried.add(job, of=settlement.token)
        must_end = carried.is_keyed
    end_part()
    return _encode(parts).decode()


def started_of(claims: Sequence[ClaimRef]) -> str | None:
    """Claims that have begun, each once."""
    named = dict.fromkeys(claims)
    return _encode([ClaimMessage(claim.id, claim.token) for claim in named]).decode() if named else None


def progress_of(reports: Sequence[ProgressReport]) -> str | None:
    """The latest report of each claim."""
    latest = {(report.id, report.token): report for report in reports}
    if not latest:
        return None
    rows = [ClaimMessage(r.id, r.token, codec.encode(r.progress).decode()) for r in latest.values()]
    return _encode(rows).decode()


def wants_of(wants: Sequence[Want]) -> str | None:
    """Wants, in order."""
    if not wants:
        return None
    return _encode([WantMessage(want.queue, tuple(sorted(want.tasks)), want.n, want.room) for want in wants]).decode()


def without_nul(text: str) -> str:
    """The text, with a mark in the place of the one character that PostgreSQL cannot keep."""
    return text.replace("\0", "\ufffd") if "\0" in text else text


def _settlement(end: Settlement) -> SettlementMessage:
    return SettlementMessage(
        id=end.id,
        token=end.token,
        to=str(end.to),
        outcome=end.outcome,
        delay=end.delay_s,
        result=end.result.decode() if end.result else None,
        error=None if end.error is None else codec.encode(end.error).decode(),
        reason=without_nul(end.reason),
        ago=end.started_ago_s,
        logs=codec.encode(end.logs).decode() if end.logs else None,
        trips=without_nul(told(end)) if end.trips else None,
        slow=end.slow_s,
    )


def _refuse_nul(name: str, job: NewJob) -> None:
    if "\0" in name:
        raise UnsupportedByBackend(f"{job.id!r}: PostgreSQL keeps no text with a NUL character, and {name!r} has one")
