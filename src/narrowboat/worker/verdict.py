"""What becomes of the jobs that ran in an executor when it died."""

from __future__ import annotations

from ..core.outcome import Cancelled, Crashed, Outcome, Released
from .held import Held
from .settings import STOPPING_S

TIMEOUT, SHUTDOWN, CANCEL = "timeout", "shutdown", "cancelled"  # why a worker kills


def verdict(
    held: Held, running: list[Held], kill_reason: str | None, cause: str, words: str, is_final: bool = False
) -> Outcome | None:
    """The outcome of one of the running jobs; None for a suspect, which is to run again alone.

    Nobody is charged for a neighbour: of several jobs, one that did not end when it was told to is to blame
    for the kill; if it could not even be told, because the event loop stood still, any of them may be, as
    after a crash of unknown cause.
    """
    if kill_reason == SHUTDOWN:
        return Released("shutdown")
    if held.stop_why == "cancel":
        return Cancelled(held.stop_reason)
    if len(running) == 1:
        return Released("shutdown") if held.stop_why == "shutdown" else Crashed(cause, words, is_final)
    if kill_reason in (TIMEOUT, CANCEL):
        did_turn = any(other.is_told for other in running)
        if held.is_told:
            return Released("shutdown") if held.stop_why == "shutdown" else Crashed(TIMEOUT, words)
        return Released("its executor was killed because of a neighbour") if did_turn else None
    return None


def kill_at(held: Held) -> float | None:
    """When the executor of a running job is to be killed because of it: it was told, and has had its time."""
    overdue_at = held.overdue_at
    if overdue_at is None:
        return None
    overdue_at += STOPPING_S
    return overdue_at if held.kill_at is None else min(overdue_at, held.kill_at)
