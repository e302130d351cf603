"""Jobs that do nothing, each in a process of its own: Narrowboat's untrusted tasks beside RQ, on two cores."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from . import boat, measure, redis_server, sandbox_app
from .peers import ledger
from .peers.systems import RQ
from .peers.worker import producing, running

WARM = 20  # jobs before the clock starts, so that all that runs is up


def narrowboat_rate(folder: Path, count: int, slots: int, sandbox: str) -> float:
    """Jobs/s through SQLite, each commit on the disk."""
    with boat.database(folder, "full", sandbox_app.app) as url:
        sandbox_app.app.enqueue_many([sandbox_app.nothing_fresh.job() for _ in range(count)])
        with boat.worker(url, slots, boat.SANDBOX_APP, "--sandbox", sandbox):
            return _rate(lambda: boat.unfinished(sandbox_app.app), count)


def rq_rate(folder: Path, count: int, workers: int) -> float:
    """Jobs/s of so many of RQ's workers; the last jobs, which are taken but not done, count as done."""
    ledger.clear()
    log = folder / "rq.log"
    with redis_server.private(Path(tempfile.mkdtemp(dir=folder))) as server:
        with producing(RQ, server.url, "short", log) as producer:
            producer.ask(60, do="many", task="nothing", first=0, count=count)
        with running(RQ, server.url, "short", workers, log):
            return _rate(lambda: server.length("rq:queue:default"), count)


def _rate(waiting: Callable[[], int], count: int) -> float:
    measure.until(lambda: waiting() <= count - WARM)
    began, left = time.perf_counter(), waiting()
    measure.until(lambda: waiting() == 0)
    return left / (time.perf_counter() - began)
