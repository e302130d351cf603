"""What an executor says, cut down to what may be believed: bounded text, finite numbers, results that are JSON."""

from __future__ import annotations

import math

import msgspec

from ..core.codec import decode
from ..core.job import MAX_PAYLOAD, Progress
from ..core.outcome import MAX_TRACEBACK, Cancelled, Crashed, Failed, Outcome, Released, Snoozed, Succeeded
from .executors import ProtocolViolation

LONGEST_DELAY_S = 366 * 86_400.0


def believable(outcome: Outcome) -> Outcome:
    """The outcome within its bounds. Raises ProtocolViolation for a result that is too large or no JSON."""
    match outcome:
        case Succeeded(b""):
            return outcome
        case Succeeded(result):
            if len(result) > MAX_PAYLOAD:
                raise ProtocolViolation("a result over the size limit")
            try:
                decode(result)
            except (msgspec.DecodeError, RecursionError) as error:
                raise ProtocolViolation("a result that is not JSON") from error
            return outcome
        case Failed(error, retry, delay_s):
            return Failed(error.bounded(), retry, None if delay_s is None else _delay(delay_s))
        case Snoozed(delay_s):
            return Snoozed(_delay(delay_s))
        case Cancelled(reason):
            return Cancelled(reason[:300])
        case Crashed(cause, detail):
            return Crashed(cause[:300], detail[-MAX_TRACEBACK:])
        case Released(reason):
            return Released(reason[:300])


def believable_progress(progress: Progress) -> Progress:
    """Finite numbers and a short text."""
    return Progress(_finite(progress.done), _finite(progress.total), progress.message[:200])


def _delay(value: float) -> float:
    return min(LONGEST_DELAY_S, max(0.0, _finite(value)))


def _finite(value: float) -> float:
    return value if math.isfinite(value) else 0.0
