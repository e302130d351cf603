"""The studio's two forms under the same load: the work inside the request, and the work on the queue."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path

from examples.studio import app
from examples.studio.crowd import PATHS, ask, form_with
from examples.studio.demo import free_port, is_up, programs
from examples.studio.samples import samples

from . import boat, measure

PEOPLE, TIMES = 12, 4  # each sends a photo, and the next when the last was answered
Row = Callable[..., None]


@dataclass
class Load:
    """Seconds of each answer, and of a small request that somebody else makes meanwhile, again and again."""

    answers: list[float] = field(default_factory=list[float])
    others: list[float] = field(default_factory=list[float])
    jobs: list[str] = field(default_factory=list[str])
    refused: int = 0
    answered_s: float = 0.0
    ready_s: float = 0.0


def compare(folder: Path, row: Row) -> bool:
    """Measure and print both. False if any request was not answered as it should be."""
    photo = samples(folder / "samples")[0]
    with (
        boat.database(folder, "full", app) as url,
        boat.worker(url, 2, "examples.studio:app"),
        web(folder, url) as port,
    ):
        loads = {form: load(port, form, photo) for form in (1, 2)}
    for form, where in ((1, "inside the request"), (2, "on the queue")):
        _print(row, f"Form {form}, {where}", loads[form])
    one, two = loads[1], loads[2]
    row("requests/s, Form 2 : Form 1", f"{one.answered_s / two.answered_s:.1f} x")
    row("p99, Form 1 : Form 2", f"{measure.percentiles(one.answers)[1] / measure.percentiles(two.answers)[1]:.1f} x")
    return not one.refused and not two.refused


def load(port: int, form: int, photo: Path) -> Load:
    """Everybody's photos at one form, until each is answered and all thumbnails are made."""
    found, over = Load(), threading.Event()
    kind, body = form_with(photo)
    lock, began = threading.Lock(), time.perf_counter()

    def person() -> None:
        for _ in range(TIMES):
            said = ask(f"http://127.0.0.1:{port}", PATHS[form], kind, body)
            with lock:
                found.answers.append(said["seconds"])
                found.refused += said["status"] not in (200, 202)
                found.jobs += [said["job"]] if said["job"] else []

    other = threading.Thread(target=somebody_else, args=(port, found, over))
    crowd = [threading.Thread(target=person) for _ in range(PEOPLE)]
    for thread in (other, *crowd):
        thread.start()
    for thread in crowd:
        thread.join()
    found.answered_s = time.perf_counter() - began
    for job in found.jobs:
        app.get(job).wait(120)  # asleep: who looks again and again takes a processor from the work
    found.ready_s = time.perf_counter() - began
    over.set()
    other.join()
    return found


def somebody_else(port: int, found: Load, over: threading.Event) -> None:
    """One small request after the other, from before the crowd comes until its thumbnails are made."""
    while not over.is_set():
        began = time.perf_counter()
        with contextlib.closing(HTTPConnection("127.0.0.1", port, timeout=120)) as connection:
            connection.request("GET", "/heartbeat")
            connection.getresponse().read()
        found.others.append(time.perf_counter() - began)
        over.wait(0.1)


@contextlib.contextmanager
def web(folder: Path, url: str) -> Generator[int]:
    """The studio's web process; yields its port."""
    port, env = free_port(), {**os.environ, "NARROWBOAT_URL": url}
    with (folder / "web.log").open("wb") as log:
        command = [sys.executable, "-m", *programs(port)["web"]]
        process = subprocess.Popen(command, cwd=boat.ROOT, env=env, stdout=log, stderr=log)
    try:
        measure.until(lambda: is_up(port))
        yield port
    finally:
        process.terminate()
        process.wait(20)


def _print(row: Row, name: str, load: Load) -> None:
    (half, most), (_, other) = measure.percentiles(load.answers), measure.percentiles(load.others)
    row(name, f"{len(load.answers) / load.answered_s:,.1f} requests/s")
    row("  answered after, p50", f"{half * 1000:,.0f} ms")
    row("  answered after, p99", f"{most * 1000:,.0f} ms")
    row("  a small request of somebody else, p99", f"{other * 1000:,.0f} ms", f"of {len(load.others)}")
    row(f"  all {len(load.answers)} photos' thumbnails made after", f"{load.ready_s:,.1f} s")
    if load.refused:
        row("  not answered as they should be", f"{load.refused}")
