"""What a network costs: jobs/s of a worker whose messages to the server, and the answers, take a millisecond longer.

The same worker goes through the same proxy without the delay, in turn, so that what the proxy itself costs is in both.
"""

from __future__ import annotations

import contextlib
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from pathlib import Path

from . import boat, postgres_server, redis_server

DELAY_S = 0.001  # each way
ROUNDS = 3
ROOT = Path(__file__).resolve().parents[1]
PROXY = """
import sys
from tests.support.proxy import Proxy

print(Proxy(int(sys.argv[1]), float(sys.argv[2])).port, flush=True)
sys.stdin.read()  # until it is told to end
"""
Row = Callable[[str, str], None]


def compare(folder: Path, jobs: int, row: Row) -> bool:
    """Print jobs/s on each server: without a proxy, through one, and through one that delays."""
    with redis_server.private(folder) as (url, _):
        spaces = (f"{url}?namespace=delayed-{n}" for n in range(100))
        _on("Redis", lambda: next(spaces), folder, jobs, row)
    with postgres_server.private() as server:
        _on("PostgreSQL", server.fresh, folder, jobs, row)
    return True


def _on(name: str, fresh: Callable[[], str], folder: Path, jobs: int, row: Row) -> None:
    rates: dict[float | None, list[float]] = {None: [], 0.0: [], DELAY_S: []}
    for _ in range(ROUNDS):
        for delay_s, found in rates.items():
            with boat.at(fresh()) as url, _through(url, delay_s) as there:
                boat.enqueue_rates(0, jobs)
                found.append(boat.throughput(there, 2, log=folder / f"{time.monotonic_ns()}.log"))
    direct, near, far = (statistics.median(found) for found in rates.values())
    row(f"{name}, run, two executors", f"{direct:,.0f} jobs/s")
    row("  through a proxy", f"{near:,.0f} jobs/s")
    row(f"  that adds {DELAY_S * 1000:g} ms each way", f"{far:,.0f} jobs/s, {far / near:.0%} of that; aim: 67%")


@contextlib.contextmanager
def _through(url: str, delay_s: float | None) -> Generator[str]:
    """The URL by way of a proxy in a process of its own; None: as it is."""
    if delay_s is None:
        yield url
        return
    before, _, rest = url.partition("127.0.0.1:")
    port = rest.partition("/")[0].partition("?")[0]
    command = [sys.executable, "-c", PROXY, port, str(delay_s)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"{before}127.0.0.1:{process.stdout.readline().strip()}{rest.removeprefix(port)}"
        finally:
            process.terminate()
