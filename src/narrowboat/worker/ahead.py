"""Jobs ahead: short ones wait in the sockets of executors, so that no round trip to the backend lies between them."""

from __future__ import annotations

import heapq
import time
from collections.abc import Iterable

from .executors import Executor
from .held import Held
from .wear import Wear

STUCK_BEHIND_S = 0.05  # jobs that wait so long in a socket are taken back: what is before them is not short


class Ahead:
    """The lines in the sockets of executors of one kind, at one moment: a job joins the shortest.

    longest: how many jobs may wait in each beyond those that run.
    """

    def __init__(self, executors: Iterable[Executor], longest: int, wear: Wear) -> None:
        self._longest, self._wear = longest, wear
        now = time.monotonic() if longest else 0.0
        fitting = (e for e in executors if _may_have_more(e, now)) if longest else ()
        self._lines = [(executor.ahead, number, executor) for number, executor in enumerate(fitting)]
        heapq.heapify(self._lines)

    def give(self, held: Held) -> Executor | None:
        """Which executor was given the job; None when all lines are long enough."""
        while self._lines:
            ahead, number, executor = self._lines[0]
            if executor.ahead != ahead:  # jobs of another task have joined it
                heapq.heapreplace(self._lines, (executor.ahead, number, executor))
                continue
            if ahead >= self._longest:
                return None
            if self._wear.allows(executor) and executor.give(held):
                heapq.heapreplace(self._lines, (executor.ahead, number, executor))
                return executor
            heapq.heappop(self._lines)
        return None


def _may_have_more(executor: Executor, now: float) -> bool:
    if not executor.is_ready or executor.is_alone:
        return False
    if executor.begun and now - executor.moved_at > STUCK_BEHIND_S:
        return False
    return not any(held.kill_at for held in executor.running()[:1])
