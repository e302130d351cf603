"""Reads jobs for browsers: the record, its place in line and what its queue did lately, made into documents."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from ..app import App, JobHandle
from ..app.steering import holder
from ..backends.base import Ended, Gate
from ..core.job import Job
from ..core.states import State
from .document import MOVING, Describe, Document, Line, Pause, document, shown_of
from .estimate import left_s

T = TypeVar("T")
PACE_S = 2.0  # what a queue did lately, and what holds its jobs, is read again after so long


class Reader:
    """One for each Web. Safe to call from any thread; all of it may block on the backend."""

    def __init__(self, app: App, base: str, describe: Describe, clock: Callable[[], float] = time.time) -> None:
        self.app, self.base, self._describe, self._clock = app, base, describe, clock
        self._found: dict[str, tuple[float, Any]] = {}  # what was read, and when
        self._lock = threading.Lock()

    def read(self, ids: Sequence[str]) -> dict[str, Job]:
        """The records of those that exist."""
        return {job.id: job for job in self.app.backend.get(ids) if job is not None}

    def documents(self, jobs: Mapping[str, Job]) -> dict[str, Document]:
        """A document for each, by what the backend knows now."""
        queued = [job.id for job in jobs.values() if job.state is State.QUEUED]
        places = dict(zip(queued, self.app.backend.places(queued), strict=True)) if queued else {}
        return {job.id: self.document(job, places.get(job.id)) for job in jobs.values()}

    def document(self, job: Job, place: int | None) -> Document:
        """The document of one job."""
        gate = self._gate(job) if job.state is State.QUEUED else None
        is_moving = gate is None or gate.kind in MOVING
        is_near = is_moving and job.state in (State.QUEUED, State.RUNNING)
        left = left_s(job, place, self._pace(job.queue), self._clock()) if is_near else None
        pause = None if gate is None else Pause(None if gate.until is None else gate.until - self._clock(), gate.kind)
        return document(job, self.base, Line(place, left, pause), shown_of(self._describe(JobHandle.of(self.app, job))))

    def _gate(self, job: Job) -> Gate | None:
        scopes = {f"queue:{job.queue}", f"task:{job.task}"}
        shut = next((gate for gate in self._gates() if gate.scope in scopes), None)
        return shut or self._control(job)

    def _control(self, job: Job) -> Gate | None:
        spec = self._lately("specs", self.app.backend.published).get(job.task)
        gates = () if spec is None else spec.controls.gates(job.lane_key)
        if not gates:
            return None
        scopes = [gated.scope for gated in gates]
        meters = self._lately(f"meters:{job.task}:{job.lane_key}", lambda: self.app.backend.meters(scopes))
        return holder(gates, meters, self._clock())

    def _gates(self) -> Sequence[Gate]:
        return self._lately("gates", self.app.backend.gates)

    def _pace(self, queue: str) -> Sequence[Ended]:
        return self._lately(f"queue:{queue}", lambda: self.app.backend.ended(queue))

    def _lately(self, what: str, read: Callable[[], T]) -> T:
        """What was read less than PACE_S ago, or is read now."""
        now = time.monotonic()
        with self._lock:
            read_at, found = self._found.get(what, (-PACE_S, None))
        if now - read_at >= PACE_S:
            found = read()
            with self._lock:
                if len(self._found) > 1000:  # of queues and lanes there may be many over the years
                    self._found.clear()
                self._found[what] = now, found
        return found
