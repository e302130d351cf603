"""kill -9 of a worker in the middle of a job: does the worker beside it run it again, and after how long?

All systems are tried at the same time, each on a server of its own: it is waiting, mostly.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .. import measure
from . import ledger
from .places import Places
from .system import System
from .worker import Workers, producing, running

START_S = 8.0  # within which the second worker is up, while all others start, too; SAQ gives up a job after 10

WARM = 1_000_000  # added to the number of a job that only shows that its worker is up

Seen = dict[str, float | str | None]
"""By system: seconds until the job began again, None if it did not, or what went wrong."""


def all_at_once(systems: Sequence[System], limit_s: float, folder: Path) -> Seen:
    """What became of each one's job within the limit."""
    ledger.clear()
    with ThreadPoolExecutor(len(systems)) as pool:
        found = pool.map(lambda pair: _seen(*pair, limit_s, folder), enumerate(systems))
        return {system.name: seen for system, seen in zip(systems, found, strict=True)}


def _seen(number: int, system: System, limit_s: float, parent: Path) -> float | str | None:
    folder = parent / f"killed-{number}"
    folder.mkdir()
    folder.chmod(0o711)
    try:
        with Places(folder) as places:
            url = places.get(system.server).fresh()
            system.make_ready(url)
            return _after_kill(number, system, url, limit_s, folder / "log")
    except (RuntimeError, OSError) as error:
        return str(error)


def _after_kill(number: int, system: System, url: str, limit_s: float, log: Path) -> float | None:
    doomed = Workers(system, url, "short", 1, log)
    try:
        with producing(system, url, "short", log) as producer:
            for task, one in (("nothing", number + WARM), ("linger", number)):  # what is up has done its first sweeps
                producer.ask(60, do="one", task=task, first=one, count=1)
                measure.until(lambda one=one: _runs(one) > 0 or not doomed.is_alive(), 90)
        if not _runs(number):
            raise RuntimeError(f"the worker ended before it began the job: {doomed.said()}")
        with running(system, url, "short", 1, log) as beside:
            time.sleep(START_S)
            killed_at = time.monotonic()
            doomed.kill()
            try:
                measure.until(lambda: _runs(number) > 1 or not beside.is_alive(), limit_s)
            except TimeoutError:
                return None
            finally:
                beside.kill()
    finally:
        doomed.kill()
    found = ledger.records(range(number, number + 1))
    return found[1].began - killed_at if len(found) > 1 else None


def _runs(number: int) -> int:
    return len(ledger.records(range(number, number + 1)))
