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
ASKS = ("eval", "evalsha", "blpop")  # what workers call; the rest is called by their scripts
WORKER = WorkerInfo(id="bare", host="bare", pid=1)
Row = Callable[[str, str], None]


def compare(folder: Path, jobs: int, idle_s: float, row: Row) -> bool:
    """Print what was measured: medians of rounds in which ours and the bare scripts take turns."""
    with redis_server.private(folder) as server:
        url = server.url
        rounds = [_round(folder, server, n, jobs) for n in range(ROUNDS)]
        found = {name: statistics.median(values[name] for values in rounds) for name in rounds[0]}
        row("enqueue, one by one", f"{found['single']:,.0f} jobs/s")
        row(f"enqueue, {CALL:,} in a call", f"{found['bulk']:,.0f} jobs/s, {_share(found, 'bulk', 'bare bulk')}")
        ours, bare = found["bulk us"], found["bare bulk us"]
        row(
            "  in processor time, with the server",
            f"{ours:.1f} us a job, the bare script {bare:.1f}: {bare / ours:.0%}",
        )
        row("run, two executors", f"{found['run']:,.0f} jobs/s, {_share(found, 'run', 'bare run')}")
        bytes_each = f"{found['waiting']:,.0f} bytes waiting, {found['finished']:,.0f} finished"
        row("memory of a job in Redis", bytes_each)
        with boat.at(f"{url}?namespace=latency") as there, boat.worker(there, 2, log=folder / "latency.log"):
            boat_app.when.enqueue().wait(30)
            p50, p99 = boat.latency_ms(500)
            trip = _round_trip_ms(there)
            row("enqueue to start, idle", f"p50 {p50:.2f} ms, p99 {p99:.2f} ms; a bare round trip is {trip:.3f} ms")
            row("enqueue to start, in round trips", f"{p50 / trip:.0f}")
        _idle(folder, server, idle_s, row)
    return True


def _idle(folder: Path, server: redis_server.Redis, seconds: float, row: Row) -> None:
    """What a worker that has nothing to do takes of the processor and of the server, which has a clock of its own."""
    with boat.at(server.fresh()) as there:
        boat_app.when.enqueue()
        before = measure.run_s(server.pid)
        time.sleep(seconds)
        alone_s = measure.run_s(server.pid) - before
        with boat.worker(there, 2, log=folder / "idle.log") as process:
            measure.until(lambda: boat.unfinished() == 0)
            calls, before, worker_before = server.calls(), measure.run_s(server.pid), measure.tree_cpu_s(process.pid)
            time.sleep(seconds)
            worker_s = measure.tree_cpu_s(process.pid) - worker_before
            server_s, calls = measure.run_s(server.pid) - before, server.calls() - calls
    asked = {name: calls[name] / seconds for name in ASKS if calls[name]}
    row(f"idle, two executors, over {seconds:.0f} s", f"{worker_s:.2f} s of a processor, {worker_s / seconds:.2%}")
    row("  the server", f"{server_s:.2f} s; without a worker {alone_s:.2f} s")
    by_name = ", ".join(f"{name} {rate:.1f}" for name, rate in asked.items())
    row("  asks the server", f"{sum(asked.values()):.1f} times a second: {by_name}")
    row("  commands, with those in its scripts", f"{(calls.total() - calls['info']) / seconds:.1f} a second")


def _share(found: dict[str, float], ours: str, bare: str) -> str:
    return f"{found[ours] / found[bare]:.0%} of the bare script's {found[bare]:,.0f}"


def _round(folder: Path, server: redis_server.Redis, number: int, jobs: int) -> dict[str, float]:
    """Ours and the bare scripts, each on an emptied server, and each first in every other round."""
    found: dict[str, float] = {}
    for is_bare in (number % 2 == 0, number % 2 == 1):
        if is_bare:
            found |= _bare(server, jobs)
        else:
            found |= _ours(folder, server, jobs)
    return found


def _spent_us(server: redis_server.Redis) -> float:
    """Processor time of this process and of the server, so far."""
    return (time.process_time() + measure.run_s(server.pid)) * 1e6


def _ours(folder: Path, server: redis_server.Redis, jobs: int) -> dict[str, float]:
    found: dict[str, float] = {}
    with boat.at(server.fresh()) as there:
        before = _memory(there)
        found["single"], _ = boat.enqueue_rates(2_000, 0)
        spent = _spent_us(server)
        _, found["bulk"] = boat.enqueue_rates(0, jobs)
        found["bulk us"] = (_spent_us(server) - spent) / jobs
        found["waiting"] = (_memory(there) - before) / (jobs + 2_000)
        found["run"] = boat.throughput(there, 2, log=folder / f"{time.monotonic_ns()}.log")
        found["finished"] = (_memory(there) - before) / (jobs + 2_000)
    return found


def _bare(server: redis_server.Redis, jobs: int) -> dict[str, float]:
    """Jobs/s written, and settled and claimed, by the same scripts from one loop that makes no values of them."""
    backend = RedisBackend(address_of(server.fresh()))
    run = backend._run  # pyright: ignore[reportPrivateUsage]
    backend.publish(WORKER, Manifest(app="bench", tasks=(boat_app.nothing.spec,)))
    name = boat_app.nothing.name
    calls = [
        [word for n in range(CALL) for word in words.of_job(_job(name, start + n))] for start in range(0, jobs, CALL)
    ]
    began, spent = time.perf_counter(), _spent_us(server)
    for call in calls:
        run(script("enqueue"), "", *words.of_limits((), {}), *words.of_batches(()), CALL, *call)
    written = len(calls) * CALL / (time.perf_counter() - began)
    written_us = (_spent_us(server) - spent) / (len(calls) * CALL)

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
        claims = [(group[at], group[at + 1]) for group in groups for at in range(3, len(group), 6)]
    settled_per_s = done / (time.perf_counter() - began)
    backend.close()
    return {"bare bulk": written, "bare bulk us": written_us, "bare run": settled_per_s}


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
