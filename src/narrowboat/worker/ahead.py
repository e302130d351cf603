"""Jobs ahead: short ones wait in the sockets of executors, so that no round trip to the backend lies between them."""

from __future__ import annotations

import heapq
import math
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
        self._wear = wear
        now = time.monotonic() if longest else 0.0
        self._executors = [e for e in executors if _may_have_more(e, now)] if longest else []
        self._lines = [(len(executor.given), number, executor) for number, executor in enumerate(self._executors)]
        heapq.heapify(self._lines)
        self._full = longest + max((e.kind.capacity for e in self._executors), default=0)

    def give(self, held: Held) -> Executor | None:
        """Which executor was given the job; None when all lines are long enough."""
        lines = self._lines
        while lines:
            there, number, executor = lines[0]
            if len(executor.given) != there:  # jobs of another task have joined it
                heapq.heapreplace(lines, (len(executor.given), number, executor))
                continue
            if there >= self._full:
                return None
            if self._wear.allows(executor) and executor.give(held):
                heapq.heapreplace(lines, (there + 1, number, executor))
                return executor
            heapq.heappop(lines)
        return None

    @property
    def stuck_at(self) -> float:
        """When jobs of these lines will have waited too long behind one that runs."""
        return min((e.moved_at + STUCK_BEHIND_S for e in self._executors if e.unbegun and e.begun), default=math.inf)


def _may_have_more(executor: Executor, now: float) -> bool:
    if not executor.is_ready or executor.is_alone:
        return False
    if executor.begun and now - executor.moved_at > STUCK_BEHIND_S:
        return False
    return not any(held.kill_at for held in executor.running()[:1])
