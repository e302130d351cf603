"""From rows to values."""

from __future__ import annotations

from typing import Any

import msgspec

from ...core import codec
from ...core.batch import Batch
from ...core.controls import Control, Meter
from ...core.job import Attempt, Claim, Job, JobSummary, Progress
from ...core.outcome import ErrorInfo
from ...core.states import State
from ..base import Gate, QueueStats, WorkerInfo

_progress = msgspec.json.Decoder(Progress)
_error = msgspec.json.Decoder(ErrorInfo)
_texts = msgspec.json.Decoder(tuple[str, ...])
_attempts = msgspec.json.Decoder(list[tuple[int, str, str, float, float, str | None, str]])
_counts = msgspec.json.Decoder(list[tuple[str, int, int, int, int, int, int]])
_ages = msgspec.json.Decoder(list[tuple[str, float]])
_pairs = msgspec.json.Decoder(list[tuple[str, str]])
_gates = msgspec.json.Decoder(list[tuple[str, str, str, float | None, float]])
_info = msgspec.json.Decoder(WorkerInfo)
_control: msgspec.json.Decoder[Control] = msgspec.json.Decoder(Control)
_COUNTED = (State.SCHEDULED, State.QUEUED, State.RUNNING, State.SUCCEEDED, State.DEAD, State.CANCELLED)
_STATES = {state.value: state for state in State}
_LISTED = 22  # columns of `summary`


def claim_of(row: tuple[Any, ...], started: bool = False, lost_worker: str = "") -> Claim:
    """A row of step.sql or rescue.sql."""
    return Claim(
        id=row[0],
        task=row[1],
        queue=row[2],
        token=row[3],
        args=row[4].encode(),
        priority=row[5],
        errors=row[6],
        crashes=row[7],
        snoozes=row[8],
        started=started,
        lost_worker=lost_worker,
        enqueued_at=row[9],
        headers=codec.decode(row[10].encode()) if row[10] != "{}" else {},
        tags=_texts.decode(row[11]) if row[11] != "[]" else (),
        version=row[12],
        shape=row[13],
    )


def summary_of(row: tuple[Any, ...]) -> JobSummary:
    """A row of the view `summary`."""
    return JobSummary(**_summary_fields(row))


def job_of(row: tuple[Any, ...]) -> Job:
    """A row of get.sql."""
    args, headers, result, lane_key, batch, attempts = row[_LISTED:]
    return Job(
        **_summary_fields(row),
        args=args.encode(),
        headers=codec.decode(headers.encode()),
        result=(result or "").encode(),
        lane_key=lane_key,
        batch=batch or "",
        history=tuple(map(_attempt, _attempts.decode(attempts))) if attempts else (),
    )


def batch_of(row: tuple[Any, ...]) -> Batch:
    """A row of batches.sql."""
    return Batch(**dict(zip(Batch.__struct_fields__, row, strict=True)))


def stats_of(row: tuple[Any, ...]) -> list[QueueStats]:
    """The row of stats.sql: every queue with jobs, a gate or a live worker, by name."""
    counted, oldest, unknown, workers, shut = row
    counts = {queue: {s: n for s, n in zip(_COUNTED, ns, strict=True) if n} for queue, *ns in _counts.decode(counted)}
    ages = dict(_ages.decode(oldest))
    unknowns = _pairs.decode(unknown)
    live = [_info.decode(info) for info in workers]
    gates = [
        Gate(scope=gate[0], kind=gate[1], reason=gate[2], until=gate[3], since=gate[4]) for gate in _gates.decode(shut)
    ]
    names = {queue for queue, found in counts.items() if found} | {name for info in live for name in info.queues}
    names |= {gate.scope.removeprefix("queue:") for gate in gates if gate.scope.startswith("queue:")}
    return [
        QueueStats(
            queue=name,
            counts=counts.get(name, {}),
            oldest_waiting_s=ages.get(name),
            workers=sum(name in info.queues for info in live),
            gates=tuple(gate for gate in gates if gate.scope == f"queue:{name}"),
            unknown_tasks=tuple(task for queue, task in unknowns if queue == name),
        )
        for name in sorted(names)
    ]


def meter_of(row: tuple[Any, ...]) -> Meter:
    """A row of meters.sql."""
    _, full_at, running, until, since, probe, reason, failures, history_at, history, override = row
    return Meter(
        full_at=full_at,
        running=running,
        until=until,
        since=since,
        probe=probe,
        reason=reason,
        failures=tuple(failures),
        history=tuple(zip(history_at, history, strict=True)),
        override=_control.decode(override) if override else None,
    )


def _attempt(row: tuple[int, str, str, float, float, str | None, str]) -> Attempt:
    number, outcome, worker, started_at, ended_at, error, logs = row
    return Attempt(
        number=number,
        outcome=outcome,
        worker=worker,
        started_at=started_at,
        ended_at=ended_at,
        error=_error.decode(error) if error else None,
        logs=_texts.decode(logs),
    )


def _summary_fields(row: tuple[Any, ...]) -> dict[str, Any]:
    return {
        "id": row[1],
        "task": row[2],
        "queue": row[3],
        "state": _STATES[row[4]],
        "priority": row[5],
        "revision": row[6],
        "errors": row[7],
        "crashes": row[8],
        "snoozes": row[9],
        "enqueued_at": row[10],
        "due_at": row[11],
        "started_at": row[12],
        "finished_at": row[13],
        "worker": row[14],
        "key": row[15],
        "summary": row[16],
        "tags": _texts.decode(row[17]),
        "progress": _progress.decode(row[18]) if row[18] else None,
        "reason": row[19],
        "is_cancel_asked": row[20],
        "client": row[21],
    }
