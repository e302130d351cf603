"""10,000 jobs that wait 0.1 s, on one process and 1,000 at a time: Narrowboat on SQLite beside four systems on Redis.

All jobs are written before the worker starts. What a system does before its first job begins (importing, claiming
ahead) and after its last has ended (settling the last ones) is outside the clock, for all of them.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from .peers import jobs, systems
from .peers.places import Places
from .peers.session import Figures, Plan, Session
from .peers.system import System

NARROWBOAT = systems.NARROWBOAT_SQLITE
PEERS = (systems.ARQ, systems.SAQ, systems.TASKIQ, systems.STREAQ)


def compare(folder: Path, count: int) -> bool:
    """Measure all of them, print a table, and say whether all could be measured."""
    at_once = systems.AT_ONCE
    folder.chmod(0o711)  # executors of a worker that is root have users of their own
    print(f"  ceiling: {at_once / jobs.WAIT_S:,.0f} jobs/s ({at_once:,} at a time, {jobs.WAIT_S} s each)")
    print("  Narrowboat: SQLite, each commit on the disk. The others: Redis, in memory alone.")
    print(f"  {'':<20}{'jobs/s':>10}{'CPU s per 1,000':>18}{'of redis-server':>18}{'most at a time':>17}")
    found: dict[str, Figures] = {}
    complete = True
    with Places(folder) as places:
        for system in (NARROWBOAT, *PEERS):
            figures: Figures = {}
            try:
                system.python()
                Session(system, places.get(system.server), Plan(), folder, {}, figures).waiting(workers=1, count=count)
            except (RuntimeError, TimeoutError, OSError, subprocess.SubprocessError) as error:
                complete = False
                print(f"  {system.name:<20}FAILED: {str(error).strip()}", flush=True)
            if "wait" in figures:
                found[system.name] = figures
                print(f"  {system.name:<20}{_row(system, figures)}   {system.versions()}", flush=True)
    _ratios(found)
    return complete


def _row(system: System, figures: Figures) -> str:
    server = "none" if system.is_ours else f"{figures['wait_server_ms']:.3f}"
    return f"{figures['wait']:>10,.0f}{figures['wait_cpu_ms']:>18.3f}{server:>18}{figures['wait_peak']:>17,}"


def _ratios(found: dict[str, Figures]) -> None:
    ours = found.get(NARROWBOAT.name)
    peers = {name: figures for name, figures in found.items() if name != NARROWBOAT.name}
    if not ours or not peers:
        print("  no ratio: Narrowboat or every peer failed", flush=True)
        return
    fastest = max(peers, key=lambda name: peers[name]["wait"])
    leanest = min(peers, key=lambda name: peers[name]["wait_cpu_ms"])
    whole = min(peers, key=lambda name: _with_server(peers[name]))
    for what, ratio, peer in (
        ("jobs/s, Narrowboat : the best peer", ours["wait"] / peers[fastest]["wait"], fastest),
        ("CPU, Narrowboat : the leanest peer's worker", ours["wait_cpu_ms"] / peers[leanest]["wait_cpu_ms"], leanest),
        (
            "CPU, Narrowboat : the leanest with its redis-server",
            ours["wait_cpu_ms"] / _with_server(peers[whole]),
            whole,
        ),
    ):
        print(f"  {what:<52}{ratio:>7.2f} x   ({peer})", flush=True)


def _with_server(figures: Figures) -> float:
    return figures["wait_cpu_ms"] + figures["wait_server_ms"]
