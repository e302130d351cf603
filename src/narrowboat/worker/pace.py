"""How long tasks take, and how far ahead of the executors it is wise to claim.

A job ahead waits behind another; that is worth it only where jobs are so short that the round trip to the
backend would leave executors idle.
"""

from __future__ import annotations

SHORT_S = 0.02  # a task is short when its mean is below this: a wait of 1 ms between two jobs is 5 % of it, or more
AHEAD_S = 0.05  # jobs ahead of one executor may take this long together
MOST_AHEAD = 256  # and be this many
_WEIGHT = 0.2


class Pace:
    """A moving mean of durations by task."""

    def __init__(self) -> None:
        self._mean_s: dict[str, float] = {}

    def note(self, task: str, ran_s: float) -> None:
        """One attempt took this long, divided by those that share its executor.

        A longer one counts at once, shorter ones little by little.
        """
        mean = self._mean_s.get(task)
        if mean is None or ran_s > 10 * mean:
            self._mean_s[task] = ran_s
        else:
            self._mean_s[task] = mean + _WEIGHT * (ran_s - mean)

    def ahead(self, task: str) -> int:
        """How many jobs of this task one executor may be given beyond the one it runs."""
        mean = self._mean_s.get(task)
        if mean is None or mean >= SHORT_S:
            return 0
        return MOST_AHEAD if mean * MOST_AHEAD <= AHEAD_S else int(AHEAD_S / mean)

    def short(self) -> frozenset[str]:
        """Tasks of which jobs may be claimed ahead."""
        return frozenset(task for task, mean in self._mean_s.items() if mean < SHORT_S)
