"""Jobs that do nothing, each in a process of its own: Narrowboat's untrusted tasks beside RQ, on two cores."""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
import time
from collections.abc import Callable, Generator
from pathlib import Path

from . import boat, measure, redis_server, sandbox_app
from .systems import ROOT, System

RQ = System("rq", "rq_app", (), ("rq==3.0.*",))
WARM = 20  # jobs before the clock starts, so that all that runs is up


def narrowboat_rate(folder: Path, count: int, slots: int, sandbox: str) -> float:
    """Jobs/s through SQLite, each commit on the disk."""
    with boat.database(folder, "full", sandbox_app.app) as url:
        sandbox_app.app.enqueue_many([sandbox_app.nothing_fresh.job() for _ in range(count)])
        with boat.worker(url, slots, boat.SANDBOX_APP, "--sandbox", sandbox):
            return _rate(lambda: boat.unfinished(sandbox_app.app), count)


def rq_rate(folder: Path, count: int, workers: int) -> float:
    """Jobs/s of so many of RQ's workers; the last jobs, which are taken but not done, count as done."""
    with redis_server.private(Path(tempfile.mkdtemp(dir=folder))) as (url, _):
        RQ.enqueue(url, folder, count)
        with contextlib.ExitStack() as stack:
            for _ in range(workers):
                stack.enter_context(_rq_worker(url))
            return _rate(lambda: redis_server.length(url, "rq:queue:default"), count)


@contextlib.contextmanager
def _rq_worker(url: str) -> Generator[None]:
    command = [RQ.python(), "-m", "rq.cli", "worker", "--url", url, "--quiet"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        process.wait(20)


def _rate(waiting: Callable[[], int], count: int) -> float:
    measure.until(lambda: waiting() <= count - WARM)
    began, left = time.perf_counter(), waiting()
    measure.until(lambda: waiting() == 0)
    return left / (time.perf_counter() - began)
