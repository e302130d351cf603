"""The verbs of a backend that a relay passes on to its store as they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from ...core.batch import Batch
from ...core.controls import Meter
from ...core.job import Claim, Ended, Job, JobSummary
from ...core.message import UNREAD
from ...core.schedule import ScheduleState
from ...core.states import State
from ...core.task import TaskSpec
from ..base import PLACES, Backend, ClaimRef, Extended, Filter, Gate, Page, Retention, WorkerView


class Straight(Backend):
    """Everything that tells nobody of work."""

    def __init__(self, store: Backend) -> None:
        self._store = store
        self.beside = store.beside

    def extend(self, worker: str, seq: int, claims: Sequence[ClaimRef], now: float | None = None) -> Extended:
        """See Backend."""
        return self._store.extend(worker, seq, claims, now)

    def rescue(self, worker: str, dead: Sequence[str], limit: int = 100) -> list[Claim]:
        """See Backend."""
        return self._store.rescue(worker, dead, limit)

    def watch(
        self, revisions: Mapping[str, int], timeout_s: float, now: float | None = None, watcher: str = ""
    ) -> list[JobSummary]:
        """See Backend."""
        return self._store.watch(revisions, timeout_s, now, watcher)

    def get(self, ids: Sequence[str], now: float | None = None) -> list[Job | None]:
        """See Backend."""
        return self._store.get(ids, now)

    def find(self, filter: Filter, after: str | None = None, limit: int = 50, now: float | None = None) -> Page:
        """See Backend."""
        return self._store.find(filter, after, limit, now)

    def batches(self, ids: Sequence[str]) -> list[Batch | None]:
        """See Backend."""
        return self._store.batches(ids)

    def latest_batches(self, limit: int = 50) -> list[Batch]:
        """See Backend."""
        return self._store.latest_batches(limit)

    def find_key(self, task: str, key: str) -> str | None:
        """See Backend."""
        return self._store.find_key(task, key)

    def places(self, ids: Sequence[str], most: int = PLACES, now: float | None = None) -> list[int | None]:
        """See Backend."""
        return self._store.places(ids, most, now)

    def ended(self, queue: str, limit: int = 100, now: float | None = None) -> list[Ended]:
        """See Backend."""
        return self._store.ended(queue, limit, now)

    def cancel(self, ids: Sequence[str], reason: str = "", now: float | None = None) -> list[State | None]:
        """See Backend."""
        return self._store.cancel(ids, reason, now)

    def gates(self, now: float | None = None) -> list[Gate]:
        """See Backend."""
        return self._store.gates(now)

    def meters(self, scopes: Sequence[str]) -> dict[str, Meter]:
        """See Backend."""
        return self._store.meters(scopes)

    def shut(self, gate: Gate, now: float | None = None) -> None:
        """See Backend."""
        self._store.shut(gate, now)

    def schedules(self, keys: Sequence[str]) -> dict[str, ScheduleState]:
        """See Backend."""
        return self._store.schedules(keys)

    def pause_schedule(self, key: str, is_paused: bool) -> None:
        """See Backend."""
        self._store.pause_schedule(key, is_paused)

    def workers(self, now: float | None = None) -> list[WorkerView]:
        """See Backend."""
        return [
            msgspec.structs.replace(view, tasks=tuple(task for task in view.tasks if task != UNREAD))
            for view in self._store.workers(now)
        ]

    def published(self, names: Sequence[str] | None = None) -> dict[str, TaskSpec]:
        """See Backend."""
        found = self._store.published(names)
        found.pop(UNREAD, None)
        return found

    def purge(self, retention: Retention, limit: int = 1000, now: float | None = None) -> int:
        """See Backend."""
        return self._store.purge(retention, limit, now)

    def audit(self) -> list[str]:
        """See Backend."""
        return self._store.audit()
