"""The verbs of the port, each a function of a connection, run by the writer or on this thread's reader."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Generator, Mapping, Sequence
from math import inf
from pathlib import Path
from typing import Any

from ...core.batch import Batch, BatchPart
from ...core.controls import Control, Meter
from ...core.errors import BackendUnavailable, ConfigError
from ...core.job import Claim, Ended, Enqueued, Job, JobSummary, NewJob
from ...core.queue import ENDS, Over, Queue, full
from ...core.schedule import ScheduleState
from ...core.states import State
from ...core.task import Manifest, TaskSpec
from ..base import (
    NO_LIMITS,
    PLACES,
    Backend,
    Capabilities,
    Change,
    ClaimRef,
    Extended,
    Filter,
    Gate,
    Page,
    QueueStats,
    Retention,
    Step,
    StepReply,
    Wakeup,
    Want,
    WorkerInfo,
    WorkerView,
)
from ..foreign import aunwrap
from . import batches as batch_rows
from . import callers, enqueue, lanes, leases, meters, people, purge, read, schedules
from .connection import DURABILITIES, Connections, errors_said_plainly
from .queries import sql
from .step import step as take_step
from .turns import can_serve
from .wake import DROWSY, Bell, Look
from .writer import Writer


class SQLiteBackend(Backend):
    """Jobs in the file at `path`, made if it is not there. Raises BackendUnavailable, ConfigError, SchemaTooNew.

    durability: "full" has every accepted or settled job on the disk before it counts; "normal" may lose the last
    moments in a power cut (not in a crash), and is faster. timeout_s: how long a write may wait for its turn.
    """

    capabilities = Capabilities(name="SQLite", has_transactional_enqueue=True)

    def __init__(self, path: str | Path, *, durability: str = "full", timeout_s: float = 5.0) -> None:
        if durability not in DURABILITIES:
            raise ConfigError(f"durability is {' or '.join(DURABILITIES)}, not {durability!r}")
        self._connections = Connections(Path(path), timeout_s)
        self.location = str(self._connections.path)
        self.beside = self.location
        self.hidden = tuple(os.path.realpath(self.location) + end for end in ("", "-wal", "-shm", "-lock", "-journal"))
        if not self._connections.path.parent.is_dir():
            raise BackendUnavailable(f"{self.location}: the folder {self._connections.path.parent} does not exist")
        self._writer = Writer(self._connections, durability, timeout_s)
        self._bell = Bell(self._connections.path)
        try:
            # This makes the file, and says at once what is wrong with it.
            self._writer.write(lambda _: None, is_durable=False)
        except BaseException:
            self.close()
            raise

    def enqueue(
        self,
        jobs: Sequence[NewJob],
        into: Any = None,
        limits: Mapping[str, Queue] = NO_LIMITS,
        now: float | None = None,
        batches: Sequence[BatchPart] = (),
    ) -> list[Enqueued]:
        """See Backend. `into`: see `foreign.unwrap`, or an open sqlite3.Connection, to the same file."""
        moment = _clock(now)

        def write(connection: sqlite3.Connection) -> list[Enqueued] | Over:
            if limits:
                return enqueue.enqueue_within(connection, jobs, moment, limits, batches)
            return enqueue.enqueue(connection, jobs, moment, parts=batches)

        if into is None:
            written = self._writer.write(write)
        else:
            path = self._connections.path
            written = callers.write(callers.connection_of(into, path), path, write)
        if isinstance(written, Over):  # when to come back is reckoned here, where nobody waits for the lock
            raise full(written, self.ended(written.queue.name, ENDS), moment)
        return written

    async def aenqueue(
        self,
        jobs: Sequence[NewJob],
        into: Any,
        limits: Mapping[str, Queue] = NO_LIMITS,
        now: float | None = None,
        batches: Sequence[BatchPart] = (),
    ) -> list[Enqueued]:
        """See Backend. In the calling thread, to which connections of sqlite3 are bound."""
        return self.enqueue(jobs, await aunwrap(into), limits, now, batches)

    def batches(self, ids: Sequence[str]) -> list[Batch | None]:
        """See Backend."""
        with self._reading() as connection:
            return batch_rows.read(connection, ids)

    def latest_batches(self, limit: int = 50) -> list[Batch]:
        """See Backend."""
        with self._reading() as connection:
            return batch_rows.latest(connection, limit)

    def step(self, step: Step, now: float | None = None) -> StepReply:
        """See Backend. A step that settles nothing need not be on the disk when it counts."""
        return self._writer.write(lambda c: take_step(c, step, _clock(now)), is_durable=bool(step.settled))

    def extend(self, worker: str, seq: int, claims: Sequence[ClaimRef], now: float | None = None) -> Extended:
        """See Backend."""
        return self._writer.write(lambda c: leases.extend(c, worker, seq, claims, _clock(now)), is_durable=False)

    def rescue(self, worker: str, dead: Sequence[str], limit: int = 100) -> list[Claim]:
        """See Backend."""
        return self._writer.write(lambda c: leases.rescue(c, worker, dead, limit), is_durable=False)

    def wait(
        self, worker: str, wants: Sequence[Want], timeout_s: float, cancels: int = 0, now: float | None = None
    ) -> Wakeup:
        """See Backend."""
        ahead_s = 0.0 if now is None else now - time.time()
        with self._reading() as connection:
            woken = Wakeup(False, 0)

            def look() -> Look[bool]:
                nonlocal woken
                asked, next_change = lanes.look(connection, worker, wants)
                left_s = inf if next_change is None else next_change - time.time() - ahead_s
                has_work = left_s <= 0 or any(can_serve(connection, want) for want in wants)
                woken = Wakeup(has_work, asked, max(0.0, left_s))
                return Look(woken.work or asked > cancels, left_s)

            if wants:
                self._bell.sleep_until(look, connection, timeout_s, sleeper=worker)
            else:
                self._bell.sleep_until(look, connection, timeout_s, DROWSY)
            return woken

    def rouse(self, name: str) -> None:
        """See Backend."""
        self._bell.rouse(name)

    def watch(
        self, revisions: Mapping[str, int], timeout_s: float, now: float | None = None, watcher: str = ""
    ) -> list[JobSummary]:
        """See Backend."""
        look = read.watch(revisions)
        with self._reading() as connection:
            return self._bell.sleep_until(lambda: Look(look(connection)), connection, timeout_s, sleeper=watcher)

    def get(self, ids: Sequence[str], now: float | None = None) -> list[Job | None]:
        """See Backend."""
        with self._snapshot() as connection:
            return read.get(connection, ids)

    def find(self, filter: Filter, after: str | None = None, limit: int = 50, now: float | None = None) -> Page:
        """See Backend."""
        with self._snapshot() as connection:
            return read.find(connection, filter, after, limit)

    def find_key(self, task: str, key: str) -> str | None:
        """See Backend."""
        with self._reading() as connection:
            row = connection.execute(sql("find_key"), {"task": task, "key": key}).fetchone()
            return row[0] if row else None

    def places(self, ids: Sequence[str], most: int = PLACES, now: float | None = None) -> list[int | None]:
        """See Backend."""
        with self._reading() as connection:
            return read.places(connection, ids, most)

    def ended(self, queue: str, limit: int = 100, now: float | None = None) -> list[Ended]:
        """See Backend."""
        with self._reading() as connection:
            return read.ended(connection, queue, limit)

    def cancel(self, ids: Sequence[str], reason: str = "", now: float | None = None) -> list[State | None]:
        """See Backend."""
        return self._writer.write(lambda c: people.cancel(c, ids, reason, _clock(now)))

    def retry(self, ids: Sequence[str], change: Change | None = None, now: float | None = None) -> list[bool]:
        """See Backend."""
        return self._writer.write(lambda c: people.retry(c, ids, change or Change(), _clock(now)))

    def gates(self, now: float | None = None) -> list[Gate]:
        """See Backend."""
        with self._reading() as connection:
            return [*lanes.gates(connection, _clock(now)), *meters.breakers(connection)]

    def meters(self, scopes: Sequence[str]) -> dict[str, Meter]:
        """See Backend."""
        with self._snapshot() as connection:
            return meters.read(connection, scopes)

    def adjust(self, scope: str, control: Control | None) -> None:
        """See Backend."""
        self._writer.write(lambda c: meters.adjust(c, scope, control, _clock(None)))

    def shut(self, gate: Gate, now: float | None = None) -> None:
        """See Backend."""
        shut = meters.shut_breaker if gate.scope.startswith("breaker:") else lanes.shut
        self._writer.write(lambda c: shut(c, gate, _clock(now)))

    def open(self, scope: str, now: float | None = None) -> bool:
        """See Backend."""
        open_ = meters.open_breaker if scope.startswith("breaker:") else lanes.open_gate
        return self._writer.write(lambda c: open_(c, scope, _clock(now)))

    def schedules(self, keys: Sequence[str]) -> dict[str, ScheduleState]:
        """See Backend."""
        with self._reading() as connection:
            return schedules.read(connection, keys)

    def fire(self, key: str, due: float, job: NewJob | None, now: float | None = None) -> bool:
        """See Backend."""
        return self._writer.write(lambda c: schedules.fire(c, key, due, job, _clock(now)))

    def pause_schedule(self, key: str, is_paused: bool) -> None:
        """See Backend."""
        self._writer.write(lambda c: schedules.pause(c, key, is_paused))

    def publish(self, worker: WorkerInfo, manifest: Manifest, now: float | None = None) -> None:
        """See Backend."""
        self._writer.write(lambda c: leases.publish(c, worker, manifest, _clock(now)))

    def leave(self, worker: str, now: float | None = None) -> None:
        """See Backend."""
        self._writer.write(lambda c: leases.leave(c, worker, _clock(now)))

    def workers(self, now: float | None = None) -> list[WorkerView]:
        """See Backend."""
        with self._snapshot() as connection:
            return leases.workers(connection)

    def published(self, names: Sequence[str] | None = None) -> dict[str, TaskSpec]:
        """See Backend."""
        with self._reading() as connection:
            return leases.published(connection, names)

    def stats(self, now: float | None = None) -> list[QueueStats]:
        """See Backend."""
        moment = _clock(now)
        with self._snapshot() as connection:
            shut = lanes.gates(connection, moment)
            return read.stats(connection, shut, leases.workers(connection), moment)

    def purge(self, retention: Retention, limit: int = 1000, now: float | None = None) -> int:
        """See Backend."""
        return self._writer.write(lambda c: purge.purge(c, retention, limit, _clock(now)), is_durable=False)

    def audit(self) -> list[str]:
        """See Backend."""
        with self._snapshot() as connection:
            return [row[0] for row in connection.execute(sql("audit"))]

    def close(self) -> None:
        """See Backend."""
        self._bell.close()
        self._writer.close()
        self._connections.close()

    @contextlib.contextmanager
    def _reading(self) -> Generator[sqlite3.Connection]:
        with errors_said_plainly(self._connections.path), self._connections.reading() as connection:
            yield connection

    @contextlib.contextmanager
    def _snapshot(self) -> Generator[sqlite3.Connection]:
        """Several reads of one moment."""
        with self._reading() as connection:
            connection.execute("BEGIN")
            try:
                yield connection
            finally:
                connection.execute("COMMIT")


def _clock(now: float | None) -> float:
    return time.time() if now is None else now
