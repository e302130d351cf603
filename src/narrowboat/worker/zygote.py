"""The worker's side of its zygote: start it clean, ask for forks, hear of deaths."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

import msgspec

from .. import kernel
from ..core.runnable import ZYGOTE_MARK
from ..executor import wire
from .executors import Executor, ProtocolViolation

PASSED_ON = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", kernel.PORTABLE)
_PACKAGE_HOME = str(Path(__file__).resolve().parents[2])
_START = f"import sys; sys.path.append({_PACKAGE_HOME!r}); from narrowboat.executor.zygote import main; main()"


class Zygote:
    """A running zygote process."""

    def __init__(self, app: str, path: tuple[str, ...], lifeline: int, is_changing: bool = False) -> None:
        self.control, theirs = wire.pair()
        setup = {
            "control": theirs.fileno(),
            "lifeline": lifeline,
            "app": app,
            "path": path,
            # Compiled files are compared by whole seconds, and people save more often than that.
            "may_compile": not is_changing,
        }
        # -I: neither the working directory nor PYTHONPATH decide what is imported.
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-c", _START, json.dumps(setup)],
            env=clean_environment(),
            pass_fds=(theirs.fileno(), lifeline),
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # a Ctrl-C on the terminal is the worker's to handle
        )
        theirs.close()
        self.control.setblocking(False)
        self.pid = self._process.pid
        self.watched = kernel.Process(self.pid)
        self.has_hung_up = False

    def ask_for(self, executor: Executor) -> None:
        """Ask for a fork; the answer is a Forked or ForkFailed with this executor's request number."""
        frame = wire.encode(wire.Fork(executor.request, executor.kind.memory, executor.kind.concurrency))
        self.control.send_with(frame, [executor.theirs.fileno(), executor.last_words])
        if not kernel.CAN_TAKE_BACK:
            executor.theirs.close()  # so that the end of the executor is the end of its channel

    def read(self) -> list[tuple[wire.FromZygote, int]]:
        """Frames that are there, each with the descriptor that came along, or -1."""
        frames: list[tuple[wire.FromZygote, int]] = []
        while True:
            try:
                data, descriptors = self.control.recv_with(wire.MAX_FRAME, 1)
            except BlockingIOError:
                return frames
            except ConnectionResetError:
                data, descriptors = b"", []
            if not data:
                self.has_hung_up = True
                return frames
            try:
                frames.append((wire.from_zygote.decode(data), descriptors[0] if descriptors else -1))
            except (msgspec.DecodeError, msgspec.ValidationError) as error:
                raise ProtocolViolation(str(error)) from error

    def reap(self) -> int | None:
        """The exit code if it has ended, or is about to."""
        if self.has_hung_up:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(1.0)
        return self._process.poll()

    def kill(self) -> None:
        """End it now; that it is dead is told as that of executors is."""
        self._process.kill()

    def close(self) -> None:
        """Let it go. It stays only where nobody else would take in the executors that it leaves."""
        self.control.close()
        self.watched.close()
        if kernel.ADOPTS_ORPHANS and self._process.poll() is None:
            self._process.kill()
            self._process.wait()


def clean_environment() -> dict[str, str]:
    """All that a zygote gets of the worker's environment, and what executors need."""
    passed = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    # Two malloc arenas: threads in tasks would otherwise reserve 64 MB of address space each.
    return passed | {ZYGOTE_MARK: "1", "MALLOC_ARENA_MAX": "2"}
