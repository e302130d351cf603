"""What a worker writes to its log about jobs: a line each while that is readable, sums when it is not."""

from __future__ import annotations

import logging
import time
from typing import Any, NamedTuple

from ..core.codec import printable
from ..core.decide import Settlement
from ..core.states import State
from ..core.units import in_words
from .held import Held

log = logging.getLogger("narrowboat.jobs")
LINES_A_SECOND = 20


class End(NamedTuple):
    """How an attempt ended, and how long it ran, where that is written later."""

    held: Held
    settlement: Settlement
    ran_s: float


class Journal:
    """One line for each settlement, up to LINES_A_SECOND successes a second; each with its job, for programs."""

    def __init__(self) -> None:
        self._until = 0.0  # monotonic; the end of the second that is counted
        self._lines = self._unwritten = 0

    def settled(self, held: Held, settlement: Settlement, ran_s: float, spared_s: float | None = None) -> None:
        """Write what became of a job. spared_s: its failure was not charged; so long until it is tried again."""
        if settlement.outcome == "succeeded":
            if self._has_room():
                log.info("%s succeeded in %s", held.id, in_words(ran_s), extra=_about(held, settlement, ran_s))
            return
        about = _about(held, settlement, ran_s)
        if settlement.outcome == "released":
            log.debug("%s given back (%s)", held.id, settlement.reason or "not begun", extra=about)
            return
        what = settlement.error.in_one_line() if settlement.error else settlement.reason
        if spared_s is not None:
            how = f"attempt {held.claim.attempt} held by its breaker, not charged; again in {in_words(spared_s)}"
            log.warning("%s %s: %s", held.id, how, printable(what), extra=about | {"outcome": "snoozed"})
            return
        level = logging.ERROR if settlement.to is State.DEAD else logging.WARNING
        log.log(level, "%s %s", held.id, printable(_sentence(held, settlement, what)), extra=about)

    def line(self, held: Held, line: str) -> None:
        """A line that a task wrote."""
        if self._has_room():
            log.info("%s | %s", held.id, printable(line), extra=_about(held))

    def _has_room(self) -> bool:
        now = time.monotonic()
        if now >= self._until:
            if self._unwritten:
                log.info("... and %d more lines about jobs", self._unwritten)
            self._until, self._lines, self._unwritten = now + 1.0, 0, 0
        if self._lines < LINES_A_SECOND:
            self._lines += 1
            return True
        self._unwritten += 1
        return False


def _about(held: Held, settlement: Settlement | None = None, ran_s: float = 0.0) -> dict[str, Any]:
    claim = held.claim
    about: dict[str, Any] = {
        "job": claim.id,
        "task": claim.task,
        "queue": claim.queue,
        "attempt": claim.attempt,
    }
    if settlement is not None:
        about |= {"outcome": settlement.outcome, "ran_s": round(ran_s, 6)}
    return about


def _sentence(held: Held, settlement: Settlement, what: str) -> str:
    attempt = f"attempt {held.claim.attempt}"
    if settlement.to is State.SCHEDULED:
        return f"{attempt} {settlement.outcome}; again in {in_words(settlement.delay_s)}: {what}"
    if settlement.to is State.DEAD:
        return f"is dead after {attempt} {settlement.outcome}: {what}"
    return f"{settlement.outcome}: {what}"
