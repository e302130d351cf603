"""Work done against time, from nothing: a service that is installed but does not run yet, no data, no worker.

The clock starts with the service. One process enqueues jobs that do nothing, a thousand in a call, and one worker with
two executors runs them; what is drawn is how many have run by when.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import NamedTuple

from .peers import ledger
from .peers.charts import Line, draw_lines
from .peers.session import WORKERS
from .peers.system import System
from .peers.worker import Producer, producing, running
from .transports import Services, ours

SECONDS = 12.0
EVERY_S = 0.1
CALLS_OF = 2_000
CHOICES = (
    ours("SQLite", "sqlite"),
    ours("Redis", "redis"),
    ours("PostgreSQL", "postgresql"),
    ours("Gearman and SQLite", "gearman+sqlite"),
    ours("RabbitMQ and Redis", "rabbitmq+redis"),
)
TITLE = "Work done against time, from nothing"


class Course(NamedTuple):
    """(seconds, jobs that have run), and when the first had."""

    points: list[tuple[float, int]]
    first_s: float


def compare(folder: Path, picture: Path | None) -> bool:
    """Print when the first job had run, and how many after a while; draw it into a file, if one is given."""
    lines: list[Line] = []
    print(f"  {'':<24}{'first job after':>18}{f'jobs after {SECONDS:.0f} s':>20}")
    for system in CHOICES:
        course = _course(system, folder)
        print(f"  {system.name:<24}{course.first_s:>16.2f} s{course.points[-1][1]:>20,}", flush=True)
        lines.append(Line(system.name, [(seconds, float(jobs)) for seconds, jobs in course.points]))
    if picture is not None:
        picture.write_text(draw_lines(TITLE, "jobs that have run", "seconds since its service was started", lines))
    return True


def _course(system: System, folder: Path) -> Course:
    began, points, log = time.monotonic(), [(0.0, 0)], folder / f"{system.name}.log"
    ledger.clear()
    with Services(folder) as services, services.at(system.server) as place:
        url = place.fresh()
        system.make_ready(url)
        with producing(system, url, "short", log) as producer, running(system, url, "short", WORKERS, log):
            is_over = threading.Event()
            web = threading.Thread(target=_keep_enqueuing, args=(producer, is_over))
            web.start()
            try:
                while (passed := time.monotonic() - began) < SECONDS:
                    points.append((passed, ledger.count()))
                    time.sleep(EVERY_S)
            finally:
                is_over.set()
                web.join()
    ran = ledger.records(range(2**32))
    if not ran:
        raise RuntimeError(f"{system.name}: no job ran within {SECONDS:.0f} s")
    return Course(points, ran[0].ended - began)


def _keep_enqueuing(producer: Producer, is_over: threading.Event) -> None:
    first = 0
    while not is_over.is_set():
        producer.ask(60, do="many", task="nothing", first=first, count=CALLS_OF)
        first += CALLS_OF
