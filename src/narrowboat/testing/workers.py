"""A real worker for end-to-end tests, as a child process over a database of its own."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Generator, Sequence
from pathlib import Path

from ..app import App
from ..backends.base import Backend
from ..backends.urls import VARIABLE, open_backend

READY_S = 60.0
STOP_S = 60.0


class RunningWorker:
    """`narrowboat worker`, ready for work. url: its backend. pid: its process. log: the file that it writes to."""

    def __init__(self, process: subprocess.Popen[bytes], url: str, log: Path) -> None:
        self.url, self.pid, self.log = url, process.pid, log
        self._process = process

    def output(self) -> str:
        """What it has written so far."""
        return self.log.read_text(errors="replace")

    def stop(self) -> int:
        """TERM: running jobs finish. Returns the exit status."""
        self._process.terminate()
        return self._process.wait(STOP_S)


@contextlib.contextmanager
def running_worker(
    app: App, reference: str, folder: Path, *, options: Sequence[str] = (), env: dict[str, str] | None = None
) -> Generator[RunningWorker]:
    """Run a worker of `reference` ("module:attribute", which is `app`), and let `app` enqueue to it.

    folder: where the database and the log go; the worker's working directory is the current one.
    options: more of them for `narrowboat worker`. env: more variables for it.
    At the end it drains. Raises RuntimeError, with its output, when it does not come up or ends badly.
    """
    url = f"sqlite:///{(folder / 'narrowboat-test.db').absolute()}"
    log = folder / "worker.log"
    command = [sys.executable, "-m", "narrowboat.cli", "worker", reference, "--slots", "2", *options, "--url", url]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, VARIABLE: url, **(env or {})},
            start_new_session=True,
        )
    worker = RunningWorker(process, url, log)
    backend = open_backend(url)
    try:
        _until_ready(process, backend, worker)
        with app.connected_to(backend):
            yield worker
        status = worker.stop() if process.poll() is None else process.returncode
        if status != 0:
            raise RuntimeError(f"the worker ended with status {status}:\n{worker.output()}")
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        backend.close()


def _until_ready(process: subprocess.Popen[bytes], backend: Backend, worker: RunningWorker) -> None:
    until = time.monotonic() + READY_S
    while not backend.workers():
        if process.poll() is not None:
            raise RuntimeError(f"the worker ended with status {process.returncode}:\n{worker.output()}")
        if time.monotonic() > until:
            raise RuntimeError(f"the worker was not ready within {READY_S:.0f} s:\n{worker.output()}")
        time.sleep(0.01)  # between two looks
