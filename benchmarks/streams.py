"""1,000 browsers look on through one web process, each at a job of its own: what a stream costs, and how late it is."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from narrowboat import App
from narrowboat.backends.base import ClaimRef, ProgressReport, Step, StepReply, Want, WorkerInfo
from narrowboat.core.job import Claim, Progress
from narrowboat.core.task import Manifest, TaskSpec
from narrowboat.web import Web

from . import measure

STREAMS, CHANGES, QUIET_S = 1000, 500, 10.0
KEY = "a-key-for-one-run-of-the-benchmark"
Row = Callable[..., None]


def compare(folder: Path, row: Row) -> bool:
    """Measure, and print through `row`."""
    url = f"sqlite:///{folder / 'streams.db'}"
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(2048)
        port = listening.getsockname()[1]
        words = ["-m", "uvicorn", "benchmarks.web_app:site", "--fd", str(listening.fileno()), "--log-level", "warning"]
        server = subprocess.Popen(
            [sys.executable, *words],
            env={**os.environ, "NARROWBOAT_URL": url, "NARROWBOAT_WEB_KEY": KEY},
            pass_fds=[listening.fileno()],
        )
    try:
        asyncio.run(_measured(Site(url, port, server.pid), row))
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(20)
    return True


@dataclass
class Site:
    """The web process under test, and the worker that the benchmark plays."""

    url: str
    port: int
    pid: int

    def __post_init__(self) -> None:
        measure.until(self._is_up)
        self.app = App("streams", url=self.url)
        work = self.app.task(name="streams.work")(_work)
        self.app.enqueue_many([work.job(number) for number in range(STREAMS)])
        self.worker, self.seq = f"bench-{os.getpid()}", 0
        info = WorkerInfo(id=self.worker, host="bench", pid=os.getpid(), queues={"default": STREAMS}, slots=STREAMS)
        self.app.backend.publish(info, Manifest(app="streams", tasks=(TaskSpec(name="streams.work"),)))
        self.claims: list[Claim] = []
        while len(self.claims) < STREAMS:
            self.claims += self.step(wants=(Want("default", frozenset({"streams.work"}), 500),)).claimed
        self.step(started=tuple(ClaimRef(claim.id, claim.token) for claim in self.claims))

    def _is_up(self) -> bool:
        try:
            self.queries()
            return True
        except OSError:
            return False

    def step(self, **what: object) -> StepReply:
        """One round trip of the worker."""
        self.seq += 1
        return self.app.backend.step(Step(worker=self.worker, seq=self.seq, **what))  # type: ignore[arg-type]

    def report(self, *claims: Claim, done: int) -> None:
        """Progress of some jobs."""
        self.step(progress=tuple(ProgressReport(c.id, c.token, Progress(done, 1000)) for c in claims))

    def queries(self) -> int:
        """How much the web process has asked of its backend so far."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/queries", timeout=5) as answer:
            return sum(json.load(answer).values())


class Stream:
    """A browser that looks at one job, and tells when it saw what."""

    def __init__(self, claim: Claim) -> None:
        self.claim, self.seen, self._news = claim, -1.0, asyncio.Event()

    async def open(self, port: int, path: str) -> None:
        """Connect, and go on reading."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n".encode())
        await reader.readuntil(b"event: job")
        self._writer, self._reading = writer, asyncio.ensure_future(self._read(reader))

    async def _read(self, reader: asyncio.StreamReader) -> None:
        while line := await reader.readline():
            if line.startswith(b"data: "):
                self.seen = (json.loads(line[6:]).get("progress") or {}).get("done", -1)
                self._news.set()

    async def until(self, done: float) -> None:
        """Sleep until it has seen this."""
        while self.seen < done:
            self._news.clear()
            await self._news.wait()

    def close(self) -> None:
        """Go."""
        self._reading.cancel()
        self._writer.close()


async def _measured(site: Site, row: Row) -> None:
    web = Web(site.app, key=KEY)
    before = measure.pss_mib([site.pid])
    streams = [Stream(claim) for claim in site.claims]
    began = time.perf_counter()
    for start in range(0, STREAMS, 50):
        some = streams[start : start + 50]
        ids = [stream.claim.id for stream in some]
        await asyncio.gather(
            *(s.open(site.port, web.events_url(i, web.token(i))) for s, i in zip(some, ids, strict=True))
        )
    row(f"{STREAMS:,} streams opened in", f"{time.perf_counter() - began:.1f} s")
    quiet = await _asked(site, asyncio.sleep(QUIET_S))
    row(
        "queries a second, nothing changes",
        f"{quiet[0] / quiet[1]:.1f} /s",
        f"over {quiet[1]:.0f} s, all streams together",
    )
    late: list[float] = []
    busy = await _asked(site, _single_changes(site, streams, late))
    p50, p99 = measure.percentiles(late)
    row("one change to its browser, p50", f"{1000 * p50:.0f} ms", f"{CHANGES} changes, one at a time")
    row("one change to its browser, p99", f"{1000 * p99:.0f} ms")
    row(
        "queries a second, one change after the other",
        f"{busy[0] / busy[1]:.1f} /s",
        f"{CHANGES / busy[1]:.0f} changes/s",
    )
    began = time.perf_counter()
    await asyncio.to_thread(site.report, *site.claims, done=900)
    await asyncio.gather(*(stream.until(900) for stream in streams))
    row(f"{STREAMS:,} changes at once, to the last browser", f"{1000 * (time.perf_counter() - began):.0f} ms")
    after = measure.pss_mib([site.pid])
    row(
        "memory of the web process for each stream",
        f"{1024 * (after - before) / STREAMS:.1f} KiB",
        "(PSS, after all that)",
    )
    for stream in streams:
        stream.close()


async def _asked(site: Site, work: object) -> tuple[int, float]:
    """Queries during some work, and its seconds."""
    before, began = await asyncio.to_thread(site.queries), time.perf_counter()
    await work  # type: ignore[misc]
    took = time.perf_counter() - began
    return await asyncio.to_thread(site.queries) - before, took


async def _single_changes(site: Site, streams: list[Stream], late: list[float]) -> None:
    order = random.Random(1)
    for number in range(1, CHANGES + 1):
        stream = order.choice(streams)
        began = time.perf_counter()
        await asyncio.to_thread(site.report, stream.claim, done=number)
        await stream.until(number)
        late.append(time.perf_counter() - began)


def _work(number: int) -> None:
    pass
