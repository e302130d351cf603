"""The jobs on Narrowboat; NARROWBOAT_URL says where. Executors are locked in by default, but for the file of notes."""

from __future__ import annotations

import contextlib
from collections.abc import Generator

from narrowboat import App, Needs

from .. import jobs

IS_BULK = True
app = App("bench-peers")
NOTES = Needs(write=[jobs.LEDGER])


@app.task(needs=NOTES)
def nothing(number: int) -> None:
    """Does nothing."""
    jobs.nothing(number)


@app.task(needs=NOTES)
def busy(number: int) -> None:
    """Takes 5 ms of processor time."""
    jobs.busy(number)


@app.task(needs=NOTES, concurrency=1000)
async def wait(number: int) -> None:
    """Waits for 0.1 s."""
    await jobs.wait(number)


@app.task(needs=NOTES)
def hold(number: int) -> None:
    """Keeps an executor busy, so that more of them are started."""
    jobs.hold_in_place(number)


@app.task(needs=NOTES)
def linger(number: int) -> None:
    """Is killed."""
    jobs.linger(number)


TASKS = {"nothing": nothing, "busy": busy, "wait": wait, "hold": hold, "linger": linger}


@contextlib.contextmanager
def opened() -> Generator[None]:
    """Loads the backend and connects, which the first job would otherwise do; the other systems are loaded by now."""
    app.backend.stats()
    yield


def one(task: str, number: int) -> None:
    """Enqueue one."""
    TASKS[task].enqueue(number)


def many(task: str, numbers: list[int]) -> None:
    """Enqueue many in one call."""
    app.enqueue_many([TASKS[task].job(number) for number in numbers])
