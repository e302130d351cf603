"""Batches: jobs that are counted as they end, and the one job that follows them.

A batch is *sealed* when all its jobs are written, has *ended* when each of them is in a final state, and is *finished*
from the moment in which its final job was written: together with the end that was the last one missing, once.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from .job import NewJob

SUCCEEDED, ENDED = "succeeded", "ended"  # which end of all jobs a final job waits for
HEADER = "narrowboat-batch"  # of a final job: its batch's id and how its jobs ended


class BatchPart(msgspec.Struct, frozen=True, kw_only=True):
    """What a call of `enqueue` says of a batch, whose jobs name it. The first part makes it, the last one seals it.

    then: its final job. when: "succeeded" lets that wait until each job has succeeded, so that a dead or cancelled one
    holds the batch open for a person; "ended" until each is in a final state, whichever.
    is_kept: False: its record goes as soon as it is of no use, which is without any job that was really written, when
    there is no final job either, and when it is finished.
    """

    id: str
    then: NewJob | None = None
    when: str = SUCCEEDED
    summary: str = ""
    is_last: bool = True
    is_kept: bool = True


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """How the jobs of a batch stand. Those that are in no final state wait or run."""

    id: str
    total: int = 0
    succeeded: int = 0
    dead: int = 0
    cancelled: int = 0

    @property
    def ended(self) -> int:
        """Jobs in a final state."""
        return self.succeeded + self.dead + self.cancelled


class Batch(Totals, frozen=True, kw_only=True):
    """A batch as the backend knows it. then: the id of its final job, "" for none."""

    when: str
    is_sealed: bool
    created_at: float
    changed_at: float  # when a job was added, or ended
    finished_at: float | None = None
    then: str = ""
    summary: str = ""
    is_kept: bool = True

    @property
    def has_ended(self) -> bool:
        """Whether all its jobs are written, and each is in a final state."""
        return self.is_sealed and self.ended == self.total

    @property
    def is_due(self) -> bool:
        """Whether it is to be finished now."""
        if self.finished_at is not None or not self.has_ended:
            return False
        return self.when == ENDED or self.succeeded == self.total


def blank(batch_id: str) -> str:
    """The header of a final job before its totals are known; backends put `filled` there as they write the job."""
    return f"{batch_id} ?"


def filled(batch: Totals) -> str:
    """The header of a final job as its executor reads it."""
    return f"{batch.id} {batch.total} {batch.succeeded} {batch.dead} {batch.cancelled}"


def final_job(then: NewJob, batch: Totals) -> NewJob:
    """The final job as it is written."""
    headers = {**then.headers, HEADER: filled(batch)} if HEADER in then.headers else then.headers
    return msgspec.structs.replace(then, headers=headers)


def told(headers: Mapping[str, str]) -> Totals | None:
    """The totals that a final job was written with; None for any other job."""
    words = headers.get(HEADER, "").split()
    if len(words) != 5 or not all(word.isdigit() for word in words[1:]):
        return None
    total, succeeded, dead, cancelled = map(int, words[1:])
    return Totals(id=words[0], total=total, succeeded=succeeded, dead=dead, cancelled=cancelled)


def is_past(batch: Batch, keep_s: float, dead_s: float, now: float) -> bool:
    """Whether its record may go: finished, or held open by jobs that ended otherwise, and unchanged for so long."""
    if batch.ended < batch.total:
        return False
    return batch.changed_at + (dead_s if batch.finished_at is None else keep_s) <= now
