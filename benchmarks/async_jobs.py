"""10,000 jobs that wait 0.1 s, on one process and 1,000 at a time: Narrowboat beside arq, SAQ, taskiq and streaQ.

All jobs are written before the worker starts. What a system does before its first job begins (importing, claiming
ahead) and after its last has ended (settling the last ones) is outside the clock, for all of them.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import tempfile
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

from . import measure, redis_server, tally
from .systems import NARROWBOAT, PEERS, System

AT_ONCE = 1000


@dataclass(frozen=True)
class Figures:
    """One system's run, from the first job's first line to the last job's last."""

    rate: float
    cpu_ms: float
    """Processor time of the worker and all below it, for each job."""
    server_ms: float
    """The same of redis-server."""
    peak: int


def compare(folder: Path, count: int) -> bool:
    """Measure all of them, print a table, and say whether all could be measured."""
    print(f"  ceiling: {AT_ONCE / tally.WAIT_S:,.0f} jobs/s ({AT_ONCE:,} at a time, {tally.WAIT_S} s each)")
    print("  Narrowboat: SQLite, each commit on the disk. The others: Redis, in memory alone.")
    print(f"  {'':<12}{'jobs/s':>10}{'CPU s per 1,000':>18}{'of redis-server':>18}{'most at a time':>17}")
    found: dict[str, Figures] = {}
    for system in (NARROWBOAT, *PEERS):
        try:
            system.python()
            found[system.name] = figures = _run(system, folder, count)
        except (RuntimeError, TimeoutError, OSError, subprocess.SubprocessError) as error:
            print(f"  {system.name:<12}FAILED: {str(error).strip()}", flush=True)
            continue
        server = f"{figures.server_ms:.3f}" if system.packages else "none"
        numbers = f"{figures.rate:>10,.0f}{figures.cpu_ms:>18.3f}{server:>18}{figures.peak:>17,}"
        print(f"  {system.name:<12}{numbers}   {system.versions()}".rstrip(), flush=True)
    _ratios(found)
    return len(found) == 1 + len(PEERS)


def _ratios(found: dict[str, Figures]) -> None:
    ours = found.get(NARROWBOAT.name)
    peers = {name: figures for name, figures in found.items() if name != NARROWBOAT.name}
    if not ours or not peers:
        print("  no ratio: Narrowboat or every peer failed", flush=True)
        return
    fastest = max(peers, key=lambda name: peers[name].rate)
    leanest = min(peers, key=lambda name: peers[name].cpu_ms)
    whole = min(peers, key=lambda name: peers[name].cpu_ms + peers[name].server_ms)
    with_server = peers[whole].cpu_ms + peers[whole].server_ms
    for what, ratio, peer in (
        ("jobs/s, Narrowboat : the best peer", ours.rate / peers[fastest].rate, fastest),
        ("CPU, Narrowboat : the leanest peer's worker", ours.cpu_ms / peers[leanest].cpu_ms, leanest),
        ("CPU, Narrowboat : the leanest with its redis-server", ours.cpu_ms / with_server, whole),
    ):
        print(f"  {what:<52}{ratio:>7.2f} x   ({peer})", flush=True)


def _run(system: System, parent: Path, count: int) -> Figures:
    folder = Path(tempfile.mkdtemp(prefix=f"{system.name}-", dir=parent))
    with _place(system, folder) as (url, server):
        system.enqueue(url, folder, count)
        log = folder / "log"
        process = system.start(url, log)
        try:
            _await(folder / tally.BEGAN, process, log)
            began, server_began = _cpu_s(process.pid), _cpu_s(server)
            _await(folder / tally.DONE, process, log)
            cpu, server_cpu = _cpu_s(process.pid) - began, _cpu_s(server) - server_began
        finally:
            _stop(process)
    seen = json.loads((folder / tally.DONE).read_text())
    return Figures(count / seen["seconds"], 1000 * cpu / count, 1000 * server_cpu / count, seen["peak"])


@contextlib.contextmanager
def _place(system: System, folder: Path) -> Generator[tuple[str, int | None]]:
    if system.packages:
        with redis_server.private(folder) as (url, pid):
            yield url, pid
    else:
        yield f"sqlite:///{folder / 'jobs.db'}?durability=full", None


def _await(file: Path, process: subprocess.Popen[bytes], log: Path) -> None:
    measure.until(lambda: file.exists() or process.poll() is not None, 300)
    if not file.exists():
        raise RuntimeError(f"the worker ended with {process.returncode}:\n{log.read_text()[-3000:]}")


def _cpu_s(pid: int | None) -> float:
    """Of a tree in which helpers may end while it is read."""
    for _ in range(20):
        with contextlib.suppress(OSError):
            return measure.cpu_s(measure.tree(pid)) if pid else 0.0
    raise RuntimeError("the worker ended while it was measured")


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(40)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
