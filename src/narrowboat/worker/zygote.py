"""The worker's side of its zygotes: start one clean, have it branch, ask for forks, hear of deaths."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from .. import kernel
from ..core.codec import UNREADABLE
from ..core.needs import Reach
from ..core.runnable import ZYGOTE_MARK
from ..executor import wire
from ..sandbox.walls import Order
from .executors import Executor, ProtocolViolation

PASSED_ON = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", kernel.PORTABLE)
MEMORY = {
    "MALLOC_ARENA_MAX": "2",  # or threads reserve 64 MB of space each
    "MALLOC_TRIM_THRESHOLD_": "131072",  # or an executor keeps megabytes that one large job has freed
    # With the line above, glibc would leave this at 128 KiB and map each block of a picture anew, which was 80 of
    # 400 ms for the thumbnails of a photo (benchmarks/allocator.py). It takes no more than 32 MiB.
    "MALLOC_MMAP_THRESHOLD_": "33554432",
}
_PACKAGE_HOME = str(Path(__file__).resolve().parents[2])
_START = f"""
import sys
sys.path.append({_PACKAGE_HOME!r})
from narrowboat.executor import pages
gathered = pages.gather()
import narrowboat.executor.forking
from narrowboat.executor.zygote import main
main()
"""


class Control:
    """The channel to a zygote."""

    def __init__(self) -> None:
        self.control, self.theirs = wire.pair()
        self.control.setblocking(False)
        self.has_hung_up = False

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
            except UNREADABLE as error:
                raise ProtocolViolation(str(error)) from error


class Zygote(Control):
    """A process that was started by exec and imports the app. environment: all that it has of one."""

    def __init__(
        self,
        app: str,
        path: tuple[str, ...],
        lifeline: int,
        environment: Mapping[str, str],
        is_changing: bool = False,
    ) -> None:
        super().__init__()
        setup = {
            "control": self.theirs.fileno(),
            "lifeline": lifeline,
            "app": app,
            "path": path,
            # Compiled files are compared by whole seconds, and people save more often than that.
            "may_compile": not is_changing,
        }
        # -I: neither the working directory nor PYTHONPATH decide what is imported.
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-c", _START, json.dumps(setup)],
            env={**environment, ZYGOTE_MARK: "1", **MEMORY},
            pass_fds=(self.theirs.fileno(), lifeline),
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # a Ctrl-C on the terminal is the worker's to handle
        )
        self.theirs.close()
        self.pid = self._process.pid
        self.watched = kernel.Process(self.pid)

    def ask_for_branch(self, branch: Branch, order: Order) -> None:
        """Have it fork a zygote within walls; the answers are a Forked here, and a Branched from there."""
        self.control.send_with(wire.encode(wire.Branch(branch.request, branch.reach, order)), [branch.theirs.fileno()])
        branch.theirs.close()

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


class Branch(Control):
    """A zygote that another one forked; its executors have one reach."""

    def __init__(self, request: int, reach: Reach) -> None:
        super().__init__()
        self.request, self.reach = request, reach
        self.process: kernel.Process | None = None  # until it is forked

    def ask_for(self, executor: Executor) -> None:
        """Ask for a fork; the answer is a Forked or ForkFailed with this executor's request number."""
        frame = wire.Fork(
            executor.request,
            executor.kind.limits,
            executor.kind.concurrency,
            executor.scratch,
            executor.kind.is_fresh,
            executor.kind.has_files,
        )
        self.send_fork(frame, executor.theirs, executor.last_words)
        if not kernel.CAN_TAKE_BACK:
            executor.theirs.close()  # so that the end of the executor is the end of its channel

    def send_fork(self, frame: wire.Fork, theirs: kernel.Channel, last_words: int) -> None:
        """The request, with both descriptors."""
        self.control.send_with(wire.encode(frame), [theirs.fileno(), last_words])

    def kill(self) -> None:
        """End it now."""
        if self.process is not None:
            self.process.signal(9)

    def close(self) -> None:
        """Let it go; it ends by itself, since its channel has."""
        self.control.close()
        self.theirs.close()
        if self.process is not None:
            self.process.close()


def clean_environment() -> dict[str, str]:
    """All that a zygote gets of the worker's environment, unless its tasks need more."""
    return {name: os.environ[name] for name in PASSED_ON if name in os.environ}
