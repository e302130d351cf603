"""`make bench`: one run, Narrowboat beside Huey, peers and its own statements, its sandbox, and the two forms."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from . import (
    async_jobs,
    boat,
    choosing,
    controls,
    cost,
    delayed,
    depth,
    forms,
    measure,
    on_postgres,
    on_redis,
    peer,
    sandbox,
    streams,
    transports,
)

PARTS = (
    *("huey", "rest", "redis", "postgres", "delay", "cost", "depth", "controls", "transports", "choosing"),
    *("async", "sandbox", "streams", "forms"),
)


def main() -> None:
    """Measure and print; the exit status says whether everything could be measured, never how fast it was."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=PARTS, nargs="+", default=PARTS, help="these parts; default: all")
    parser.add_argument("--folder", type=Path, help="where the databases go; default: a temporary folder")
    parser.add_argument("--jobs", type=int, default=40_000)
    parser.add_argument("--async-jobs", type=int, default=10_000)
    parser.add_argument("--idle", type=float, default=30.0, help="for rest and redis: seconds to watch a worker")
    sizes = {"type": int, "nargs": "+", "default": depth.SIZES}
    parser.add_argument("--sizes", metavar="JOBS", help="for depth: so many are waiting, growing", **sizes)
    backends = {"choices": tuple(depth.FRESH), "nargs": "+", "default": tuple(depth.FRESH)}
    parser.add_argument("--backends", help="for cost, depth and controls: on these; default: all", **backends)
    parser.add_argument("--picture", type=Path, help="for choosing: where it is drawn")
    options = parser.parse_args()
    print(measure.machine())
    complete = True
    with tempfile.TemporaryDirectory(prefix="narrowboat-bench-", dir=options.folder) as name:
        folder = Path(name)
        if "huey" in options.only:
            _beside_huey(folder, options.jobs)
        if "rest" in options.only:
            print("\nat rest (durability full)")
            _rest(folder, options.idle)
        if "redis" in options.only:
            print(f"\non Redis, {options.jobs:,} jobs a round, medians of {on_redis.ROUNDS} rounds")
            complete = on_redis.compare(folder, options.jobs, options.idle, _row) and complete
        if "postgres" in options.only:
            print(f"\non PostgreSQL, {options.jobs:,} jobs a round, medians of {on_postgres.ROUNDS} rounds")
            complete = on_postgres.compare(folder, options.jobs, _row) and complete
        if "delay" in options.only:
            print(f"\nwith a network in between, {options.jobs:,} jobs, medians of {delayed.ROUNDS} rounds")
            complete = delayed.compare(folder, options.jobs, _row) and complete
        if "cost" in options.only:
            print(f"\nprocessor time, {options.jobs:,} jobs a round, medians of {cost.ROUNDS} rounds")
            complete = cost.compare(folder, options.jobs, options.backends, _row) and complete
        if "depth" in options.only:
            print("\nwhile much waits: each verb, medians of calls")
            complete = depth.compare(folder, options.backends, options.sizes, _row) and complete
        if "controls" in options.only:
            print(f"\nclaimed and settled, 100 a step, under controls, medians of {controls.ROUNDS} rounds")
            complete = controls.compare(folder, options.backends, _row) and complete
        if "transports" in options.only:
            print(f"\nthrough transports, two executors or worker processes, medians of {transports.ROUNDS} rounds")
            folder.chmod(0o711)
            complete = transports.compare(folder) and complete
        if "choosing" in options.only:
            print("\nfrom a service that does not run yet: jobs that do nothing, two executors")
            folder.chmod(0o711)
            complete = choosing.compare(folder, options.picture) and complete
        if "async" in options.only:
            print(f"\n{options.async_jobs:,} asynchronous jobs, one process each")
            complete = async_jobs.compare(folder, options.async_jobs) and complete
        if "sandbox" in options.only:
            folder.chmod(0o711)  # executors of a worker that is root have a user of their own
            complete = sandbox.compare(folder, _row) and complete
        if "streams" in options.only:
            print(f"\n{streams.STREAMS:,} browsers, each looking at a job of its own")
            complete = streams.compare(folder, _row) and complete
        if "forms" in options.only:
            print("\na dozen people with four photos each, one after the other; 4 request threads, 2 executors")
            complete = forms.compare(folder, _row) and complete
    sys.exit(0 if complete else 1)


def _beside_huey(folder: Path, jobs: int) -> None:
    for durability, meaning in (
        ("full", "FULL: each commit is on the disk before it counts; Huey with fsync=True"),
        (
            "normal",
            "NORMAL: a power cut may lose the last commits, a crash none; Huey with fsync=False is OFF, weaker",
        ),
    ):
        print(f"\nsynchronous={meaning}")
        _compare(folder, durability, jobs)


def _compare(folder: Path, durability: str, jobs: int) -> None:
    bare = measure.commits_per_s(folder, durability)
    huey = peer.run(folder, durability == "full")
    with boat.database(folder, durability) as url:
        single, bulk = boat.enqueue_rates(3000, jobs)
        rate = boat.throughput(url, 2)
    with boat.database(folder, durability) as url, boat.worker(url, 2):
        p50, p99 = boat.latency_ms(300)
    best = max(huey["process"], huey["thread"])
    _row("bare one-row commits", f"{bare:,.0f} /s")
    _row("jobs that do nothing, 2 executors", f"{rate:,.0f} /s", f"{rate / bare:.2f} per bare commit")
    _row("  Huey, 2 worker processes", f"{huey['process']:,.0f} /s")
    _row("  Huey, 2 worker threads", f"{huey['thread']:,.0f} /s")
    _row("  Narrowboat : the better of these", f"{rate / best:.1f} x")
    _row("enqueue one by one", f"{single:,.0f} /s", f"Huey {huey['enqueue']:,.0f} /s")
    _row("enqueue in calls of 1,000", f"{bulk:,.0f} /s")
    _row("enqueue to start, idle worker, p50", f"{p50:.1f} ms", f"Huey {huey['p50_ms']:.1f} ms")
    _row("enqueue to start, idle worker, p99", f"{p99:.1f} ms", f"Huey {huey['p99_ms']:.1f} ms")
    _row("Huey with 2 worker processes, memory", f"{huey['pss_mib']:.1f} MiB (PSS)")
    _row("Huey with 2 worker processes, idle", f"{huey['idle_percent']:.2f} %", "of a core, polling every 10 ms")


def _row(name: str, value: str, note: str = "") -> None:
    print(f"  {name:<44}{value:>16}   {note}".rstrip(), flush=True)


def _rest(folder: Path, idle_s: float) -> None:
    with boat.database(folder, "full") as url:
        idle = boat.idle_percent(url, idle_s)
        few, many = boat.memory_mib(url, 2), boat.memory_mib(url, 64)
    _row("idle worker with 2 executors", f"{idle:.2f} %", f"of a core, over {idle_s:.0f} s")
    _row("whole tree, 2 waiting executors", f"{few:.1f} MiB", "(PSS)")
    _row("whole tree, 64 waiting executors", f"{many:.1f} MiB")
    _row("each further executor", f"{(many - few) / 62:.2f} MiB")


if __name__ == "__main__":
    main()
