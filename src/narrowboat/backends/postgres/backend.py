"""The verbs of the port, each one statement to the server."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from math import inf
from typing import Any, TypeVar

import msgspec
import psycopg
from psycopg.types.numeric import Int8

from ...core import codec
from ...core.aside import in_thread
from ...core.batch import Batch, BatchPart
from ...core.controls import Control, Meter
from ...core.credentials import LIBPQ
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
from .address import Address
from .bells import EVERY_QUEUE, JOBS, Bells, Limiter, cancel_bell, queue_bell
from .callers import Callers
from .ear import Ear
from .health import Setup, doubts, explained, setup_of
from .into import batched, enqueue, enqueue_within, run_whole
from .messages import Jobs, parts_of, progress_of, started_of, wants_of, without_nul
from .pool import Line, Pool
from .queries import Queries
from .rows import batch_of, claim_of, job_of, meter_of, stats_of, summary_of
from .sleep import Look, Waits, watch

_info = msgspec.json.Decoder(WorkerInfo)
_spec = msgspec.json.Decoder(TaskSpec)
_NEWEST = 1 << 62
PASSED_OVER = 1000  # jobs cancelled before they began, which may stand in front of those that ended
HINT_S = 0.003  # between two hints of one kind from one process
Row = tuple[Any, ...]
T = TypeVar("T")


class PostgresBackend(Backend):
    """Jobs in a schema of a PostgreSQL database, which is made if it is not there.

    make=False: it is not made; verbs then raise BackendUnavailable where there is none. Raises BackendUnavailable,
    ConfigError, SchemaTooNew.
    """

    capabilities = Capabilities(name="PostgreSQL", has_transactional_enqueue=True)
    variables = LIBPQ

    def __init__(self, address: Address, *, make: bool = True) -> None:
        self.location, self.url = address.location, address.conninfo
        self._sql = Queries(address.schema)
        self._pool = Pool(address, self._sql, makes_schema=make)
        self._callers = Callers(self._pool, self._sql)
        self._is_pooler_known = address.is_listening is not None
        self._bells = Bells()
        self._waits = Waits(self._bells)
        self._hints = Limiter(HINT_S)
        self._ear = None
        if address.is_listening is not False:
            through_poolers = address.is_listening is True
            self._ear = Ear(self._pool, address.schema, self._bells, self._tell, through_poolers)
        try:
            self._pool.run(lambda _: None, needs_schema=make)  # says at once what is wrong
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
        """See Backend. `into`: see `foreign.unwrap`, or a psycopg.Connection; errors 40001 and 40P01 stay psycopg's."""
        if not jobs and not batches:
            return []
        wanted = Jobs.of(jobs)
        limits = {job.queue: limits[job.queue] for job in jobs if job.queue in limits}
        if into is not None:
            written = self._callers.enqueue(into, jobs, wanted, limits, now, batches)
            return _answers(jobs, self._within(written, now))
        plain = None if limits or batches else wanted.plain()
        if plain is not None:
            return [self._put(plain, now)]

        def write(line: Line) -> Row | Over:
            if limits or batches:
                script = enqueue(self._sql, wanted, now, is_alone=False)
                if batches:
                    script = batched(self._sql, batches, now, script)
                return run_whole(line, enqueue_within(self._sql, jobs, limits, script) if limits else script)
            return self._enqueue(line, wanted, now, is_alone=True)

        written, was_lost = self._write(write)
        row = self._within(written, now)
        self._bells.ring(JOBS)
        self._hint(wanted.bells(row[2] or ()))
        return _answers(jobs, row, was_lost=was_lost)

    async def aenqueue(
        self,
        jobs: Sequence[NewJob],
        into: Any,
        limits: Mapping[str, Queue] = NO_LIMITS,
        now: float | None = None,
        batches: Sequence[BatchPart] = (),
    ) -> list[Enqueued]:
        """See Backend. `into`: as in `enqueue`, or a psycopg.AsyncConnection, or one of SQLAlchemy on one."""
        if not jobs and not batches:
            return []
        limits = {job.queue: limits[job.queue] for job in jobs if job.queue in limits}
        written = await self._callers.aenqueue(into, jobs, Jobs.of(jobs), limits, now, batches)
        return _answers(jobs, await in_thread(self._within, written, now))

    def batches(self, ids: Sequence[str]) -> list[Batch | None]:
        """See Backend."""
        found = {row[0]: batch_of(row) for row in self._rows("batches", {"ids": list(ids)})}
        return [found.get(id_) for id_ in ids]

    def latest_batches(self, limit: int = 50) -> list[Batch]:
        """See Backend."""
        return [batch_of(row) for row in self._rows("batches_latest", {"limit": limit})]

    def step(self, step: Step, now: float | None = None) -> StepReply:
        """See Backend."""
        named = {
            "worker": step.worker,
            "seq": Int8(step.seq),
            "parts": parts_of(step),
            "started": started_of(step.started),
            "progress": progress_of(step.progress),
            "wants": wants_of(step.wants),
            "most": step.most,
            "room": step.room,
            "now": now,
        }
        rows = self._rows("step", named)
        refused, cancelled, more, rings = rows[-1][14:]
        claimed = tuple(map(claim_of, rows[:-1]))
        if claimed:
            self._waits.holds(step.worker)
        self._tell_of(rings)
        return StepReply(refused=tuple(refused or ()), claimed=claimed, cancelled=tuple(cancelled or ()), more=more)

    def extend(self, worker: str, seq: int, claims: Sequence[ClaimRef], now: float | None = None) -> Extended:
        """See Backend."""
        ids, tokens = [claim.id for claim in claims], [claim.token for claim in claims]
        named = {"worker": worker, "seq": Int8(seq), "ids": ids, "tokens": tokens, "now": now}
        lost, cancelled, rings = self._row("extend", named)
        self._tell_of(rings)
        return Extended(lost=tuple(lost or ()), cancelled=tuple(cancelled or ()))

    def rescue(self, worker: str, dead: Sequence[str], limit: int = 100) -> list[Claim]:
        """See Backend."""
        named = {"worker": worker, "dead": list(dead), "limit": limit}
        claims = [claim_of(row, started=row[14], lost_worker=row[15]) for row in self._rows("rescue", named)]
        if claims:
            self._waits.holds(worker)
            self._bells.ring(JOBS)
        return claims

    def wait(
        self, worker: str, wants: Sequence[Want], timeout_s: float, cancels: int = 0, now: float | None = None
    ) -> Wakeup:
        """See Backend."""
        began, named = time.monotonic(), {"worker": worker, "wants": wants_of(wants)}

        def look() -> Look:
            moment = None if now is None else now + time.monotonic() - began
            has_work, asked, next_in_s, holds, workers = self._row("look", {**named, "now": moment})
            return Look(has_work, asked, inf if next_in_s is None else next_in_s, holds, workers)

        if self._ear is not None:
            self._ear.start()
        return self._waits.wait(worker, wants, timeout_s, cancels, self._hears, look)

    def rouse(self, name: str) -> None:
        """See Backend."""
        self._bells.call(name)

    def watch(
        self, revisions: Mapping[str, int], timeout_s: float, now: float | None = None, watcher: str = ""
    ) -> list[JobSummary]:
        """See Backend."""
        named = {"ids": list(revisions), "revisions": list(revisions.values())}

        def look() -> list[JobSummary]:
            return [summary_of(row) for row in self._rows("watch", named)]

        return watch(self._bells, watcher, timeout_s, look, is_for_nothing=not revisions)

    def get(self, ids: Sequence[str], now: float | None = None) -> list[Job | None]:
        """See Backend."""
        if not ids:
            return []
        found = {row[1]: job_of(row) for row in self._rows("get", {"ids": sorted(set(ids))})}
        return [found.get(id_) for id_ in ids]

    def find(self, filter: Filter, after: str | None = None, limit: int = 50, now: float | None = None) -> Page:
        """See Backend."""
        named = {
            "after": _NEWEST if after is None else _cursor(after),
            "states": None if filter.states is None else sorted(filter.states),
            "task": filter.task,
            "queue": filter.queue,
            "tag": filter.tag,
            "batch": filter.batch,
            "limit": limit + 1,
        }
        rows = self._rows("find" if filter.batch is None else "find_batch", named)
        is_last = len(rows) <= limit
        rows = rows[:limit]
        return Page(jobs=tuple(map(summary_of, rows)), next=None if is_last else str(rows[-1][0]))

    def find_key(self, task: str, key: str) -> str | None:
        """See Backend."""
        rows = self._rows("find_key", {"task": task, "key": key})
        return rows[0][0] if rows else None

    def places(self, ids: Sequence[str], most: int = PLACES, now: float | None = None) -> list[int | None]:
        """See Backend."""
        found = dict(self._rows("places", {"ids": sorted(set(ids)), "most": most})) if ids else {}
        return [found.get(id_) for id_ in ids]

    def ended(self, queue: str, limit: int = 100, now: float | None = None) -> list[Ended]:
        """See Backend."""
        rows = self._rows("ended", {"queue": queue, "limit": limit, "looked": limit + PASSED_OVER})
        return [
            Ended(task=task, started_at=started_at, finished_at=finished_at, state=State(state))
            for task, started_at, finished_at, state in rows
        ]

    def cancel(self, ids: Sequence[str], reason: str = "", now: float | None = None) -> list[State | None]:
        """See Backend."""
        if not ids:
            return []
        named = {"ids": list(ids), "reason": without_nul(reason), "now": now}
        states, workers, rings = self._row("cancel", named)
        self._tell_of(rings)
        self._hint({cancel_bell(worker) for worker in workers or ()})
        return [None if state is None else State(state) for state in states]

    def retry(self, ids: Sequence[str], change: Change | None = None, now: float | None = None) -> list[bool]:
        """See Backend."""
        change = change or Change()
        named = {
            "ids": list(ids),
            "args": None if change.args is None else change.args.decode(),
            "queue": change.queue,
            "priority": change.priority,
            "delay_s": change.delay_s,
            "now": now,
        }
        if not ids:
            return []
        retried, rings = self._row("retry", named, is_repeatable=False)
        self._tell_of(rings)
        return retried

    def gates(self, now: float | None = None) -> list[Gate]:
        """See Backend."""
        return [
            Gate(scope=scope, kind=kind, reason=reason, until=until, since=since)
            for scope, kind, reason, until, since in self._rows("gates", {"now": now})
        ]

    def meters(self, scopes: Sequence[str]) -> dict[str, Meter]:
        """See Backend."""
        found = {row[0]: meter_of(row) for row in self._rows("meters", {"scopes": list(scopes)})}
        return {scope: found.get(scope) or Meter() for scope in scopes}

    def adjust(self, scope: str, control: Control | None) -> None:
        """See Backend."""
        self._row("adjust", {"scope": scope, "override": None if control is None else codec.encode(control).decode()})
        self._hint({EVERY_QUEUE})

    def schedules(self, keys: Sequence[str]) -> dict[str, ScheduleState]:
        """See Backend."""
        rows = self._rows("schedules", {"keys": list(keys)})
        found = {key: ScheduleState(last=last, is_paused=is_paused) for key, last, is_paused in rows}
        return {key: found.get(key, ScheduleState()) for key in keys}

    def fire(self, key: str, due: float, job: NewJob | None, now: float | None = None) -> bool:
        """See Backend."""
        wanted = None if job is None else Jobs.of([job])
        rung: Sequence[str] = ()

        def write(line: Line) -> bool:
            nonlocal rung
            with line.transaction():
                row = line.execute(self._sql("schedule_fire"), {"key": key, "due": due, "now": now}).fetchone()
                if row is not None and wanted is not None:
                    rung = self._enqueue(line, wanted, now, is_alone=False)[2] or ()
                return row is not None

        is_fired = self._pool.run(write)
        if is_fired and job is not None:
            self._tell_of(rung)
        return is_fired

    def pause_schedule(self, key: str, is_paused: bool) -> None:
        """See Backend."""
        self._row("schedule_pause", {"key": key, "is_paused": is_paused})

    def shut(self, gate: Gate, now: float | None = None) -> None:
        """See Backend."""
        named = {**msgspec.structs.asdict(gate), "reason": without_nul(gate.reason), "now": now}
        if gate.scope.startswith("breaker:"):
            self._row("turn_breaker", {**named, "is_open": True})
        else:
            self._row("shut", named)

    def open(self, scope: str, now: float | None = None) -> bool:
        """See Backend."""
        named = {"scope": scope, "now": now}
        if scope.startswith("breaker:"):
            named |= {"is_open": False, "reason": "", "until": None}
        verb = "turn_breaker" if scope.startswith("breaker:") else "open_gate"
        was_shut: bool = self._row(verb, named, is_repeatable=False)[0]
        self._hint({EVERY_QUEUE})
        return was_shut

    def publish(self, worker: WorkerInfo, manifest: Manifest, now: float | None = None) -> None:
        """See Backend."""
        specs = manifest.by_name()
        named = {
            "worker": worker.id,
            "info": codec.encode(worker).decode(),
            "lease_s": worker.lease_s,
            "tasks": list(specs),
            "specs": [codec.encode(spec).decode() for spec in specs.values()],
            "pers": [spec.controls.per if spec.controls else None for spec in specs.values()],
            "gates": [codec.encode(list(spec.controls)).decode() if spec.controls else None for spec in specs.values()],
            "now": now,
        }
        self._row("publish", named)

    def leave(self, worker: str, now: float | None = None) -> None:
        """See Backend."""
        self._tell_of(self._row("leave", {"worker": worker, "now": now})[0])

    def workers(self, now: float | None = None) -> list[WorkerView]:
        """See Backend."""
        return [
            WorkerView(
                info=_info.decode(info), tasks=tuple(tasks), seen_at=seen_at, lease_until=lease_until, running=running
            )
            for info, tasks, seen_at, lease_until, running in self._rows("workers", {})
        ]

    def published(self, names: Sequence[str] | None = None) -> dict[str, TaskSpec]:
        """See Backend."""
        rows = self._rows("published", {"tasks": None if names is None else list(names)})
        return {task: _spec.decode(spec) for task, spec in rows}

    def stats(self, now: float | None = None) -> list[QueueStats]:
        """See Backend."""
        return stats_of(self._row("stats", {"now": now}))

    def purge(self, retention: Retention, limit: int = 1000, now: float | None = None) -> int:
        """See Backend."""
        named = {**msgspec.structs.asdict(retention), "limit": limit, "now": now}
        return self._row("purge", named, is_repeatable=False)[0]

    def audit(self) -> list[str]:
        """See Backend."""
        return [row[0] for row in self._rows("audit", {})]

    def doubts(self) -> list[str]:
        """See Backend."""
        return doubts(self._setup(), self._is_pooler_known)

    def setup(self) -> list[tuple[str, str, str]]:
        """See Backend."""
        return explained(self._setup())

    def close(self) -> None:
        """See Backend."""
        self._bells.close()
        if self._ear is not None:
            self._ear.close()
        self._pool.close()

    def _setup(self) -> Setup:
        return self._pool.run(lambda line: setup_of(line, self._sql), needs_schema=False)

    def _rows(self, name: str, named: Mapping[str, Any], *, is_repeatable: bool = True) -> list[Row]:
        text = self._sql(name)
        return self._pool.run(
            lambda line: line.execute(text, named, binary=True).fetchall(), is_repeatable=is_repeatable
        )

    def _row(self, name: str, named: Mapping[str, Any], *, is_repeatable: bool = True) -> Row:
        return self._rows(name, named, is_repeatable=is_repeatable)[0]

    def _write(self, write: Callable[[Line], T]) -> tuple[T, bool]:
        """What comes of writing jobs, and whether the reply to a try before was lost."""
        was_lost = False

        def attempt(line: Line) -> T:
            nonlocal was_lost
            try:
                return write(line)
            except psycopg.OperationalError:
                was_lost = True
                raise

        return self._pool.run(attempt), was_lost

    def _put(self, job: dict[str, object], now: float | None) -> Enqueued:
        """Write one plain job. The server tells sleepers of it, if they may be told again."""
        bell = queue_bell(str(job["queue"]))
        channel = self._sql.schema if self._hints.may_pass(bell) else None
        named = {**job, "now": now, "channel": channel}
        (is_written, rings), was_lost = self._write(lambda line: line.ask(self._sql("put"), named))
        self._bells.ring(JOBS)
        if rings:
            self._bells.ring(bell)
            if channel is not None:
                self._hints.passes({bell})
        return Enqueued(str(job["id"]), is_written or was_lost)

    def _enqueue(self, line: psycopg.Connection[Any], wanted: Jobs, now: float | None, *, is_alone: bool) -> Row:
        named = {**wanted.parameters(), "now": now, "is_alone": is_alone}
        return _one(line.execute(self._sql("enqueue"), named, binary=True))

    def _within(self, written: Row | Over, now: float | None) -> Row:
        """What was written. Raises QueueFull where that was nothing."""
        if not isinstance(written, Over):
            return written
        moment = self._pool.run(lambda line: _one(line.execute(self._sql("clock"), {"now": now}))[0])
        raise full(written, self.ended(written.queue.name, ENDS), moment)

    def _hears(self) -> bool:
        return self._ear is not None and self._ear.hears

    def _tell_of(self, queues: Sequence[str] | None) -> None:
        """These queues have work again; and in any case jobs have changed."""
        self._bells.ring(JOBS)
        if queues:
            self._hint({queue_bell(queue) for queue in queues if queue})

    def _hint(self, bells: set[str]) -> None:
        """Wake the sleepers of this process, and those of others, but not too often."""
        for bell in bells:
            self._bells.ring(bell)
        may = self._hints.passes(bells)
        if may:  # also where this process does not listen itself: others do
            try:
                self._tell(may)
            except Exception:  # noqa: BLE001 - a hint; whoever misses it looks by itself
                pass

    def _tell(self, bells: list[str]) -> None:
        self._rows("ring", {"channel": self._sql.schema, "bells": bells})


def _answers(jobs: Sequence[NewJob], written: Row, *, was_lost: bool = False) -> list[Enqueued]:
    """was_lost: a reply to this very call was, so that what is there by its own id is what it has written."""
    places, ids = written[:2]
    answers = [Enqueued(job.id, True) for job in jobs]
    for place, there in zip(places or (), ids or (), strict=True):
        answers[place - 1] = Enqueued(there, was_lost and there == jobs[place - 1].id)
    return answers


def _one(cursor: psycopg.Cursor[Any]) -> Row:
    row = cursor.fetchone()
    assert row is not None
    return row


def _cursor(text: str) -> int:
    return int(text) if text.isdigit() else 0
