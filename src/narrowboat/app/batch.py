"""Batches seen from the side that makes them."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from typing import Any, Literal

import msgspec

from ..backends.base import Filter
from ..core.aside import in_thread
from ..core.batch import ENDED, HEADER, SUCCEEDED, Batch, BatchPart, blank
from ..core.errors import ConfigError, UnknownBatch, WaitTimeout
from ..core.file import names_files
from ..core.ids import new_batch_id
from ..core.job import MAX_SUMMARY, NewJob
from ..core.states import FINAL, State
from ..core.units import in_words, seconds
from .handle import AnyJob, Home, JobHandle
from .task import PreparedJob

When = Literal["succeeded", "ended"]
PART = 500  # jobs that are written at a time
LOOK_S = 1.0  # between two looks of `wait`, unless the final job ends it
OPEN = frozenset(State) - FINAL


class BatchHandle:
    """A batch by its id. What it shows is read when first asked for, and again by `refresh()`.

    jobs: of a batch that was made here, its jobs in the order given; for each that was not written, because another
    job has its key, that one, which the batch does not wait for.
    """

    def __init__(self, app: Home, batch_id: str, *, record: Batch | None = None, jobs: Sequence[AnyJob] = ()) -> None:
        self._app, self.id, self._record, self.jobs = app, batch_id, record, tuple(jobs)

    def __repr__(self) -> str:
        return f"<Batch {self.id}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, BatchHandle) and other.id == self.id

    def __hash__(self) -> int:
        return hash(self.id)

    @property
    def record(self) -> Batch:
        """Everything known about the batch, as last read. Raises UnknownBatch."""
        if self._record is None:
            self.refresh()
        assert self._record is not None
        return self._record

    @property
    def total(self) -> int:
        """How many jobs it counts, as last read, here and below."""
        return self.record.total

    @property
    def succeeded(self) -> int:
        """How many have succeeded."""
        return self.record.succeeded

    @property
    def dead(self) -> int:
        """How many are dead."""
        return self.record.dead

    @property
    def cancelled(self) -> int:
        """How many were cancelled."""
        return self.record.cancelled

    @property
    def open(self) -> int:
        """How many wait or run."""
        return self.record.total - self.record.ended

    @property
    def has_ended(self) -> bool:
        """Whether each job is in a final state."""
        return self.record.has_ended

    @property
    def is_finished(self) -> bool:
        """Whether its final job was written, or would have been if there were one."""
        return self.record.finished_at is not None

    @property
    def then(self) -> AnyJob | None:
        """The final job, once it is written; None before that, and where there is none."""
        return JobHandle(self._app, self.record.then) if self.is_finished and self.record.then else None

    def refresh(self) -> BatchHandle:
        """Read the numbers again. Raises UnknownBatch when its record is gone."""
        [self._record] = self._app.backend.batches([self.id])
        if self._record is None:
            raise unknown_batch(self.id)
        return self

    def wait(self, timeout: float | str | timedelta = "1m") -> BatchHandle:
        """Sleep until each job is in a final state, whichever; at most `timeout`. Raises WaitTimeout, UnknownBatch."""
        limit_s = seconds(timeout)
        until = time.monotonic() + limit_s
        while not self.refresh().has_ended:
            left = until - time.monotonic()
            if left <= 0:
                raise WaitTimeout(
                    f"of the {self.total} jobs of batch {self.id}, {self.open} go on after {in_words(limit_s)}"
                )
            try:
                self._app.backend.watch({self.record.then or self.id: 0}, min(left, LOOK_S))
            except WaitTimeout:  # of a rehearsal, whose jobs have run meanwhile
                if not self.refresh().has_ended:
                    raise
        return self

    def find(self, *states: State | str) -> Iterator[AnyJob]:
        """Its jobs in these states (or all), newest first, while their records are kept: read page by page."""
        chosen = Filter(batch=self.id, states=frozenset(map(State, states)) or None)
        after: str | None = None
        while True:
            page = self._app.backend.find(chosen, after, limit=100)
            for job in page.jobs:
                yield JobHandle(self._app, job.id)
            after = page.next
            if after is None:
                return

    def cancel(self, reason: str = "") -> int:
        """Cancel the jobs that wait, at once, and ask for the end of those that run; how many. Raises UnknownBatch.

        A batch that waits for successes is not finished so.
        """
        self.refresh()
        ids = [job.id for job in self.find(*OPEN)]
        for start in range(0, len(ids), PART):
            self._app.backend.cancel(ids[start : start + PART], reason)
        self._record = None
        return len(ids)

    async def arefresh(self) -> BatchHandle:
        """`refresh` for async code."""
        return await in_thread(self.refresh)

    async def await_(self, timeout: float | str | timedelta = "1m") -> BatchHandle:
        """`wait` for async code."""
        return await in_thread(self.wait, timeout)

    async def acancel(self, reason: str = "") -> int:
        """`cancel` for async code."""
        return await in_thread(self.cancel, reason)


def unknown_batch(batch_id: str) -> UnknownBatch:
    """What is raised for an id without a record."""
    return UnknownBatch(f"no batch has the id {batch_id!r}: it never existed here, or its record was purged")


def final(then: PreparedJob[Any], batch_id: str) -> NewJob:
    """A final job, as its batch keeps it until then. Raises ConfigError for one that cannot wait so."""
    new = then.new
    if then.then is not None or then.connection is not None:
        raise ConfigError(f"then={new.task}: a final job has no then= and no connection= of its own")
    if names_files(new.args):
        raise ConfigError(f"then={new.task}: a final job takes no files, which would be swept before it is written")
    return msgspec.structs.replace(new, key=None, headers={**new.headers, HEADER: blank(batch_id)})


def parts_of(
    prepared: Iterable[PreparedJob[Any]], then: PreparedJob[Any] | None, when: str, summary: str, *, is_whole: bool
) -> Iterator[tuple[BatchPart, list[PreparedJob[Any]]]]:
    """What is written at a time, PART jobs or all, and the batch that it belongs to; the last part seals it."""
    if when not in (SUCCEEDED, ENDED):
        raise ConfigError(f'when={when!r}: give "succeeded" or "ended"')
    batch_id = new_batch_id()
    part = BatchPart(
        id=batch_id,
        then=None if then is None else final(then, batch_id),
        when=when,
        summary=summary[:MAX_SUMMARY],
        is_last=False,
    )
    rest = iter(prepared)
    jobs = _members(rest, batch_id, None if is_whole else PART)
    while True:
        more = [] if is_whole else _members(rest, batch_id, PART)
        yield msgspec.structs.replace(part, is_last=not more), jobs
        if not more:
            return
        jobs = more


def _members(rest: Iterator[PreparedJob[Any]], batch_id: str, most: int | None) -> list[PreparedJob[Any]]:
    return [_member(job, batch_id) for job in itertools.islice(rest, most)]


def _member(job: PreparedJob[Any], batch_id: str) -> PreparedJob[Any]:
    if job.then is not None:
        raise ConfigError(f"{job.new.task}: a job of a batch has no then= of its own; the batch has one")
    return msgspec.structs.replace(job, new=msgspec.structs.replace(job.new, batch=batch_id))


def alone(job: PreparedJob[Any]) -> tuple[NewJob, BatchPart]:
    """A job with a `then`: a batch of one."""
    assert job.then is not None
    batch_id = new_batch_id()
    new = msgspec.structs.replace(job.new, batch=batch_id)
    return new, BatchPart(id=batch_id, then=final(job.then, batch_id), is_kept=False)
