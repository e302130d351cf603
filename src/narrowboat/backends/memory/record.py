"""A job as the store keeps it, and the frozen values that it is shown as."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...core.controls import Gated
from ...core.job import Attempt, Claim, Job, JobSummary, NewJob, Progress
from ...core.states import FINAL, WAITING, State


@dataclass(slots=True)
class Hold:
    """Who holds a running job, since which step, and from whom it was rescued."""

    worker: str
    token: int
    seq: int
    is_started: bool = False
    lost_worker: str = ""


@dataclass(slots=True, eq=False)
class Record:
    """One job. `order` is its place among all jobs ever enqueued, and never changes."""

    new: NewJob  # as written, with what a retry changed
    order: int
    enqueued_at: float
    state: State
    queued_at: float | None = None
    due_at: float | None = None
    revision: int = 1
    errors: int = 0
    crashes: int = 0
    snoozes: int = 0
    started_at: float | None = None
    finished_at: float | None = None
    ran_by: str = ""
    progress: Progress | None = None
    reason: str = ""
    result: bytes = b""
    history: tuple[Attempt, ...] = ()
    is_cancel_asked: bool = False
    cancel_reason: str = ""
    hold: Hold | None = None
    passed: tuple[Gated, ...] = ()  # the gates that its claim went through, while it runs

    def keeps_key(self, key_for: str | float, now: float) -> bool:
        """Whether this job keeps its key from one that asks for it with `key_for`."""
        if self.state in WAITING:
            return True
        if self.state is State.RUNNING:
            return key_for != "waiting"
        if self.state is State.SUCCEEDED and not isinstance(key_for, str):
            return self.finished_at is not None and now < self.finished_at + key_for
        return False

    def summary(self) -> JobSummary:
        """The job as lists show it."""
        return JobSummary(**self._shown())

    def job(self) -> Job:
        """The job with everything."""
        return Job(
            **self._shown(),
            args=self.new.args,
            headers=dict(self.new.headers),
            result=self.result,
            lane_key=self.new.lane_key,
            batch=self.new.batch,
            history=self.history,
        )

    def claim(self) -> Claim:
        """The running job as the one that holds it sees it."""
        assert self.hold is not None
        return Claim(
            id=self.new.id,
            task=self.new.task,
            queue=self.new.queue,
            token=self.hold.token,
            args=self.new.args,
            priority=self.new.priority,
            errors=self.errors,
            crashes=self.crashes,
            snoozes=self.snoozes,
            started=bool(self.hold.lost_worker) and self.hold.is_started,
            lost_worker=self.hold.lost_worker,
            enqueued_at=self.enqueued_at,
            headers=dict(self.new.headers),
            tags=self.new.tags,
            version=self.new.version,
            shape=self.new.shape,
        )

    def _shown(self) -> Mapping[str, Any]:
        return {
            "id": self.new.id,
            "task": self.new.task,
            "queue": self.new.queue,
            "state": self.state,
            "priority": self.new.priority,
            "revision": self.revision,
            "errors": self.errors,
            "crashes": self.crashes,
            "snoozes": self.snoozes,
            "enqueued_at": self.enqueued_at,
            "due_at": self.due_at if self.state is State.SCHEDULED else None,
            "started_at": self.started_at,
            "finished_at": self.finished_at if self.state in FINAL else None,
            "worker": self.ran_by,
            "key": self.new.key,
            "summary": self.new.summary,
            "tags": self.new.tags,
            "progress": self.progress,
            "reason": self.reason,
            "is_cancel_asked": self.is_cancel_asked,
            "client": self.new.client,
        }
