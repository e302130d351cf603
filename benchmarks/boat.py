"""Narrowboat, measured."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Generator
from pathlib import Path

from narrowboat import App, Task
from narrowboat.backends.base import Filter
from narrowboat.backends.sqlite import SQLiteBackend
from narrowboat.backends.urls import open_backend
from narrowboat.core.states import State

from . import boat_app, measure

ROOT = Path(__file__).resolve().parents[1]
APP, SANDBOX_APP = "benchmarks.boat_app:app", "benchmarks.sandbox_app:app"


@contextlib.contextmanager
def database(folder: Path, durability: str, app: App = boat_app.app) -> Generator[str]:
    """A fresh file that the app uses; yields its URL."""
    path = folder / f"boat-{durability}-{time.monotonic_ns()}.db"
    app._backend = SQLiteBackend(path, durability=durability)  # pyright: ignore[reportPrivateUsage, reportArgumentType]
    try:
        yield f"sqlite:///{path}?durability={durability}"
    finally:
        app.close()


@contextlib.contextmanager
def at(url: str, app: App = boat_app.app) -> Generator[str]:
    """The app uses what is at this URL."""
    app._backend = open_backend(url)  # pyright: ignore[reportPrivateUsage, reportAttributeAccessIssue]
    try:
        yield url
    finally:
        app.close()


@contextlib.contextmanager
def worker(
    url: str, slots: int, app: str = APP, *options: str, log: Path | None = None
) -> Generator[subprocess.Popen[bytes]]:
    """A worker that is ready."""
    log = log or Path(url.removeprefix("sqlite:///").partition("?")[0] + ".log")
    command = [sys.executable, "-m", "narrowboat.cli", "worker", app, "-n", str(slots), *options]
    with log.open("wb") as output:
        process = subprocess.Popen([*command, "--url", url], cwd=ROOT, stdout=output, stderr=subprocess.STDOUT)
    try:
        measure.until(lambda: "drains for" in log.read_text() or process.poll() is not None)
        if process.poll() is not None:
            raise RuntimeError(log.read_text())
        yield process
    finally:
        process.terminate()
        process.wait(40)


def unfinished(app: App = boat_app.app) -> int:
    """Jobs that are not done."""
    counts = [queue.counts for queue in app.backend.stats()]
    return sum(count.get(s, 0) for count in counts for s in (State.QUEUED, State.RUNNING, State.SCHEDULED))


def enqueue_rates(one_by_one: int, bulk: int) -> tuple[float, float]:
    """Jobs/s written one by one, and in calls of 1,000."""
    began = time.perf_counter()
    for _ in range(one_by_one):
        boat_app.nothing.enqueue()
    single = one_by_one / (time.perf_counter() - began)
    began = time.perf_counter()
    for _ in range(bulk // 1000):
        boat_app.app.enqueue_many([boat_app.nothing.job() for _ in range(1000)])
    return single, bulk / (time.perf_counter() - began)


def throughput(
    url: str, slots: int, app: App = boat_app.app, name: str = APP, *options: str, log: Path | None = None
) -> float:
    """Jobs/s of a worker that finds everything already written, from the first job seen done to the last.

    Looking costs the measured system as little as it can: one job is read at a time, the newest.
    """
    total = unfinished(app)
    last = app.backend.find(Filter(), limit=1).jobs[0].id
    with worker(url, slots, name, *options, log=log):
        began = time.perf_counter()
        start = total - unfinished(app)
        measure.until(lambda: app.get(last).is_finished)
        measure.until(lambda: unfinished(app) == 0)
        return (total - start) / (time.perf_counter() - began)


def latency_ms(count: int, task: Task[[], float] = boat_app.when) -> tuple[float, float]:
    """p50 and p99 from the call of enqueue to the task's first line, on an idle worker."""
    waits: list[float] = []
    for _ in range(count):
        before = time.time()
        waits.append((task.enqueue().wait(30).result - before) * 1000)
        time.sleep(0.01)
    return measure.percentiles(waits)


def memory_mib(url: str, slots: int) -> float:
    """PSS of the whole tree with so many waiting executors."""
    with worker(url, slots) as process:
        boat_app.app.enqueue_many([boat_app.hold.job(2.0) for _ in range(slots)])
        measure.until(lambda: _executors(process.pid) == slots)
        measure.until(lambda: unfinished() == 0)
        return measure.pss_mib(measure.tree(process.pid))


def _executors(pid: int) -> int:
    return sum(is_executor(below) for below in measure.tree(pid))


def is_executor(pid: int) -> bool:
    """By its name."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip() == "nb-executor"
    return False


def idle_percent(url: str, seconds: float) -> float:
    """Processor use of an idle worker with two executors."""
    with worker(url, 2) as process:
        boat_app.when.enqueue().wait(30)
        return measure.idle_share(process.pid, seconds)
