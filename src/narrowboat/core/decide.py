"""From how an attempt ended to what becomes of the job."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
from msgspec.structs import replace

from .controls import BreakerSpec, Gated, Meter, RateSpec
from .job import Claim, NewJob
from .outcome import (
    Cancelled,
    Crashed,
    ErrorInfo,
    Failed,
    Outcome,
    Released,
    SlowedDown,
    Snoozed,
    Succeeded,
    Unreadable,
)
from .retry import RetryPolicy, backoff_s
from .states import State
from .units import in_words

_SUCCEEDED = State.SUCCEEDED  # looking up a member takes as long as making a Settlement
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
    trips: bool = False  # a failure of the kinds that open the task's breaker
    slow_s: float = 0.0  # more than 0: so long, nothing under the task's key is to begin


def decide(
    claim: Claim, outcome: Outcome, policy: RetryPolicy, rng: Callable[[], float], age_s: float = 0.0
) -> Settlement:
    """What becomes of a job after this outcome, under this policy. Pure; the worker adds times and logs.

    age_s: since it was enqueued.
    """
    if isinstance(outcome, Succeeded):  # most are, and `match` takes a microsecond
        return Settlement(id=claim.id, token=claim.token, to=_SUCCEEDED, outcome="succeeded", result=outcome.result)
    match outcome:
        case Snoozed(delay_s):
            return _settle(claim, State.SCHEDULED, "snoozed", delay_s=delay_s)
        case SlowedDown(delay_s):
            return _settle(claim, State.SCHEDULED, "snoozed", delay_s=delay_s, slow_s=delay_s)
        case Cancelled(reason):
            return _settle(claim, State.CANCELLED, "cancelled", reason=reason)
        case Released(reason):
            return _settle(claim, State.QUEUED, "released", reason=reason)
        case Unreadable(error) if claim.snoozes < LEAVE_MOST:
            wait = min(LEAVE_LONGEST_S, LEAVE_S * 2 ** min(claim.snoozes, 16))
            return _settle(claim, State.SCHEDULED, "snoozed", error=error, delay_s=wait)
        case Unreadable(error):
            return _settle(claim, State.DEAD, "failed", error=error, reason=error.in_one_line())
        case Failed(error, retry, delay_s, trips):
            errors = claim.errors + 1
            if not retry or errors + claim.crashes >= policy.attempts:
                return _settle(claim, State.DEAD, "failed", error=error, reason=error.in_one_line(), trips=trips)
            wait = backoff_s(policy, errors + claim.crashes, rng) if delay_s is None else delay_s
            if _is_too_old(policy, age_s + wait):
                reason = _too_old(error.in_one_line(), policy)
                return _settle(claim, State.DEAD, "failed", error=error, reason=reason)
            return _settle(claim, State.SCHEDULED, "failed", error=error, delay_s=wait, trips=trips)
        case Crashed(cause, detail, is_final):
            crashes, trips = claim.crashes + 1, cause == "timeout"
            error = ErrorInfo(type="crash", message=cause, traceback=detail).bounded()
            if is_final or crashes >= policy.crashes or crashes + claim.errors >= policy.attempts:
                return _settle(claim, State.DEAD, "crashed", error=error, reason=f"crashed: {cause}"[:300], trips=trips)
            wait = backoff_s(policy, crashes + claim.errors, rng)
            if _is_too_old(policy, age_s + wait):
                return _settle(claim, State.DEAD, "crashed", error=error, reason=_too_old(f"crashed: {cause}", policy))
            return _settle(claim, State.SCHEDULED, "crashed", error=error, delay_s=wait, trips=trips)


def _is_too_old(policy: RetryPolicy, age_s: float) -> bool:
    return policy.max_age_s is not None and age_s > policy.max_age_s


def _too_old(why: str, policy: RetryPolicy) -> str:
    return f"{why[:240]} (not tried again: over {in_words(policy.max_age_s or 0)} old)"


def heed(
    end: Settlement, gates: Sequence[Gated], meter_of: Callable[[str], Meter], snoozes: int, now: float
) -> Settlement:
    """Let the gates that a job went through know how it ended, unless it was released.

    What failed because a service is down is not charged: then another settlement is returned, without the jobs that
    were to be told of the end. meter_of: what a gate remembers, by scope, to be written to.
    """
    for scope, control in gates:
        if isinstance(control, RateSpec) and end.slow_s:
            control.slow_down(meter_of(scope), now + end.slow_s)
        elif isinstance(control, BreakerSpec):
            if not end.trips:
                has_answered = end.outcome in ("succeeded", "failed") or end.slow_s > 0
                control.ended(meter_of(scope), end.id, now, has_answered)
            elif not control.failed(meter_of(scope), end.id, told(end), now):
                delay_s = control.pause_s(snoozes)
                end = replace(end, to=State.SCHEDULED, outcome="snoozed", delay_s=delay_s, reason="", enqueue=())
    return end


def told(end: Settlement) -> str:
    """What a breaker shows of a failure."""
    return end.error.in_one_line() if end.error else end.outcome


def _settle(
    claim: Claim,
    to: State,
    outcome: str,
    *,
    delay_s: float = 0.0,
    error: ErrorInfo | None = None,
    reason: str = "",
    trips: bool = False,
    slow_s: float = 0.0,
) -> Settlement:
    return Settlement(
        id=claim.id,
        token=claim.token,
        to=to,
        outcome=outcome,
        delay_s=delay_s,
        error=error,
        reason=reason,
        trips=trips,
        slow_s=slow_s,
    )
