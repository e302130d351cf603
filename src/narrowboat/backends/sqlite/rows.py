"""From rows to values."""

from __future__ import annotations

from typing import Any

import msgspec

from ...core import codec
from ...core.job import Attempt, Claim, Job, JobSummary, Progress
from ...core.outcome import ErrorInfo
from ...core.states import State

_progress = msgspec.json.Decoder(Progress)
_error = msgspec.json.Decoder(ErrorInfo)
_texts = msgspec.json.Decoder(tuple[str, ...])
_STATES = {state.value: state for state in State}


class ClaimRow(msgspec.Struct, array_like=True):
    """An array of claimed.sql or rescue.sql."""

    id: str
    task: str
    queue: str
    token: int
    args: str
    priority: int
    errors: int
    crashes: int
    snoozes: int
    enqueued_at: str
    headers: str
    tags: str
    version: int
    shape: str = ""
    started: int = 0


class Held(msgspec.Struct, array_like=True):
    """An array of held.sql: a running job as its settlement needs it."""

    ord: int
    id: str
    lane: int
    queue: str
    errors: int
    crashes: int
    snoozes: int
    started: str | None
    cancel: str | None
    ran_by: str
    token: int
    task: str
    passed: str | None
    batch: str | None = None

    @property
    def started_at(self) -> float | None:
        """When the attempt began, if that was reported."""
        return None if self.started is None else float(self.started)


claim_rows = msgspec.json.Decoder(list[ClaimRow]).decode
claim_row = msgspec.json.Decoder(ClaimRow).decode
held_rows = msgspec.json.Decoder(list[Held]).decode


def claim_of(row: ClaimRow, lost_worker: str = "") -> Claim:
    """The claim of a row."""
    return Claim(
        id=row.id,
        task=row.task,
        queue=row.queue,
        token=row.token,
        args=row.args.encode(),
        priority=row.priority,
        errors=row.errors,
        crashes=row.crashes,
        snoozes=row.snoozes,
        started=bool(row.started),
        lost_worker=lost_worker,
        enqueued_at=float(row.enqueued_at),
        headers=codec.decode(row.headers.encode()) if row.headers != "{}" else {},
        tags=_texts.decode(row.tags) if row.tags != "[]" else (),
        version=row.version,
        shape=row.shape,
    )


def summary_of(row: Any) -> JobSummary:
    """A row of the view `summary`."""
    return JobSummary(**_summary_fields(row))


def job_of(row: Any, history: tuple[Attempt, ...]) -> Job:
    """A row of get.sql."""
    args, headers, result, lane_key, batch = row[23:28]
    fields = _summary_fields(row)
    return Job(
        **fields,
        args=args,
        headers=codec.decode(headers),
        result=result or b"",
        lane_key=lane_key,
        batch=batch or "",
        history=history,
    )


def attempt_of(row: Any) -> Attempt:
    """A row of history.sql."""
    _, number, outcome, worker, started_at, ended_at, error, logs = row
    return Attempt(
        number=number,
        outcome=outcome,
        worker=worker,
        started_at=started_at,
        ended_at=ended_at,
        error=_error.decode(error) if error else None,
        logs=_texts.decode(logs),
    )


def _summary_fields(row: Any) -> dict[str, Any]:
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
        "is_cancel_asked": bool(row[20]),
        "client": row[22],
    }
