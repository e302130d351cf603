"""How long tasks take, and how far ahead of the executors it is wise to claim.

A job ahead waits behind another; that is worth it only where jobs are so short that the round trip to the
backend would leave executors idle.
"""

from __future__ import annotations

SHORT_S = 0.02  # a task is short when its mean is below this: a wait of 1 ms between two jobs is 5 % of it, or more
AHEAD_S = 0.1  # jobs ahead of one executor may take this long together
MOST_AHEAD = 512  # and be this many
SOON_S, LATE_S = 0.002, 0.025  # how long a settlement waits for others, at least and at most, if it does
_FEW, _MANY = 2, 8  # jobs at hand for each slot: fewer were not claimed ahead; more are enough, however short they are
_PART = 0.25  # of the time that they take
_WEIGHT = 0.2


class Pace:
    """A moving mean of durations by task."""

    def __init__(self) -> None:
        self._mean_s: dict[str, float] = {}
        self.usual_s = 0.0  # over all tasks; one that is not short counts as if it just were

    def note(self, task: str, ran_s: float) -> None:
        """One attempt took this long, divided by those that share its executor.

        A longer one counts at once, shorter ones little by little.
        """
        mean = self._mean_s.get(task)
        if mean is None or ran_s > 10 * mean:
            self._mean_s[task] = ran_s
        else:
            self._mean_s[task] = mean + _WEIGHT * (ran_s - mean)
        self.usual_s += _WEIGHT * (min(ran_s, SHORT_S) - self.usual_s)

    def ahead(self, task: str) -> int:
        """How many jobs of this task one executor may be given beyond the one it runs."""
        mean = self._mean_s.get(task)
        if mean is None or mean >= SHORT_S:
            return 0
        return MOST_AHEAD if mean * MOST_AHEAD <= AHEAD_S else int(AHEAD_S / mean)

    def short(self) -> frozenset[str]:
        """Tasks of which jobs may be claimed ahead."""
        return frozenset(task for task, mean in self._mean_s.items() if mean < SHORT_S)

    def company_s(self, jobs: float) -> float:
        """How long a settlement may wait for others while executors have so many jobs each at hand; 0 for not at all.

        The step that it travels with also brings the next jobs, which must be there before an executor has none.
        """
        wait_s = min(LATE_S, _PART * jobs * self.usual_s)
        if wait_s < SOON_S:
            return SOON_S if jobs > _MANY else 0.0
        return wait_s if jobs >= _FEW else 0.0
