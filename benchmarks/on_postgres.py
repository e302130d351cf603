"""Narrowboat on PostgreSQL, beside pgbench running the same statements without any process of ours around them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path

from narrowboat.backends.base import WorkerInfo
from narrowboat.core.task import Manifest

from . import boat, boat_app, postgres_server
from .postgres_server import Postgres

ROUNDS = 3
CALL, STEP = 1_000, 100  # jobs in one call of enqueue, in one step
SINGLE = 2_000
WORKER = WorkerInfo(id="bare", host="bare", pid=1, lease_s=3600)
SCRIPTS = Path(__file__).with_name("pgbench")
Row = Callable[[str, str], None]


def compare(folder: Path, jobs: int, row: Row) -> bool:
    """Print what was measured: medians of rounds in which ours and the bare statements take turns."""
    with postgres_server.private() as server:
        row("server", server.ask("SHOW server_version").partition(" ")[0])
        rounds = [_round(folder, server, jobs) for _ in range(ROUNDS)]
        found = {name: statistics.median(values[name] for values in rounds) for name in rounds[0]}
        row("enqueue, one by one", f"{found['single']:,.0f} jobs/s, {_share(found, 'single')}")
        row(f"enqueue, {CALL:,} in a call", f"{found['bulk']:,.0f} jobs/s, {_share(found, 'bulk')}")
        row("run, two executors", f"{found['run']:,.0f} jobs/s, {_share(found, 'run')}")
        with boat.at(server.fresh()) as url, boat.worker(url, 2, log=folder / "latency.log"):
            boat_app.when.enqueue().wait(30)
            p50, p99 = boat.latency_ms(500)
            trip = 1000 / server.pgbench(SCRIPTS / "select.sql", 2_000)
            row("enqueue to start, idle", f"p50 {p50:.2f} ms, p99 {p99:.2f} ms; a bare SELECT 1 takes {trip:.3f} ms")
    return True


def _share(found: dict[str, float], what: str) -> str:
    return f"{found[what] / found[f'bare {what}']:.0%} of pgbench's {found[f'bare {what}']:,.0f}"


def _round(folder: Path, server: Postgres, jobs: int) -> dict[str, float]:
    found: dict[str, float] = {}
    with boat.at(server.fresh()):
        found |= _bare(server, jobs)
    with boat.at(server.fresh()) as url:
        found["single"], found["bulk"] = boat.enqueue_rates(SINGLE, jobs)
        found["run"] = boat.throughput(url, 2, log=folder / f"{time.monotonic_ns()}.log")
    return found


def _bare(server: Postgres, jobs: int) -> dict[str, float]:
    """Jobs/s by pgbench over one connection, as one worker has."""
    backend = boat_app.app.backend
    backend.publish(WORKER, Manifest(app="bench", tasks=(boat_app.nothing.spec,)))
    single = server.pgbench(SCRIPTS / "enqueue.sql", SINGLE, call=0, n=1)
    bulk = server.pgbench(SCRIPTS / "enqueue.sql", jobs // CALL, call=0, n=CALL) * CALL
    total = boat.unfinished()
    steps = -(-total // STEP) + 1  # the last one only settles
    rate = server.pgbench(SCRIPTS / "step.sql", steps, seq=0, n=STEP) * total / steps
    if left := boat.unfinished():
        raise RuntimeError(f"pgbench has left {left} of {total} jobs undone")
    return {"bare single": single, "bare bulk": bulk, "bare run": rate}
