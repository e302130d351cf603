"""When an executor has done enough, and another one should take its place."""

from __future__ import annotations

import time
from dataclasses import dataclass

from .executors import Executor

WEIGH_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class Wear:
    """max_jobs: begun in one executor. max_age_s: seconds. max_memory: bytes since its birth. None: no limit."""

    max_jobs: int | None = None
    max_age_s: float | None = None
    max_memory: int | None = None

    def allows(self, executor: Executor) -> bool:
        """Whether it may be given one job more."""
        return self.max_jobs is None or executor.begun + executor.unbegun < self.max_jobs

    def is_worn(self, executor: Executor) -> bool:
        """Asked after each job; memory is looked at once a second at most."""
        if self.max_jobs is not None and executor.begun >= self.max_jobs:
            return True
        if self.max_age_s is None and self.max_memory is None:
            return False
        now = time.monotonic()
        if self.max_age_s is not None and now - executor.born_at >= self.max_age_s:
            return True
        if self.max_memory is None or now < executor.weighed_at + WEIGH_EVERY_S:
            return False
        executor.weighed_at = now
        return executor.memory > self.max_memory
