"""What a job that does nothing costs in processor time, by process: the same however busy the machine is beside it.

Jobs are written while their queue is paused, to a worker that is warm; what each process has used between the
resume and the last job's end is divided by the jobs.
"""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from narrowboat.backends.base import Gate

from . import boat, boat_app, measure, postgres_server, redis_server

ROUNDS = 3
CALL = 1_000  # jobs in one call of enqueue
SCOPE = "queue:default"
ROLES = ("web", "worker", "executor", "zygote", "server")
Row = Callable[..., None]
Place = tuple[str, int | None]  # a URL, and the process that serves it


def compare(folder: Path, jobs: int, backends: Sequence[str], row: Row) -> bool:
    """Print the microseconds of each role, medians of rounds."""
    row("us of processor time for each job", "".join(f"{role:>10}" for role in ROLES), "      all but web")
    with contextlib.ExitStack() as servers:
        for name in backends:
            fresh = FRESH[name](servers, folder)
            rounds = [_round(folder, *fresh(), jobs) for _ in range(ROUNDS)]
            found = {role: statistics.median(each[role] for each in rounds) for role in ROLES}
            run = statistics.median(sum(each.values()) - each["web"] for each in rounds)
            row(f"  {name}", "".join(f"{found[role]:>10.1f}" for role in ROLES), f"{run:>17.1f}")
    return True


def _round(folder: Path, url: str, server: int | None, jobs: int) -> dict[str, float]:
    with boat.at(url), boat.worker(url, 2, log=folder / f"{time.monotonic_ns()}.log") as process:
        boat_app.app.enqueue_many([boat_app.nothing.job() for _ in range(CALL)])
        measure.until(lambda: boat.unfinished() == 0)
        backend = boat_app.app.backend
        backend.shut(Gate(scope=SCOPE))
        began = time.process_time()
        for _ in range(jobs // CALL):
            last = boat_app.app.enqueue_many([boat_app.nothing.job() for _ in range(CALL)])[-1].id
        web = time.process_time() - began
        before = _used(process.pid, server)
        backend.open(SCOPE)
        measure.until(lambda: boat_app.app.get(last).is_finished)
        measure.until(lambda: boat.unfinished() == 0)
        after = _used(process.pid, server)
    spent = {"web": web} | {role: after[role] - before[role] for role in after}
    return {role: seconds * 1e6 / (jobs // CALL * CALL) for role, seconds in spent.items()}


def _used(worker: int, server: int | None) -> dict[str, float]:
    used = dict.fromkeys(ROLES[1:], 0.0)
    for pid in measure.tree(worker):
        with contextlib.suppress(OSError):  # it has ended
            role = "worker" if pid == worker else "executor" if boat.is_executor(pid) else "zygote"
            used[role] += measure.run_s(pid)
    used["server"] = sum(map(measure.run_s, measure.tree(server))) if server else 0.0
    return used


def _sqlite(_: contextlib.ExitStack, folder: Path) -> Callable[[], Place]:
    return lambda: (f"sqlite:///{folder}/cost-{time.monotonic_ns()}.db", None)


def _redis(servers: contextlib.ExitStack, folder: Path) -> Callable[[], Place]:
    server = servers.enter_context(redis_server.private(folder))
    return lambda: (server.fresh(), server.pid)


def _postgres(servers: contextlib.ExitStack, _: Path) -> Callable[[], Place]:
    server = servers.enter_context(postgres_server.private())
    return lambda: (server.fresh(), server.pid)


FRESH = {"sqlite": _sqlite, "redis": _redis, "postgres": _postgres}
