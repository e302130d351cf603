"""What workers take while they wait: the memory of a fleet, and what it asks of the processors."""

from __future__ import annotations

import time
from pathlib import Path
from typing import NamedTuple

from .. import measure
from . import ledger
from .jobs import HOLD_S
from .places import Place
from .system import System
from .worker import Workers, producing, running

STARTS_WITHIN_S = 30.0


class AtRest(NamedTuple):
    """Memory of the workers and all below them (PSS); the part of one core that they and their server take."""

    pss_mib: float
    idle_percent: float


def at_rest(system: System, place: Place, count: int, seconds: float, folder: Path) -> AtRest:
    """So many worker processes, looked at for so long after a job for each of them. Raises RuntimeError."""
    url, log = place.fresh(), folder / f"{system.name}.log"
    system.make_ready(url)
    ledger.clear()
    with producing(system, url, "short", log) as producer, running(system, url, "short", count, log) as workers:
        producer.ask(60, do="many", task="hold", first=0, count=count)
        ledger.until(count, workers.is_alive, 60 + 10 * HOLD_S + count)
        ledger.verify(range(count))
        _let_start(workers)

        def used() -> float:
            return workers.cpu_s() + (measure.tree_cpu_s(place.pid) if place.pid else 0)

        began, before = time.monotonic(), used()
        time.sleep(max(seconds, 0.1))
        idle = 100 * (used() - before) / (time.monotonic() - began)
        return AtRest(workers.pss_mib(), idle)


def _let_start(workers: Workers) -> None:
    """Until their memory grows no more: one that is up early may have done all jobs, while others still import."""
    end, before = time.monotonic() + STARTS_WITHIN_S, 0.0
    while (now := workers.pss_mib()) > 1.01 * before and time.monotonic() < end:
        before = now
        time.sleep(1)
