"""`make bench`: one run, Narrowboat beside Huey, on SQLite in one folder."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from . import boat, measure, peer


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, help="where the databases go; default: a temporary folder")
    parser.add_argument("--jobs", type=int, default=40_000)
    parser.add_argument("--idle", type=float, default=30.0, help="seconds to watch an idle worker for")
    options = parser.parse_args()
    print(measure.machine())
    with tempfile.TemporaryDirectory(prefix="narrowboat-bench-", dir=options.folder) as name:
        folder = Path(name)
        for durability, meaning in (
            ("full", "FULL: each commit is on the disk before it counts; Huey with fsync=True"),
            (
                "normal",
                "NORMAL: may lose the last commits in a power cut, none in a crash; Huey's default is fsync=False",
            ),
        ):
            print(f"\nsynchronous={meaning}")
            _compare(folder, durability, options.jobs)
        print("\nat rest (durability full)")
        _rest(folder, options.idle)


def _compare(folder: Path, durability: str, jobs: int) -> None:
    bare = measure.commits_per_s(folder, durability)
    huey = peer.run(folder, durability == "full")
    with boat.database(folder, durability) as url:
        single, bulk = boat.enqueue_rates(3000, jobs)
        rate = boat.throughput(url, 2)
    with boat.database(folder, durability) as url, boat.worker(url, 2):
        p50, p99 = boat.latency_ms(300)
    best = max(huey["process"], huey["thread"])
    print(f"  bare one-row commits                      {bare:10,.0f} /s")
    print(f"  jobs that do nothing, 2 executors         {rate:10,.0f} /s   {rate / bare:5.2f} per bare commit")
    print(f"    Huey, 2 workers: process / thread       {huey['process']:10,.0f} / {huey['thread']:,.0f} /s")
    print(f"    Narrowboat : best of Huey               {rate / best:10.1f} x")
    print(f"  enqueue one by one                        {single:10,.0f} /s   Huey {huey['enqueue']:,.0f} /s")
    print(f"  enqueue in calls of 1,000                 {bulk:10,.0f} /s")
    print(
        f"  enqueue to start, idle worker, p50 / p99  {p50:10.1f} / {p99:.1f} ms   Huey {huey['p50_ms']:.1f} / {huey['p99_ms']:.1f} ms"
    )
    print(
        f"  Huey with 2 worker processes              {huey['pss_mib']:10.1f} MiB, idle {huey['idle_percent']:.2f} % of a core"
    )


def _rest(folder: Path, idle_s: float) -> None:
    with boat.database(folder, "full") as url:
        idle = boat.idle_percent(url, idle_s)
        few, many = boat.memory_mib(url, 2), boat.memory_mib(url, 64)
    print(f"  idle worker with 2 executors              {idle:10.2f} % of a core over {idle_s:.0f} s")
    print(f"  whole tree with 2 / 64 waiting executors  {few:10.1f} / {many:.1f} MiB (PSS)")
    print(f"  each further executor                     {(many - few) / 62:10.2f} MiB")


if __name__ == "__main__":
    main()
