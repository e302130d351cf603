"""How much longer a job will take, from what its queue did lately: a guess, and rounded so that it looks like one."""

from __future__ import annotations

from collections.abc import Sequence

from ..backends.base import Ended
from ..core import pace
from ..core.job import JobSummary
from ..core.states import State

_STEPS_S = (1, 2, 5, 10, 15, 20, 30, 45, 60, 90, 120, 180, 300, 420, 600, 900, 1200, 1800, 2700, 3600)
_SOON_S = 1.0  # a running job's own speed tells little before


def left_s(job: JobSummary, place: int | None, ended: Sequence[Ended], now: float) -> int | None:
    """Seconds until it has ended, rounded up to a step; None when nothing is known."""
    if job.state is State.QUEUED and place is not None:
        rate = pace.rate(ended, now, job.task)
        return None if not rate else rounded((place + 1) / rate)
    if job.state is State.RUNNING and job.started_at is not None:
        return _of_running(job, now - job.started_at, ended)
    return None


def _of_running(job: JobSummary, ran_s: float, ended: Sequence[Ended]) -> int | None:
    progress = job.progress
    if progress is not None and progress.total > progress.done > 0 and ran_s > _SOON_S:
        return rounded(ran_s * (progress.total - progress.done) / progress.done)
    usual = pace.usual_s(ended, job.task)
    return rounded(usual - ran_s) if usual is not None and usual > ran_s else None


def rounded(seconds: float) -> int:
    """Up to the next step; beyond the last in whole hours."""
    for step in _STEPS_S:
        if seconds <= step:
            return step
    return int(-(-seconds // 3600)) * 3600
