"""From replies to values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from ...core.batch import Batch
from ...core.job import Attempt, Claim, Ended, Job, JobSummary, Progress
from ...core.outcome import ErrorInfo
from ...core.states import FINAL, State
from .words import About

Bytes = bytes | None
_about = msgspec.json.Decoder(About).decode
_progress = msgspec.json.Decoder(Progress).decode
_STATES = {state.value.encode(): state for state in State}
_PLAIN, _NEVER = About(), (0, 0, 0)

# What a summary is made of.
SUMMARY = (
    "state",
    "queue",
    "task",
    "about",
    "priority",
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


def claims_of(groups: Sequence[Sequence[Any]]) -> tuple[Claim, ...]:
    """The claims of step.lua: groups of {queue, task, priority, words of each claim...}, what they share read once."""
    claims: list[Claim] = []
    for group in groups:
        queue, task, priority = group[0].decode(), group[1].decode(), group[2]
        packed, about = None, _PLAIN
        words = iter(group[3:])
        for id_, token, args, again_packed, enqueued_at, again in zip(*[words] * 6, strict=True):
            if again_packed != packed:
                packed, about = again_packed, _about(again_packed) if again_packed else _PLAIN
            errors, crashes, snoozes = [int(n or 0) for n in again] if again else _NEVER
            claims.append(
                Claim(
                    id=id_.decode(),
                    task=task,
                    queue=queue,
                    token=token,
                    args=args,
                    priority=priority,
                    errors=errors,
                    crashes=crashes,
                    snoozes=snoozes,
                    enqueued_at=float(enqueued_at),
                    headers=about.headers,
                    tags=about.tags,
                    version=about.version,
                    shape=about.shape,
                )
            )
    return tuple(claims)


def rescued(row: Sequence[Any]) -> Claim:
    """A row of rescue.lua."""
    args, about, enqueued_at, errors, crashes, snoozes, started_at, id_, token, priority, queue, task, lost = row
    [claim] = claims_of([(queue, task, priority, id_, token, args, about, enqueued_at, (errors, crashes, snoozes))])
    return msgspec.structs.replace(claim, started=started_at is not None, lost_worker=lost.decode())


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
        batch=_text(fields.get("batch")),
        history=tuple(Attempt(**msgspec.structs.asdict(_attempt(line))) for line in history),
    )


def batch_of(id_: str, row: Sequence[Any]) -> Batch | None:
    """A row of batches.lua."""
    total, succeeded, dead, cancelled, when, is_sealed, created_at, changed_at, finished_at, then, summary, is_kept = (
        row
    )
    if total is None:
        return None
    return Batch(
        id=id_,
        total=int(total),
        succeeded=int(succeeded),
        dead=int(dead),
        cancelled=int(cancelled),
        when=when.decode(),
        is_sealed=is_sealed == b"1",
        created_at=float(created_at),
        changed_at=float(changed_at),
        finished_at=_number(finished_at),
        then=then.decode(),
        summary=summary.decode(),
        is_kept=is_kept == b"1",
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
        "revision": int(fields.get("revision") or 1),
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
