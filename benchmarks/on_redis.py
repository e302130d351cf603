"""Narrowboat on Redis, beside its own Lua without any process of ours around it."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path

from narrowboat.backends.base import Want, WorkerInfo
from narrowboat.backends.redis import RedisBackend, address_of, words
from narrowboat.backends.redis.scripts import script
from narrowboat.core.job import NewJob
from narrowboat.core.task import Manifest

from . import boat, boat_app, measure, redis_server

ROUNDS = 3
CALL, STEP = 1_000, 100  # jobs in one call of enqueue, in one step
WORKER = WorkerInfo(id="bare", host="bare", pid=1)
Row = Callable[[str, str], None]


def compare(folder: Path, jobs: int, row: Row) -> bool:
    """Print what was measured: medians of rounds in which ours and the bare scripts take turns."""
    with redis_server.private(folder) as (url, _):
        rounds = [_round(folder, f"{url}?namespace=round-{n}", jobs) for n in range(ROUNDS)]
        found = {name: statistics.median(values[name] for values in rounds) for name in rounds[0]}
        row("enqueue, one by one", f"{found['single']:,.0f} jobs/s")
        row(f"enqueue, {CALL:,} in a call", f"{found['bulk']:,.0f} jobs/s, {_share(found, 'bulk', 'bare bulk')}")
        row("run, two executors", f"{found['run']:,.0f} jobs/s, {_share(found, 'run', 'bare run')}")
        bytes_each = f"{found['waiting']:,.0f} bytes waiting, {found['finished']:,.0f} finished"
        row("memory of a job in Redis", bytes_each)
        with boat.at(f"{url}?namespace=latency") as there, boat.worker(there, 2, log=folder / "latency.log"):
            boat_app.when.enqueue().wait(30)
            p50, p99 = boat.latency_ms(500)
            trip = _round_trip_ms(there)
            row("enqueue to start, idle", f"p50 {p50:.2f} ms, p99 {p99:.2f} ms; a bare round trip is {trip:.3f} ms")
            row("enqueue to start, in round trips", f"{p50 / trip:.0f}")
    return True


def _share(found: dict[str, float], ours: str, bare: str) -> str:
    return f"{found[ours] / found[bare]:.0%} of the bare script's {found[bare]:,.0f}"


def _round(folder: Path, url: str, jobs: int) -> dict[str, float]:
    found: dict[str, float] = {}
    found["bare bulk"], found["bare run"] = bare(f"{url}-bare", jobs)
    with boat.at(url) as there:
        before = _memory(there)
        found["single"], found["bulk"] = boat.enqueue_rates(2_000, jobs)
        found["waiting"] = (_memory(there) - before) / (jobs + 2_000)
        found["run"] = boat.throughput(there, 2, log=folder / f"{time.monotonic_ns()}.log")
        found["finished"] = (_memory(there) - before) / (jobs + 2_000)
    return found


def bare(url: str, jobs: int) -> tuple[float, float]:
    """Jobs/s written, and settled and claimed, by the same scripts from one loop that makes no values of them."""
    backend = RedisBackend(address_of(url))
    run = backend._run  # pyright: ignore[reportPrivateUsage]
    backend.publish(WORKER, Manifest(app="bench", tasks=(boat_app.nothing.spec,)))
    name = boat_app.nothing.name
    calls = [
        [word for n in range(CALL) for word in words.of_job(_job(name, start + n))] for start in range(0, jobs, CALL)
    ]
    began = time.perf_counter()
    for call in calls:
        run(script("enqueue"), "", *words.of_limits((), {}), *words.of_batches(()), CALL, *call)
    written = len(calls) * CALL / (time.perf_counter() - began)

    want = words.of_tasks(Want("default", frozenset([name]), STEP))
    claims: list[tuple[bytes, int]] = []
    seq = done = 0
    began = time.perf_counter()
    while done < len(calls) * CALL:
        seq += 1
        settled = [word for id_, token in claims for word in (b"%d %s" % (token, id_), id_, 0.0, b"", b"")]
        done += len(claims)
        wishes = ("default", STEP, "0.0", want)
        _, groups, _, _ = run(script("step"), "", WORKER.id, seq, "", "", len(claims), 0, 0, 1, *settled, *wishes)
        claims = [(row[4], row[5]) for group in groups for row in group[3:]]
    settled_per_s = done / (time.perf_counter() - began)
    backend.close()
    return written, settled_per_s


def _job(name: str, n: int) -> NewJob:
    return NewJob(id=f"{name}:{n:026}", task=name, shape=boat_app.nothing.spec.shape)


def _memory(url: str) -> int:
    backend = RedisBackend(address_of(url))
    text: bytes = backend._connections.call("INFO", "memory")
    backend.close()
    return next(int(line.partition(b":")[2]) for line in text.splitlines() if line.startswith(b"used_memory:"))


def _round_trip_ms(url: str) -> float:
    backend = RedisBackend(address_of(url))
    took: list[float] = []
    for _ in range(1_000):
        began = time.perf_counter()
        backend._connections.call("PING")
        took.append((time.perf_counter() - began) * 1000)
    backend.close()
    return measure.percentiles(took)[0]
