"""One watcher for all streams of a process: however many browsers look on, one wait stands at the backend.

All state belongs to the event loop; only what blocks runs in a thread. A stream holds at most the latest document of
each of its jobs, so one that reads slowly skips what is old, and costs nothing more.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec

from ..core.errors import NarrowboatError
from ..core.ids import new_job_id
from ..core.job import Job
from ..core.states import State
from .document import Document
from .reader import Reader

log = logging.getLogger("narrowboat.web")
T = TypeVar("T")
WATCH_S = 5.0  # the longest wait at the backend
REST_S = 0.04  # between two looks, so that a busy backend is asked at most 25 times a second
LINE_S = 2.0  # how often places in line are looked at while somebody waits in one
MOST_IN_LINE = 500  # places that are looked at in one go; the others have their turn next
AWAY_S = 10.0  # the longest pause after an error


class Subscription:
    """The jobs of one stream. `take` gives what is new, `wait` sleeps until there is something."""

    def __init__(self, ids: Sequence[str]) -> None:
        self.ids = tuple(dict.fromkeys(ids))
        self.is_over = False  # the process shuts down
        self._waiting: dict[str, Document | None] = {}
        self._wake = asyncio.Event()

    def put(self, job_id: str, found: Document | None) -> None:
        """What is shown next of a job: None for one that does not exist (any more)."""
        self._waiting[job_id] = found
        self._wake.set()

    def take(self) -> dict[str, Document | None]:
        """What is new since the last time."""
        taken, self._waiting = self._waiting, {}
        self._wake.clear()
        if self.is_over:
            self._wake.set()
        return taken

    async def wait(self) -> None:
        """Sleep until there is something to take, or it is over."""
        await self._wake.wait()

    def set(self) -> None:
        """It is over; the name is what whoever shuts down calls."""
        self.is_over = True
        self._wake.set()


@dataclass(slots=True)
class Watched:
    """A job that streams look at. job: None before it was read."""

    job: Job | None = None
    shown: Document | None = None
    is_known: bool = False
    streams: set[Subscription] = field(default_factory=set[Subscription])


class Hub:
    """Belongs to one event loop. It rests, and holds no thread, while there is no stream."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._name = new_job_id("web").partition(":")[2]  # unique: what `rouse` wakes
        self._watched: dict[str, Watched] = {}
        self._streams: set[Subscription] = set()
        self._watcher: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="narrowboat-web")
        self._is_asleep = False
        self._line_at = 0.0
        self._is_closed = False

    @contextlib.contextmanager
    def subscribed(self, ids: Iterable[str]) -> Generator[Subscription]:
        """Look at these jobs until the block ends. The first documents come as soon as they are read."""
        stream = Subscription(tuple(ids))
        if self._is_closed:
            stream.set()
        self._add(stream)
        try:
            yield stream
        finally:
            self._remove(stream)

    @property
    def base(self) -> str:
        """Where the jobs of this hub are shown."""
        return self._reader.base

    @property
    def streams(self) -> int:
        """How many are open."""
        return len(self._streams)

    @property
    def is_resting(self) -> bool:
        """Whether nobody watches, and no thread waits."""
        return self._watcher is None or self._watcher.done()

    def close(self) -> None:
        """End all streams, for good."""
        self._is_closed = True
        for stream in self._streams:
            stream.set()

    def _add(self, stream: Subscription) -> None:
        self._streams.add(stream)
        is_new = False
        for job_id in stream.ids:
            watched = self._watched.setdefault(job_id, Watched())
            watched.streams.add(stream)
            if watched.is_known:
                stream.put(job_id, watched.shown)
            else:
                is_new = True
        if self.is_resting:
            self._watcher = asyncio.get_running_loop().create_task(self._watch())
        elif is_new:
            self._rouse()

    def _remove(self, stream: Subscription) -> None:
        self._streams.discard(stream)
        for job_id in stream.ids:
            watched = self._watched.get(job_id)
            if watched is not None:
                watched.streams.discard(stream)
                if not watched.streams:
                    del self._watched[job_id]
        if not self._watched:
            self._rouse()

    def _rouse(self) -> None:
        if self._is_asleep:
            self._reader.app.backend.rouse(self._name)

    async def _watch(self) -> None:
        failures = 0
        while self._watched:
            try:
                await self._look()
                failures = 0
            except NarrowboatError as error:
                failures += 1
                if failures == 1:
                    log.warning("streams stand still until the backend is back: %s", error)
                await asyncio.sleep(random.uniform(0.5, 1.0) * min(AWAY_S, 0.5 * 2**failures))
            await asyncio.sleep(REST_S)

    async def _look(self) -> None:
        fresh = [job_id for job_id, watched in self._watched.items() if not watched.is_known]
        if fresh:
            self._show(fresh, *await self._in_thread(lambda: self._read(fresh)))
            return
        line = self._line()
        if line and time.monotonic() - self._line_at >= LINE_S:
            self._line_at = time.monotonic()
            ids = [job.id for job in line]
            self._show(ids, *await self._in_thread(lambda: self._documented({job.id: job for job in line})))
            return
        await self._until_changed(LINE_S if line else WATCH_S)

    async def _until_changed(self, timeout_s: float) -> None:
        jobs = {id_: watched.job for id_, watched in self._watched.items() if watched.job is not None}
        revisions = {job.id: job.revision for job in jobs.values() if not job.is_finished}

        def changed() -> tuple[list[str], dict[str, Job], dict[str, Document]]:
            found = self._reader.app.backend.watch(revisions, timeout_s, watcher=self._name)
            ended = [new.id for new in found if new.is_finished]
            # What a job gave, and how it failed, is read when it has ended; until then the arguments are known already.
            merged = {new.id: _merged(jobs[new.id], new) for new in found if not new.is_finished and new.id in jobs}
            records = merged | (self._reader.read(ended) if ended else {})
            return [new.id for new in found], *self._documented(records)

        self._is_asleep = True
        try:
            ids, records, documents = await self._in_thread(changed)
        finally:
            self._is_asleep = False
        self._show(ids, records, documents)

    def _read(self, ids: Sequence[str]) -> tuple[dict[str, Job], dict[str, Document]]:
        return self._documented(self._reader.read(ids))

    def _documented(self, jobs: dict[str, Job]) -> tuple[dict[str, Job], dict[str, Document]]:
        return jobs, self._reader.documents(jobs)

    def _show(self, ids: Iterable[str], jobs: dict[str, Job], documents: dict[str, Document]) -> None:
        for job_id in ids:
            watched = self._watched.get(job_id)
            if watched is None:  # the last stream left while it was read
                continue
            was_known, before = watched.is_known, watched.shown
            watched.is_known, watched.job, watched.shown = True, jobs.get(job_id), documents.get(job_id)
            if was_known and watched.shown == before:
                continue
            for stream in watched.streams:
                stream.put(job_id, watched.shown)

    def _line(self) -> list[Job]:
        waiting = [w.job for w in self._watched.values() if w.job is not None and w.job.state is State.QUEUED]
        return random.sample(waiting, MOST_IN_LINE) if len(waiting) > MOST_IN_LINE else waiting

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


def _merged(job: Job, new: msgspec.Struct) -> Job:
    """A whole record with what changed of it."""
    return msgspec.structs.replace(job, **{name: getattr(new, name) for name in new.__struct_fields__})
