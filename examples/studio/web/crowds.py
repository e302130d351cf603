"""The dozen people who come at once: started by a button, one dozen at a time, and what became of them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from narrowboat.backends.base import Backend

from ..crowd import PEOPLE

ROOT = Path(__file__).resolve().parents[3]
LIMIT_S = 90.0


@dataclass
class Crowd:
    """A dozen people at one form.

    jobs: those not known to have ended. pictures: when each was ready. failed: how many never will be.
    """

    form: int
    began: float = field(default_factory=time.time)
    answers: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    jobs: set[str] = field(default_factory=set[str])
    pictures: list[float] = field(default_factory=list[float])
    failed: int = 0
    ended: float | None = None

    def take(self, answer: dict[str, Any]) -> None:
        """One person was answered."""
        self.answers.append({name: answer[name] for name in ("status", "seconds", "at")})
        if answer["job"]:
            self.jobs.add(answer["job"])
        elif answer["status"] == 200:
            self.pictures.append(answer["at"])
        else:
            self.failed += 1

    def document(self) -> dict[str, Any]:
        """Figures for the page; None where there is none yet."""
        took = sorted(answer["seconds"] for answer in self.answers)
        return {
            "form": self.form,
            "began": self.began,
            "ended": self.ended,
            "people": PEOPLE,
            "answers": list(self.answers),
            "half_s": round(statistics.median(took), 3) if took else None,
            "slowest_s": took[-1] if took else None,
            "pictures": len(self.pictures),
            "failed": self.failed,
            "pictures_s": round(max(self.pictures) - self.began, 2) if len(self.pictures) == PEOPLE else None,
        }


class Crowds:
    """The latest crowd at each form."""

    def __init__(self) -> None:
        self.changed: Callable[[], None] = lambda: None
        self.latest: dict[int, Crowd] = {}
        self.running: Crowd | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self, form: int, url: str) -> bool:
        """Send a dozen people to a form. False while others are under way."""
        if self.running:
            return False
        self.running = self.latest[form] = Crowd(form)
        self._task = asyncio.create_task(self._follow(self.running, url))
        return True

    def document(self) -> dict[str, Any]:
        """Who is under way, and both crowds."""
        crowds = {str(form): crowd.document() for form, crowd in sorted(self.latest.items())}
        return {"running": self.running.form if self.running else None, "crowds": crowds}

    def look(self, backend: Backend) -> None:
        """See which of the crowd's jobs have ended. From any thread."""
        crowd = self.running
        if not crowd or not crowd.jobs:
            return
        for job in backend.get(list(crowd.jobs)):
            if job is not None and job.finished_at is not None:
                if job.state == "succeeded":
                    crowd.pictures.append(job.finished_at)
                else:
                    crowd.failed += 1
                crowd.jobs.discard(job.id)

    async def close(self) -> None:
        """End the crowd that is under way."""
        if self._task:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _follow(self, crowd: Crowd, url: str) -> None:
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LIMIT_S):
                    await self._listen(crowd, url)
                    while crowd.jobs:
                        await asyncio.sleep(0.1)
        finally:
            crowd.ended, self.running = time.time(), None
            self.changed()

    async def _listen(self, crowd: Crowd, url: str) -> None:
        words = ["-m", "examples.studio.crowd", "--form", str(crowd.form), url]
        process = await asyncio.create_subprocess_exec(sys.executable, *words, stdout=asyncio.subprocess.PIPE, cwd=ROOT)
        assert process.stdout is not None
        try:
            async for line in process.stdout:
                crowd.take(json.loads(line))
                self.changed()
        except BaseException:
            process.kill()  # not when it has ended by itself: the call would take its exit status from under asyncio
            raise
        finally:
            await process.wait()
