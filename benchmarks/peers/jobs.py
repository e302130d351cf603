"""What the measured jobs do, the same in every system: note that they ran, and from when to when.

Loaded in the processes that run the jobs, whichever system those belong to, and needs nothing but Python. The notes go
to a file with a fixed name, because Narrowboat's executors get no environment; one append of 20 bytes for each job,
which is what the measuring costs every system alike.
"""

from __future__ import annotations

import asyncio
import os
import struct
import time
from pathlib import Path

LEDGER = Path(__file__).resolve().parents[2] / ".venv" / "peers" / "ledger"
RECORD = struct.Struct("<Idd")  # the job's number, and when it began and ended by CLOCK_MONOTONIC, which all share
BUSY_S, WAIT_S, HOLD_S, LINGER_S = 0.005, 0.1, 2.0, 30.0

_descriptors: list[int] = []


def nothing(number: int) -> None:
    """Does nothing."""
    began = time.monotonic()
    _note(number, began)


def busy(number: int) -> None:
    """Takes 5 ms of processor time, however many share the processor."""
    began, end = time.monotonic(), time.thread_time() + BUSY_S
    while time.thread_time() < end:
        pass
    _note(number, began)


async def wait(number: int) -> None:
    """Waits for 100 ms, and lets others run meanwhile."""
    began = time.monotonic()
    await asyncio.sleep(WAIT_S)
    _note(number, began)


def wait_in_place(number: int) -> None:
    """The same for systems without coroutines: a thread, a greenlet or the whole process waits."""
    began = time.monotonic()
    time.sleep(WAIT_S)
    _note(number, began)


async def hold(number: int) -> None:
    """Takes so long that every other worker of a fleet can get a job as well."""
    began = time.monotonic()
    await asyncio.sleep(HOLD_S)
    _note(number, began)


def hold_in_place(number: int) -> None:
    """The same for systems without coroutines."""
    began = time.monotonic()
    time.sleep(HOLD_S)
    _note(number, began)


def linger(number: int) -> None:
    """Notes that it began, and is then to be killed."""
    _note(number, time.monotonic())
    time.sleep(LINGER_S)


def _note(number: int, began: float) -> None:
    if not _descriptors:
        _descriptors.append(os.open(LEDGER, os.O_WRONLY | os.O_APPEND))
    os.write(_descriptors[0], RECORD.pack(number, began, time.monotonic()))
