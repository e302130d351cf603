"""From replies to values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from ...core.job import Attempt, Claim, Ended, Job, JobSummary, Progress
from ...core.outcome import ErrorInfo
from ...core.states import FINAL, State
from .words import About

Bytes = bytes | None
_about = msgspec.json.Decoder(About).decode
_progress = msgspec.json.Decoder(Progress).decode
_STATES = {state.value.encode(): state for state in State}
_PLAIN = About()

# What a summary is made of. The first four are what `find` filters by.
SUMMARY = (
    "state",
    "queue",
    "task",
    "about",
    "priority",
    "order",
    "revision",
    "errors",
    "crashes",
    "snoozes",
    "enqueued_at",
    "due_at",
    "started_at",
    "finished_at",
    "worker",
    "key",
    "summary",
    "progress",
    "reason",
    "cancel",
    "client",
)


class StoredAttempt(msgspec.Struct):
    """One line of a history."""

    number: int
    outcome: str
    worker: str
    started_at: float
    ended_at: float
    error: ErrorInfo | None = None
    logs: tuple[str, ...] = ()


_attempt = msgspec.json.Decoder(StoredAttempt).decode


def claim_of(row: Sequence[Any]) -> Claim:
    """A row of step.lua."""
    args, about, enqueued_at, errors, crashes, snoozes, _, _, id_, token, priority, queue, lane = row
    return _claim(args, about, enqueued_at, errors, crashes, snoozes, id_, token, priority, queue, lane)


def rescued(row: Sequence[Any]) -> Claim:
    """A row of rescue.lua."""
    args, about, enqueued_at, errors, crashes, snoozes, started_at, id_, token, priority, queue, lane, lost = row
    claim = _claim(args, about, enqueued_at, errors, crashes, snoozes, id_, token, priority, queue, lane)
    return msgspec.structs.replace(claim, started=started_at is not None, lost_worker=lost.decode())


def _claim(
    args: bytes,
    about: Bytes,
    enqueued_at: bytes,
    errors: Bytes,
    crashes: Bytes,
    snoozes: Bytes,
    id_: bytes,
    token: int,
    priority: int,
    queue: bytes,
    lane: bytes,
) -> Claim:
    more = _about(about) if about else _PLAIN
    return Claim(
        id=id_.decode(),
        task=lane.decode().partition(":")[0],
        queue=queue.decode(),
        token=token,
        args=args,
        priority=priority,
        errors=int(errors or 0),
        crashes=int(crashes or 0),
        snoozes=int(snoozes or 0),
        enqueued_at=float(enqueued_at),
        headers=more.headers,
        tags=more.tags,
        version=more.version,
        shape=more.shape,
    )


def summary_of(id_: bytes, values: Sequence[Bytes]) -> JobSummary:
    """A job by its id and the values of SUMMARY."""
    return JobSummary(**_shown(id_.decode(), dict(zip(SUMMARY, values, strict=True))))


def job_of(id_: str, flat: Sequence[bytes], history: Sequence[bytes]) -> Job | None:
    """A row of get.lua."""
    if not flat:
        return None
    fields: dict[str, Bytes] = {name.decode(): value for name, value in zip(flat[::2], flat[1::2], strict=True)}
    packed = fields.get("about")
    about = _about(packed) if packed else _PLAIN
    return Job(
        **_shown(id_, fields),
        args=fields.get("args") or b"{}",
        headers=about.headers,
        result=fields.get("result") or b"",
        lane_key=_text(fields.get("lane_key")),
        history=tuple(Attempt(**msgspec.structs.asdict(_attempt(line))) for line in history),
    )


def ended_of(row: Sequence[Any]) -> Ended:
    """A row of ended.lua."""
    id_, task, started_at, finished_at, state, _ = row
    return Ended(
        task=_text(task) or task_of(id_.decode()),
        started_at=float(started_at),
        finished_at=float(finished_at),
        state=_STATES[state],
    )


def task_of(id_: str) -> str:
    """The task that an id names: what stands before its last colon."""
    return id_.rpartition(":")[0]


def state_of(name: bytes) -> State:
    """A state by its name."""
    return _STATES[name]


def _shown(id_: str, fields: dict[str, Bytes]) -> dict[str, Any]:
    state = _STATES[fields["state"] or b""]
    about, progress, key = fields.get("about"), fields.get("progress"), fields.get("key")
    return {
        "id": id_,
        "task": _text(fields.get("task")) or task_of(id_),
        "queue": _text(fields["queue"]),
        "state": state,
        "priority": int(fields.get("priority") or 0),
        "revision": int(fields.get("revision") or fields.get("order") or 0),
        "errors": int(fields.get("errors") or 0),
        "crashes": int(fields.get("crashes") or 0),
        "snoozes": int(fields.get("snoozes") or 0),
        "enqueued_at": float(fields.get("enqueued_at") or 0),
        "due_at": _number(fields.get("due_at")) if state is State.SCHEDULED else None,
        "started_at": _number(fields.get("started_at")),
        "finished_at": _number(fields.get("finished_at")) if state in FINAL else None,
        "worker": _text(fields.get("worker")),
        "key": None if key is None else key.decode(),
        "summary": _text(fields.get("summary")),
        "tags": _about(about).tags if about else (),
        "progress": _progress(progress) if progress else None,
        "reason": _text(fields.get("reason")),
        "is_cancel_asked": fields.get("cancel") is not None,
        "client": _text(fields.get("client")),
    }


def _text(value: Bytes) -> str:
    return "" if value is None else value.decode()


def _number(value: Bytes) -> float | None:
    return None if value is None else float(value)
