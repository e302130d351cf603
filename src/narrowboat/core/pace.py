"""How fast a queue moves, reckoned from the jobs that ended lately: for people who wait, or are to come back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .job import Ended
from .states import State

LATELY_S = 600.0
FEWEST = 3  # ends that make a pace
_SHORTEST_S = 0.001  # jobs that are settled together end at the same moment


def rate(ended: Sequence[Ended], now: float, task: str | None = None) -> float | None:
    """Jobs a second lately, of one task if it is named; None unless at least FEWEST ended within LATELY_S.

    The time that it took goes on until now, so that a queue which has stood still is a slow one, and begins as long
    before the first of these ends as a job takes: the slots were at work on them then.
    """
    lately = [end for end in ended if end.finished_at >= now - LATELY_S and (task is None or end.task == task)]
    if len(lately) < FEWEST:
        return None
    began = min(end.finished_at for end in lately) - (_median_s(lately) or 0.0)
    return len(lately) / max(now - began, _SHORTEST_S)


def usual_s(ended: Sequence[Ended], task: str) -> float | None:
    """How long a job of a task usually runs: the median of those that succeeded; None when none has."""
    return _median_s(end for end in ended if end.task == task and end.state is State.SUCCEEDED)


def _median_s(ended: Iterable[Ended]) -> float | None:
    found = [max(0.0, end.finished_at - end.started_at) for end in ended if end.started_at is not None]
    if not found:
        return None
    from statistics import median  # with decimal and fractions: not for those who only set limits

    return median(found)
