"""What is measured the same way for every system: process trees, percentiles, waiting."""

from __future__ import annotations

import contextlib
import os
import platform
import sqlite3
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


def machine() -> str:
    """One line about the machine."""
    model = "processor unknown"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    return f"{model}, {os.cpu_count()} cores, Linux {platform.release()}, Python {platform.python_version()}"


def tree(pid: int) -> list[int]:
    """A process and all below it."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents.setdefault(int(fields[1]), []).append(int(entry.name))
    found, waiting = [pid], [pid]
    while waiting:
        below = parents.get(waiting.pop(), [])
        found += below
        waiting += below
    return found


def cpu_s(pids: Iterable[int]) -> float:
    """Processor seconds that these processes have used, and those of their children that have ended."""
    total = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += sum(map(int, fields[11:15]))
    return total / TICKS


def run_s(pid: int) -> float:
    """Processor seconds of the threads that a process has now, to the nanosecond."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def tree_cpu_s(*roots: int) -> float:
    """The same of whole trees, in which processes may end while they are read."""
    for _ in range(20):
        with contextlib.suppress(OSError):
            return sum(cpu_s(tree(root)) for root in roots)
    raise RuntimeError("the process ended while it was measured")


def pss_mib(pids: Iterable[int]) -> float:
    """Memory of these processes in MiB, shared pages counted in parts (PSS)."""
    total = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1])
    return total / 1024


def tree_pss_mib(*roots: int) -> float:
    """The same of whole trees."""
    for _ in range(20):
        with contextlib.suppress(OSError):
            return sum(pss_mib(tree(root)) for root in roots)
    raise RuntimeError("the process ended while it was measured")


def idle_share(pid: int, seconds: float) -> float:
    """The share of one core, in percent, that an idle tree uses."""
    pids = tree(pid)
    before, began = cpu_s(pids), time.monotonic()
    time.sleep(seconds)
    return 100 * (cpu_s(pids) - before) / (time.monotonic() - began)


def until(condition: Callable[[], bool], limit_s: float = 120.0) -> None:
    """Wait for a condition, looking a hundred times a second."""
    end = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError("the measured system did not finish")
        time.sleep(0.01)


def percentiles(values: list[float]) -> tuple[float, float]:
    """p50 and p99."""
    ordered = sorted(values)
    return statistics.median(ordered), ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]


def medians_and_tenths_us(runs: Sequence[Mapping[str, float]]) -> tuple[dict[str, float], dict[str, float]]:
    """Of nanoseconds by name, in microseconds: medians, and what the fastest tenth took at most."""
    names = runs[0]
    medians = {name: statistics.median(run[name] for run in runs) / 1000 for name in names}
    return medians, {name: sorted(run[name] for run in runs)[len(runs) // 10] / 1000 for name in names}


def commits_per_s(folder: Path, synchronous: str, count: int = 1000) -> float:
    """How many one-row transactions a second SQLite itself does here, one after the other."""
    path = folder / f"bare-{synchronous}.db"
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute(f"PRAGMA synchronous={synchronous}")
    connection.execute("CREATE TABLE t (a)")
    began = time.perf_counter()
    for number in range(count):
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT INTO t VALUES (?)", (number,))
        connection.execute("COMMIT")
    rate = count / (time.perf_counter() - began)
    connection.close()
    return rate
