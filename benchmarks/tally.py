"""The measured asynchronous job, the same in every system: wait 0.1 s, and count.

The module is loaded in the process that runs the jobs, whichever system that belongs to, and needs nothing but Python.
The folder comes with each job, because Narrowboat's executors get no environment.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

WAIT_S = 0.1
BEGAN, DONE = "began", "done.json"


class Tally:
    """How many jobs ran in this process, from when to when, and how many at a time."""

    def __init__(self) -> None:
        self.began_at = 0.0
        self.running = self.peak = self.finished = 0

    async def job(self, folder: str, count: int) -> None:
        """Wait; the first job leaves a file, and so does the last of so many."""
        if not self.began_at:
            Path(folder, BEGAN).touch()
            self.began_at = time.monotonic()
        self.running += 1
        self.peak = max(self.peak, self.running)
        await asyncio.sleep(WAIT_S)
        self.running -= 1
        self.finished += 1
        if self.finished == count:
            self._write(Path(folder), time.monotonic() - self.began_at)

    def _write(self, folder: Path, seconds: float) -> None:
        unfinished = folder / "unfinished"
        unfinished.write_text(json.dumps({"seconds": seconds, "peak": self.peak}))
        unfinished.rename(folder / DONE)


job = Tally().job


async def in_hundreds(enqueue: Callable[[], Awaitable[object]], count: int) -> None:
    """Enqueue so many jobs, a hundred at a time, for systems without a call that takes many."""
    for start in range(0, count, 100):
        await asyncio.gather(*(enqueue() for _ in range(min(100, count - start))))
