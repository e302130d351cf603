"""Tasks whose jobs this worker leaves to others for a moment, because it could not read some of them.

During a deploy, an old worker claims jobs that only the new code can read, and gives them back for a while. Were
it to ask for them again the moment that they come due, chance would decide how often they go round.
"""

from __future__ import annotations

import time
from collections import defaultdict

BEFORE_S, AFTER_S = 0.1, 0.5  # around the moment when such a job comes due again
MOST = 1000  # moments kept for each task


class Shyness:
    """Knows when the jobs that were left come due. Times are monotonic."""

    def __init__(self) -> None:
        self._due: defaultdict[str, list[float]] = defaultdict(list)

    def leave(self, task: str, delay_s: float) -> None:
        """A job of this task was left to others, and comes due again then."""
        self._due[task] = [*self._due[task][-MOST:], time.monotonic() + delay_s]

    def tasks(self, now: float) -> frozenset[str]:
        """Those not to be asked for now."""
        if not self._due:
            return frozenset()
        for task, moments in list(self._due.items()):
            self._due[task] = [due for due in moments if now <= due + AFTER_S]
            if not self._due[task]:
                del self._due[task]
        return frozenset(task for task, moments in self._due.items() if any(due - BEFORE_S <= now for due in moments))

    def next_change(self, now: float) -> float | None:
        """When `tasks` may be others; None for never."""
        edges = (edge for moments in self._due.values() for due in moments for edge in (due - BEFORE_S, due + AFTER_S))
        return min((edge for edge in edges if edge > now), default=None)
