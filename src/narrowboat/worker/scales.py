"""What executors and their helpers have taken together, where nothing but this worker keeps a limit on that."""

from __future__ import annotations

import time
from collections.abc import Iterable

from .. import kernel
from .executors import MEMORY, PROCESSES, Executor

WEIGH_S = 0.25
SHARE = 0.05  # of the main loop's time at most, on a machine with many processes


class Scales:
    """next_at: when to weigh again; never, while none of those runs."""

    def __init__(self) -> None:
        self.next_at = float("inf")

    def expect(self, now: float) -> None:
        """A job has begun in an executor that is watched."""
        self.next_at = min(self.next_at, now + WEIGH_S)

    def weigh(self, executors: Iterable[Executor], now: float) -> None:
        """Kill those that have more than they may. Before `next_at` nothing is done."""
        if now < self.next_at:
            return
        watched = [e for e in executors if e.is_watched and e.given and e.process is not None and not e.is_dead]
        began_at = time.monotonic()
        taken = kernel.taken({executor.pid: executor.memory_at_birth for executor in watched})
        for executor in watched:
            memory, threads = taken[executor.pid]
            limits = executor.kind.limits
            if limits.memory is not None and memory > limits.memory:
                executor.kill(MEMORY)
            elif executor.kind.reach.programs and threads > limits.processes + 1:
                executor.kill(PROCESSES)
        pause_s = max(WEIGH_S, (time.monotonic() - began_at) / SHARE)
        self.next_at = now + pause_s if watched else float("inf")
