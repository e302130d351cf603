"""Real workers as child processes, and a look at what runs below them. Nothing here sleeps: it waits."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")
ROOT = Path(__file__).resolve().parents[2]


def wait_for(what: str, condition: Callable[[], T], timeout_s: float = 30.0) -> T:
    """The first true value of a condition. Fails with `what` after the timeout."""
    until = time.monotonic() + timeout_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > until:
            raise AssertionError(f"waited {timeout_s:g} s in vain for: {what}")
        time.sleep(0.005)  # between two looks at the condition


@dataclass(frozen=True)
class Host:
    """Where and how the command line is started.

    python: the words before "-m"; user: None: the one of the tests; temporary: a folder for such files.
    """

    python: tuple[str, ...] = (sys.executable,)
    path: str = str(ROOT / "src")
    user: int | None = None
    temporary: str = ""

    def options(self, env: dict[str, str] | None = None) -> dict[str, Any]:
        """For subprocess."""
        own = {"PYTHONPATH": self.path} | ({"TMPDIR": self.temporary} if self.temporary else {})
        found: dict[str, Any] = {"env": {**os.environ, **own, **(env or {})}}
        if self.user is not None:
            found |= {"user": self.user, "group": self.user, "extra_groups": []}
        return found


HERE = Host()


class WorkerProcess:
    """`narrowboat worker` as a user starts it; its output goes to a file.

    through: a program and its first arguments, which execs what follows them.
    """

    def __init__(
        self,
        app: str,
        url: str,
        folder: Path,
        *options: str,
        env: dict[str, str] | None = None,
        log: Path | None = None,
        through: Sequence[str] = (),
        host: Host = HERE,
    ) -> None:
        self.log = log or folder / f"worker-{time.monotonic_ns()}.log"
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                [*through, *host.python, "-m", "narrowboat.cli", "worker", app, "--url", url, *options],
                cwd=folder,
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # no controlling terminal, as under a supervisor
                **host.options(env),
            )
        self.pid = self.process.pid

    def until_ready(self) -> WorkerProcess:
        """Wait for the banner."""

        def has_banner() -> bool:
            if self.process.poll() is not None:
                raise AssertionError(f"the worker ended with {self.process.returncode}:\n{self.output()}")
            return "drains for" in self.output()

        wait_for("the worker's banner", has_banner, 60.0)
        return self

    def output(self) -> str:
        """What it has written so far."""
        return self.log.read_text(errors="replace")

    def zygote(self) -> int:
        """The pid of its zygote, as soon as there is one."""
        return wait_for("a zygote", lambda: next(iter(named_below(self.pid, "nb-zygote")), 0))

    def zygotes(self) -> list[int]:
        """The pids of all of them."""
        return named_below(self.pid, "nb-zygote")

    def executors(self) -> list[int]:
        """The pids of its executors."""
        return named_below(self.pid, "nb-executor")

    def signal(self, number: int) -> None:
        """Send a signal to the worker itself."""
        self.process.send_signal(number)

    def freeze(self) -> None:
        """Stop the worker itself, a child of this process, and return when all of its threads stand still."""
        self.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.pid, os.WSTOPPED)

    def kill(self) -> None:
        """kill -9, and reap."""
        self.process.kill()
        self.process.wait(30)

    def stop(self, timeout_s: float = 60.0) -> int:
        """TERM, and the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout_s)


@contextlib.contextmanager
def running_worker(
    app: str,
    url: str,
    folder: Path,
    *options: str,
    env: dict[str, str] | None = None,
    log: Path | None = None,
    through: Sequence[str] = (),
    host: Host = HERE,
) -> Generator[WorkerProcess]:
    """A worker that is ready, and gone afterwards whatever happens."""
    worker = WorkerProcess(app, url, folder, *options, env=env, log=log, through=through, host=host)
    try:
        yield worker.until_ready()
    finally:
        if worker.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                worker.process.send_signal(signal.SIGCONT)
            worker.process.kill()
            worker.process.wait(30)


def named_below(pid: int, name: str) -> list[int]:
    """Descendants of a process whose name is `name`."""
    children: dict[int, list[tuple[int, str]]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, ValueError):
                text = (entry / "stat").read_text()
                comm = text[text.index("(") + 1 : text.rindex(")")]
                fields = text[text.rindex(")") + 2 :].split()
                if fields[0] not in "ZX":
                    children.setdefault(int(fields[1]), []).append((int(entry.name), comm))
    found: list[int] = []
    waiting = [pid]
    while waiting:
        for child, comm in children.get(waiting.pop(), []):
            waiting.append(child)
            if comm == name:
                found.append(child)
    return sorted(found)


def children_of(pid: int) -> list[int]:
    """The processes that it has started."""
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in found]


def is_alive(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return text[text.rindex(")") + 2] not in "ZX"
