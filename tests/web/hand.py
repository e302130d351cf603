"""A worker that does what a test says, on the real backend and the real clock; and a server in a process of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

from narrowboat.backends.base import Backend
from narrowboat.core import codec
from narrowboat.core.controls import Controls
from narrowboat.core.job import Claim, Progress
from narrowboat.core.outcome import ErrorInfo
from narrowboat.core.states import State
from narrowboat.testing.conformance.bench import Bench, BenchWorker, crashed, failed, snoozed, succeeded
from tests.support.processes import ROOT, wait_for

KEY = "a-key-that-only-the-tests-use-and-long-enough"


class _Now(Bench):
    """A bench on the real clock."""

    @property
    def now(self) -> float:
        return time.time()

    @now.setter
    def now(self, _: float) -> None:
        pass


class Hand:
    """Takes jobs of one task and queue, and does with them what the test says."""

    def __init__(
        self, backend: Backend, task: str = "shop.resize", queue: str = "images", controls: Controls | None = None
    ) -> None:
        bench, name = _Now(lambda: backend), f"hand-{time.monotonic_ns()}"
        self.worker = BenchWorker(bench, name, tasks=[task], queues=[queue], controls=controls)
        self.worker.publish()
        self.queue = queue

    def take(self, n: int = 1) -> list[Claim]:
        """Begin the next jobs."""
        claims = self.worker.claim(n, queue=self.queue)
        self.worker.step(started=claims)
        return claims

    def report(self, *claims: Claim, done: float = 0, total: float = 0, message: str = "") -> None:
        """Say how far they are."""
        self.worker.step(progress=[(claim, Progress(done, total, message)) for claim in claims])

    def finish(self, *claims: Claim, result: Any = None) -> None:
        """They have succeeded."""
        data = b"" if result is None else codec.encode(result)
        assert self.worker.settle(*(succeeded(claim, result=data) for claim in claims)) == ()

    def trip(self, claim: Claim) -> None:
        """It has failed as its breaker counts, and is tried again later."""
        assert self.worker.settle(failed(claim, trips=True, reason="ConnectionError: refused")) == ()

    def slow_down(self, claim: Claim, seconds: float) -> None:
        """The service that it asks wants all to wait so long."""
        assert self.worker.settle(snoozed(claim, delay_s=seconds, slow_s=seconds)) == ()

    def fail(self, claim: Claim, message: str = "no", *, is_crash: bool = False) -> None:
        """It is dead."""
        error = ErrorInfo(type="shop.BadPhoto", message=message, traceback=f"Traceback of {message}")
        end = crashed if is_crash else failed
        assert self.worker.settle(end(claim, to=State.DEAD, error=error, reason=f"shop.BadPhoto: {message}")) == ()


class Server:
    """uvicorn as people run it, on a port of its own."""

    def __init__(self, app: str, folder: Path, url: str, *options: str, env: dict[str, str] | None = None) -> None:
        self.log = folder / "web.log"
        with socket.socket() as listening, self.log.open("wb") as output:
            listening.bind(("127.0.0.1", 0))
            listening.listen(2048)
            self.port: int = listening.getsockname()[1]
            self.process = subprocess.Popen(
                [sys.executable, "-m", "uvicorn", app, "--fd", str(listening.fileno()), *options],
                cwd=ROOT,
                env={**os.environ, "NARROWBOAT_URL": url, "NARROWBOAT_WEB_KEY": KEY, **(env or {})},
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=[listening.fileno()],
            )
        self.address = f"http://127.0.0.1:{self.port}"

    def stop(self, within_s: float = 30.0) -> float:
        """SIGTERM; the seconds that it took to be gone. Fails when it has to be killed."""
        began = time.monotonic()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(within_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"the server did not end within {within_s} s:\n{self.log.read_text()}") from None
        return time.monotonic() - began

    def errors(self) -> list[str]:
        """Lines of the log that tell of trouble."""
        return [line for line in self.log.read_text().splitlines() if "ERROR" in line or "Traceback" in line]


@contextlib.contextmanager
def running_server(app: str, folder: Path, url: str, *options: str, **more: Any) -> Generator[Server]:
    """A server until the block ends."""
    server = Server(app, folder, url, *options, **more)
    try:
        wait_for("the web server", lambda: "startup complete" in server.log.read_text() or server.process.poll())
        assert server.process.poll() is None, server.log.read_text()
        yield server
    finally:
        server.stop()
