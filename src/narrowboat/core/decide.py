"""From how an attempt ended to what becomes of the job."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from .job import Claim, NewJob
from .outcome import Cancelled, Crashed, ErrorInfo, Failed, Outcome, Released, Snoozed, Succeeded, Unreadable
from .retry import RetryPolicy, backoff_s
from .states import State

LEAVE_S = 2.0  # a job that this version cannot read is left so long for another, then twice as long, ...
LEAVE_LONGEST_S = 60.0
LEAVE_MOST = 1440  # times, about a day


class Settlement(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The end of a claim. `to` is the next state; `outcome` is what is written into the history.

    failed adds 1 to `errors`, crashed to `crashes`, snoozed to `snoozes`; released changes no count.
    """

    id: str
    token: int
    to: State
    outcome: str
    delay_s: float = 0.0  # for to == scheduled
    result: bytes = b""
    error: ErrorInfo | None = None
    reason: str = ""  # for dead and cancelled, one line
    started_ago_s: float = 0.0  # how long before this step the attempt began, unless a start was reported
    logs: tuple[str, ...] = ()
    enqueue: tuple[NewJob, ...] = ()


def decide(claim: Claim, outcome: Outcome, policy: RetryPolicy, rng: Callable[[], float]) -> Settlement:
    """What becomes of a job after this outcome, under this policy. Pure; the worker adds times and logs."""
    match outcome:
        case Succeeded(result):
            return Settlement(id=claim.id, token=claim.token, to=State.SUCCEEDED, outcome="succeeded", result=result)
        case Snoozed(delay_s):
            return _settle(claim, State.SCHEDULED, "snoozed", delay_s=delay_s)
        case Cancelled(reason):
            return _settle(claim, State.CANCELLED, "cancelled", reason=reason)
        case Released(reason):
            return _settle(claim, State.QUEUED, "released", reason=reason)
        case Unreadable(error) if claim.snoozes < LEAVE_MOST:
            wait = min(LEAVE_LONGEST_S, LEAVE_S * 2 ** min(claim.snoozes, 16))
            return _settle(claim, State.SCHEDULED, "snoozed", error=error, delay_s=wait)
        case Unreadable(error):
            return _settle(claim, State.DEAD, "failed", error=error, reason=error.in_one_line())
        case Failed(error, retry, delay_s):
            errors = claim.errors + 1
            if not retry:
                return _settle(claim, State.DEAD, "failed", error=error, reason=error.in_one_line())
            if errors + claim.crashes >= policy.attempts:
                return _settle(claim, State.DEAD, "failed", error=error, reason=error.in_one_line())
            wait = backoff_s(policy, errors + claim.crashes, rng) if delay_s is None else delay_s
            return _settle(claim, State.SCHEDULED, "failed", error=error, delay_s=wait)
        case Crashed(cause, detail, is_final):
            crashes = claim.crashes + 1
            error = ErrorInfo(type="crash", message=cause, traceback=detail).bounded()
            if is_final or crashes >= policy.crashes or crashes + claim.errors >= policy.attempts:
                return _settle(claim, State.DEAD, "crashed", error=error, reason=f"crashed: {cause}"[:300])
            wait = backoff_s(policy, crashes + claim.errors, rng)
            return _settle(claim, State.SCHEDULED, "crashed", error=error, delay_s=wait)


def _settle(
    claim: Claim,
    to: State,
    outcome: str,
    *,
    delay_s: float = 0.0,
    error: ErrorInfo | None = None,
    reason: str = "",
) -> Settlement:
    return Settlement(
        id=claim.id, token=claim.token, to=to, outcome=outcome, delay_s=delay_s, error=error, reason=reason
    )
