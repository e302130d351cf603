"""The processes of one system while they run: its workers, and a web process that enqueues."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

from .. import measure
from .system import APPS, ROOT, System, Work

POLITE_S, STUBBORN_S = 2.0, 8.0


class Workers:
    """So many worker processes, by the system's own command."""

    def __init__(self, system: System, url: str, work: Work, count: int, log: Path) -> None:
        self._log, environment = log, system.environment(url, work)
        with log.open("ab") as output:
            self._processes = [
                subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT)
                for command in system.commands(url, work, count)
            ]

    def is_alive(self) -> bool:
        """Whether none of them has ended."""
        return all(process.poll() is None for process in self._processes)

    def cpu_s(self) -> float:
        """Processor seconds of them and all below them."""
        return measure.tree_cpu_s(*self._roots())

    def pss_mib(self) -> float:
        """Memory of them and all below them."""
        return measure.tree_pss_mib(*self._roots())

    def said(self) -> str:
        """The end of what they wrote."""
        return self._log.read_text(errors="replace")[-2000:].strip()

    def stop(self) -> None:
        """Ask them to end, then all below them (some tell their children nothing), then end what is left."""
        everything = self._everything()
        for process in self._processes:
            process.terminate()
        if not self._have_ended(everything, POLITE_S):
            _signal(everything, signal.SIGTERM)
            if not self._have_ended(everything, STUBBORN_S):
                _signal(everything, signal.SIGKILL)
                self._have_ended(everything, STUBBORN_S)

    def kill(self) -> None:
        """kill -9 of everything, at once."""
        for process in self._processes:
            process.send_signal(signal.SIGSTOP)  # so that it starts no more
        everything = self._everything()
        _signal(everything, signal.SIGKILL)
        self._have_ended(everything, STUBBORN_S)

    def _roots(self) -> list[int]:
        return [process.pid for process in self._processes]

    def _everything(self) -> list[int]:
        return [pid for root in self._roots() for pid in measure.tree(root)]

    def _have_ended(self, pids: list[int], limit_s: float) -> bool:
        end = time.monotonic() + limit_s
        while time.monotonic() < end:
            for process in self._processes:
                process.poll()
            if not any(_is_running(pid) for pid in pids):
                return True
            time.sleep(0.02)
        return False


@contextlib.contextmanager
def running(system: System, url: str, work: Work, count: int, log: Path) -> Generator[Workers]:
    """Workers that are stopped in the end; an error in between says what they wrote."""
    workers = Workers(system, url, work, count, log)
    try:
        yield workers
    except (RuntimeError, OSError) as error:
        said = workers.said()
        raise RuntimeError(f"{error}\n{said}" if said else str(error)) from error
    finally:
        workers.stop()


class Producer:
    """A web process of a system; see produce.py for what can be asked of it."""

    def __init__(self, system: System, url: str, work: Work, log: Path) -> None:
        self._log = log
        command = [system.python(), "-m", "benchmarks.peers.produce", f"{APPS}.{system.app}"]
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=system.environment(url, work),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
            )

    def ask(self, within_s: float, /, **request: Any) -> dict[str, Any]:
        """Its answer. Raises RuntimeError if there is none in time."""
        assert self._process.stdin
        with contextlib.suppress(BrokenPipeError):  # said by the missing answer
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
        return self.answer(within_s)

    def answer(self, limit_s: float) -> dict[str, Any]:
        """What it says next."""
        assert self._process.stdout
        ready, _, _ = select.select([self._process.stdout], [], [], limit_s)
        line = self._process.stdout.readline() if ready else b""
        if not line:
            what = "ended" if ready else f"did not answer within {limit_s:.0f} s"
            said = self._log.read_text(errors="replace")[-2000:].strip() or "without a word"
            raise RuntimeError(f"the producer {what}: {said.splitlines()[-1]}\n{said}")
        return json.loads(line)

    def close(self) -> None:
        """Let it end."""
        assert self._process.stdin and self._process.stdout
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()


@contextlib.contextmanager
def producing(system: System, url: str, work: Work, log: Path) -> Generator[Producer]:
    """A producer that is connected."""
    producer = Producer(system, url, work, log)
    try:
        producer.answer(30)
        yield producer
    finally:
        producer.close()


def _signal(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def _is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
