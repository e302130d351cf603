"""What the sandbox costs: each layer, fresh executors beside RQ, reused ones with and without it, memory, start-up."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from . import boat, crowd, fork_per_job, layers, sandbox_app, zygotes

CHILDREN, ZYGOTES = 400, 20
ROUNDS = 3
FRESH_JOBS, RQ_JOBS, REUSED_JOBS = 1500, 400, 20_000
EXECUTORS = 256
Row = Callable[..., None]


def compare(folder: Path, row: Row) -> bool:
    """Measure and print all of it. Whether everything could be measured."""
    _layers(row)
    is_whole = _fresh(folder, row)
    _reused(folder, row)
    _start(folder, row)
    if os.geteuid() != 0:
        print("  memory: not measured; only root may look into processes that have locked themselves in")
        return False
    _memory(folder, row)
    return is_whole


def _layers(row: Row) -> None:
    host, spent, tenth = layers.run(CHILDREN)
    print(f"\nlocking in a fresh executor ({host}; medians of {CHILDREN} forks)")
    fork, whole = spent.pop("fork"), spent.pop("whole")
    row("fork", f"{fork:,.0f} us", "with what Python does after one")
    for name, us in spent.items():
        row(name, f"{us:,.0f} us")
    row("between them", f"{whole - fork - sum(spent.values()):,.0f} us", "the interpreter, and its pages copied")
    row("all of it, without the fork", f"{whole - fork:,.0f} us")
    row("all of it, with the fork", f"{whole:,.0f} us", _aim(whole < 3000, "under 3,000"))
    row("  the fastest tenth of them", f"{tenth['whole']:,.0f} us", "or faster")
    once, _ = zygotes.run(ZYGOTES)
    print(f"\nonce, before any executor (medians of {ZYGOTES})")
    row("exec, to the first line of Python", f"{once.pop(zygotes.EXEC):,.0f} us")
    row("zygote, to its manifest", f"{once.pop(zygotes.ZYGOTE):,.0f} us", "with that; of an app without tasks")
    row("branch, to its walls", f"{once.pop(zygotes.WALLS):,.0f} us")
    probe = once.pop(zygotes.PROBE)
    for name, us in once.items():
        row(f"  {name}", f"{us:,.0f} us")
    row("attack from within", f"{probe:,.0f} us", "from the request to what was found")


def _fresh(folder: Path, row: Row) -> bool:
    print(f"\na process for each job that does nothing, two cores, medians of {ROUNDS} rounds in turn", flush=True)
    rates: dict[tuple[str, str], list[float]] = {}
    error = ""
    ours, peers = partial(fork_per_job.narrowboat_rate, folder), partial(fork_per_job.rq_rate, folder)
    measured: dict[str, dict[str, Callable[[], float]]] = {
        "lean": {
            "Narrowboat untrusted, 2 slots": partial(ours, "lean", FRESH_JOBS, 2, "best"),
            "Narrowboat untrusted, 4 slots": partial(ours, "lean", FRESH_JOBS, 4, "best"),
            "  2 slots, --sandbox off": partial(ours, "lean", FRESH_JOBS, 2, "off"),
            "RQ, 2 workers": partial(peers, "lean", RQ_JOBS, 2),
        },
        "Pillow": {
            "Narrowboat untrusted, 2 slots": partial(ours, "Pillow", FRESH_JOBS, 2, "best"),
            "RQ, 2 workers": partial(peers, "Pillow", RQ_JOBS, 2),
        },
    }
    for _ in range(ROUNDS):
        for kind, systems in measured.items():
            for name, rate in systems.items():
                try:
                    rates.setdefault((kind, name), []).append(rate())
                except (OSError, RuntimeError) as failure:
                    error = str(failure)
    if error:
        row("RQ", "FAILED", error.strip())
        return False
    for kind, systems in measured.items():
        print("  an app that imports nothing" if kind == "lean" else "  an app with Pillow and its formats")
        found = {name: rates[kind, name] for name in systems}
        for name, several in found.items():
            row(f"  {name}", f"{statistics.median(several):,.0f} /s", _range(several))
        best = max(statistics.median(several) for name, several in found.items() if name.startswith("Narrowboat"))
        ratio = best / statistics.median(found["RQ, 2 workers"])
        row("    with everything, Narrowboat : RQ", f"{ratio:.1f} x", _aim(ratio >= 4 and best >= 150, "4 x, 150 /s"))
    with boat.database(folder, "full", sandbox_app.app) as url, boat.worker(url, 2, boat.SANDBOX_APP):
        for name, task in (("reused", sandbox_app.when), ("untrusted", sandbox_app.when_fresh)):
            p50, p99 = boat.latency_ms(200, task)
            row(f"enqueue to start, idle worker, {name}", f"{p50:.1f} ms", f"p99 {p99:.1f} ms")
    return True


def _reused(folder: Path, row: Row) -> None:
    print(f"\njobs that do nothing, 2 executors used again, medians of {ROUNDS} rounds in turn", flush=True)
    rates: dict[str, list[float]] = {"best": [], "off": []}
    for number in range(ROUNDS):
        for sandbox in ("best", "off") if number % 2 else ("off", "best"):
            with boat.database(folder, "normal", sandbox_app.app) as url:
                sandbox_app.app.enqueue_many([sandbox_app.nothing.job() for _ in range(REUSED_JOBS)])
                rates[sandbox].append(boat.throughput(url, 2, sandbox_app.app, boat.SANDBOX_APP, "--sandbox", sandbox))
    best, off = (statistics.median(rates[sandbox]) for sandbox in ("best", "off"))
    row("--sandbox best", f"{best:,.0f} /s", _range(rates["best"]))
    row("--sandbox off", f"{off:,.0f} /s", _range(rates["off"]))
    row("  best : off", f"{best / off:.3f} x", _aim(best >= 0.95 * off, "0.95 x"))


def _start(folder: Path, row: Row) -> None:
    print(f"\nfrom the command to a worker that takes work, medians of {ROUNDS}", flush=True)
    for sandbox in ("best", "off"):
        taken: list[float] = []
        for _ in range(ROUNDS):
            with boat.database(folder, "full", sandbox_app.app) as url:
                began = time.perf_counter()
                with boat.worker(url, 2, boat.SANDBOX_APP, "--sandbox", sandbox):
                    taken.append(time.perf_counter() - began)
        row(f"--sandbox {sandbox}", f"{statistics.median(taken):.2f} s", "Pillow imported, an attack from within tried")


def _memory(folder: Path, row: Row) -> None:
    print(f"\n{EXECUTORS} locked executors, each of which has made a thumbnail of a photo (PSS)", flush=True)
    found = crowd.reused(folder, EXECUTORS)
    row("processes that made one", f"{found.made}")
    row("worker and zygotes", f"{found.base:.1f} MiB")
    row("each executor", f"{statistics.mean(found.executors):.2f} MiB")
    gigabytes = found.whole * 2**20 / 1e9
    row("all of it", f"{found.whole:,.0f} MiB", f"{gigabytes:.2f} GB; {_aim(gigabytes < 1.3, 'under 1.3 GB')}")
    row("fit in 4 GiB", f"{found.in_4_gb():,}")
    used, spare = crowd.fresh(folder)
    row("an untrusted task's, after its thumbnail", f"{used:.2f} MiB")
    row("one that waits for its job", f"{spare:.2f} MiB")


def _range(found: Sequence[float]) -> str:
    return f"{min(found):,.0f} to {max(found):,.0f}"


def _aim(is_reached: bool, aim: str) -> str:
    return f"aim {aim}: {'reached' if is_reached else 'NOT reached'}"
