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


def claim_of(row: Any, lost_worker: str = "", started: bool = False) -> Claim:
    """A row of claimed.sql, or of rescue.sql without its last column."""
    _, id_, task, queue, token, args, priority, errors, crashes, snoozes, enqueued_at, headers, tags, version = row
    return Claim(
        id=id_,
        task=task,
        queue=queue,
        token=token,
        args=args,
        priority=priority,
        errors=errors,
        crashes=crashes,
        snoozes=snoozes,
        started=started,
        lost_worker=lost_worker,
        enqueued_at=enqueued_at,
        headers=codec.decode(headers) if headers != "{}" else {},
        tags=_texts.decode(tags) if tags != "[]" else (),
        version=version,
    )


def summary_of(row: Any) -> JobSummary:
    """A row of the view `summary`."""
    return JobSummary(**_summary_fields(row))


def job_of(row: Any, history: tuple[Attempt, ...]) -> Job:
    """A row of get.sql."""
    args, headers, result, lane_key = row[22:26]
    fields = _summary_fields(row)
    return Job(
        **fields, args=args, headers=codec.decode(headers), result=result or b"", lane_key=lane_key, history=history
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
    }
