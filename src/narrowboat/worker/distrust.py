"""What an executor says, cut down to what may be believed: bounded text, finite numbers, results that are JSON."""

from __future__ import annotations

import math

from ..core.codec import UNREADABLE, decode
from ..core.controls import SLOWEST_S
from ..core.errors import BadArguments
from ..core.file import refs_in
from ..core.ids import task_of
from ..core.job import MAX_PAYLOAD, MAX_PRIORITY, MAX_SUMMARY, MIN_PRIORITY, NewJob, Progress
from ..core.outcome import (
    MAX_TRACEBACK,
    Cancelled,
    Crashed,
    Failed,
    Outcome,
    Released,
    SlowedDown,
    Snoozed,
    Succeeded,
    Unreadable,
)
from ..core.queue import MAX_CLIENT
from .executors import ProtocolViolation

LONGEST_DELAY_S = 366 * 86_400.0
LONGEST_NAME = 1000  # characters of a key, a tag, a header


def believable(outcome: Outcome) -> Outcome:
    """The outcome within its bounds. Raises ProtocolViolation for a result that is too large or no JSON."""
    if isinstance(outcome, Succeeded):  # most are, and `match` takes its time
        if outcome.result:
            _check(outcome.result)
        return outcome
    match outcome:
        case Failed(error, retry, delay_s, trips):
            return Failed(error.bounded(), retry, None if delay_s is None else _delay(delay_s), trips)
        case Snoozed(delay_s):
            return Snoozed(_delay(delay_s))
        case SlowedDown(delay_s):
            return SlowedDown(min(_delay(delay_s), SLOWEST_S))
        case Cancelled(reason):
            return Cancelled(reason[:300])
        case Crashed(cause, detail):
            return Crashed(cause[:300], detail[-MAX_TRACEBACK:])  # what is final is for the worker to say
        case Released(reason):
            return Released(reason[:300])
        case Unreadable(error):
            return Unreadable(error.bounded())


def _check(result: bytes) -> None:
    if len(result) > MAX_PAYLOAD:
        raise ProtocolViolation("a result over the size limit")
    try:
        decode(result)
    except UNREADABLE as error:
        raise ProtocolViolation("a result that is not JSON") from error


def believable_job(job: NewJob, allowed: tuple[str, ...]) -> NewJob:
    """A job that a task asks to enqueue. Raises ProtocolViolation for one that `App.enqueue` would not have made."""
    small = [*job.headers, *job.headers.values(), *job.tags, job.lane_key, job.key or "", job.queue]
    due = job.due or 0.0
    is_sound = (
        job.task in allowed
        and task_of(job.id) == job.task
        and 0 < len(job.queue) <= 100
        and MIN_PRIORITY <= job.priority <= MAX_PRIORITY
        and len(job.args) <= MAX_PAYLOAD
        and len(job.summary) <= MAX_SUMMARY
        and len(job.client) <= MAX_CLIENT
        and len(small) <= 200
        and all(len(text) <= LONGEST_NAME for text in small)
        and math.isfinite(due)
        and math.isfinite(job.delay_s)
        and 0 <= job.delay_s <= LONGEST_DELAY_S
        and (job.key_for in ("waiting", "active") if isinstance(job.key_for, str) else math.isfinite(job.key_for))
    )
    if not is_sound:
        raise ProtocolViolation(f"it asked to enqueue {job.id[:200]!r}, which it may not")
    try:
        args = decode(job.args)
        is_sound = isinstance(args, dict) and not any(True for _ in refs_in(args))  # of files it has only copies
    except (*UNREADABLE, BadArguments):
        is_sound = False
    if not is_sound:
        raise ProtocolViolation("it asked to enqueue a job whose arguments are no JSON object, or name a file")
    return job


def believable_progress(progress: Progress) -> Progress:
    """Finite numbers and a short text."""
    return Progress(_finite(progress.done), _finite(progress.total), progress.message[:200])


def _delay(value: float) -> float:
    return min(LONGEST_DELAY_S, max(0.0, _finite(value)))


def _finite(value: float) -> float:
    return value if math.isfinite(value) else 0.0
