"""The talk's sum: how much memory many locked executors take that have each made a thumbnail."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from pathlib import Path

from . import boat, measure, sandbox_app

HOLD_S = 20.0  # long enough for all of them to be forked and have had their turn on the processors
FRESH = 32


@dataclass(frozen=True)
class Crowd:
    """Memory in MiB (PSS). made: different processes that made a thumbnail. base: all but the executors."""

    made: int
    base: float
    executors: list[float]

    @property
    def whole(self) -> float:
        """All of it."""
        return self.base + sum(self.executors)

    def in_4_gb(self) -> int:
        """How many there could be."""
        return int((4096 - self.base) / statistics.mean(self.executors))


def reused(folder: Path, count: int) -> Crowd:
    """So many executors, looked at when their jobs are done."""
    with boat.database(folder, "full", sandbox_app.app) as url, boat.worker(url, count, boat.SANDBOX_APP) as process:
        photo, until = sandbox_app.photo(), time.time() + HOLD_S
        jobs = sandbox_app.app.enqueue_many([sandbox_app.thumbnail.job(photo, until) for _ in range(count)])
        made = {job.wait(120).result for job in jobs}
        return _look(process.pid, len(made))


def fresh(folder: Path) -> tuple[float, float]:
    """MiB of an untrusted task's executor that has made a thumbnail, and of one that waits for its job."""
    with boat.database(folder, "full", sandbox_app.app) as url, boat.worker(url, FRESH, boat.SANDBOX_APP) as process:
        photo, until = sandbox_app.photo(), time.time() + HOLD_S
        jobs = sandbox_app.app.enqueue_many([sandbox_app.thumbnail_fresh.job(photo, until) for _ in range(FRESH)])
        measure.until(lambda: all(job.refresh().progress for job in jobs))
        there = sorted(_look(process.pid, 0).executors, reverse=True)
        return statistics.mean(there[:FRESH]), statistics.mean(there[FRESH:])


def _look(pid: int, made: int) -> Crowd:
    below = measure.tree(pid)
    executors = [one for one in below if boat.is_executor(one)]
    others = [one for one in below if one not in executors]
    return Crowd(made, measure.pss_mib(others), [measure.pss_mib([one]) for one in executors])
