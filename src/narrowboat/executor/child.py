"""A freshly forked process becomes an executor."""

from __future__ import annotations

import faulthandler
import gc
import importlib
import logging
import os
import signal
import sys
import traceback
from collections.abc import Iterable, Mapping
from socket import SHUT_WR
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from .. import kernel
from ..core import context
from ..core.hooks import Hooks
from ..core.runnable import Runnable
from ..core.task import TaskSpec
from ..sandbox import probe
from ..sandbox.walls import Walls
from . import forking, refusal, wire
from .capture import LogHandler, Stream
from .scratch import Scratch
from .serial import SerialExecutor

if TYPE_CHECKING:
    from .concurrent import ConcurrentExecutor

WARM_UP = 50


class Mould:
    """What every executor of an app starts from; made ready in the zygote, so that forks share what that touches."""

    def __init__(self, tasks: Mapping[str, Runnable], hooks: Hooks) -> None:
        self._tasks, self._hooks = tasks, hooks
        specs = [task.spec for task in tasks.values()]
        if any(spec.takes_files or spec.gives_files for spec in specs):
            for what_carrying_takes in ("shutil", "tempfile"):
                importlib.import_module(what_carrying_takes)
        _warm_up(has_async=any(spec.concurrency for spec in specs))
        self._serial = SerialExecutor(tasks, hooks)
        self._serial.arm()
        sys.stdout = sys.stderr = Stream(self._print)  # type: ignore[assignment]
        root = logging.getLogger()
        root.addHandler(LogHandler(self._log))
        if root.level == logging.WARNING:
            root.setLevel(logging.INFO)

    def cast(self, fork: wire.Fork, scratch: Scratch, has_helpers: bool) -> SerialExecutor | ConcurrentExecutor:
        """An executor, in the process that it is to live in."""
        if fork.concurrency:
            from .concurrent import ConcurrentExecutor

            return ConcurrentExecutor(self._tasks, self._hooks, fork.concurrency, scratch, fork.has_files, has_helpers)
        self._serial.settle_in(scratch, fork.limits.cpu_s, fork.is_fresh, fork.has_files, has_helpers)
        return self._serial

    def _print(self, text: str) -> None:
        attempt = context.channel.get() or self._serial.attempt  # the latter for threads that the task started
        if attempt is not None:
            attempt.print(text)

    def _log(self, text: str) -> None:
        attempt = context.channel.get() or self._serial.attempt
        if attempt is not None:
            attempt.log(text)


class Inherited(NamedTuple):
    """Descriptors of the zygote, opened once for all of its executors.

    null: /dev/null. last_words: where the fault handler writes; /dev/null, too, until it is an executor's own file.
    others: those that executors are not to keep.
    """

    null: int
    last_words: int
    others: tuple[int, ...]

    def silence(self, more: Iterable[int]) -> None:
        """Make the others, and more of them, /dev/null."""
        for number in (*self.others, *more):
            os.dup2(self.null, number, inheritable=False)
        os.close(self.null)


def expect_last_words(is_locked: bool) -> tuple[int, int]:
    """In the zygote, have the fault handler write down where an executor died. The first two of what it inherits.

    is_locked: calls may end it (SIGSYS).
    """
    null, last_words = (os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC) for _ in range(2))
    faulthandler.enable(file=last_words)
    if is_locked:
        faulthandler.register(signal.SIGSYS, file=last_words, all_threads=False, chain=True)
    return null, last_words


def main(
    mould: Mould, walls: Walls, channel: kernel.Channel, lifeline: int, inherited: Inherited, fork: wire.Fork
) -> NoReturn:  # fmt: skip
    """Become an executor in a freshly forked process; ends when the worker closes the channel.

    Whatever goes wrong on the way ends the process before it has seen a job.
    """
    status = 1
    try:
        os.setsid()
        kernel.call_me("nb-executor")
        kernel.interrupt_nobody()
        if not walls.has_root:  # else it dies with the first process of its namespace
            walls.show_itself()
            kernel.die_with(lifeline)
        has_helpers = bool(walls.reach.programs)
        if has_helpers:
            kernel.adopt_orphans()
        folder = walls.lock_in(fork.limits, fork.scratch)
        inherited.silence(walls.descriptors)
        if folder and not walls.reach.trusted:
            os.chdir(folder)
        if fork.is_probe:
            questions = wire.to_probe.decode(channel.recv(wire.MAX_FRAME))
            channel.send(wire.encode(wire.Probed(probe.findings(questions, walls.reach, fork.limits))))
            os._exit(0)
        if "numpy" in sys.modules:  # its global generator is the same in all forks, unlike random's
            sys.modules["numpy"].random.seed()
        gc.enable()
        if walls.can_fork:
            forking.as_usual()
        scratch = Scratch(folder)
        if not walls.has_root:
            scratch.be_home()
        if walls.is_on:
            refusal.watch()
        mould.cast(fork, scratch, has_helpers).serve(channel)
        status = 0
    except (BrokenPipeError, ConnectionResetError):
        status = 0  # the worker is gone
    except BaseException:  # noqa: BLE001  (the last words of this process, whatever they are)
        os.write(inherited.last_words, traceback.format_exc().encode()[-8000:])
    finally:
        os._exit(status)


def silence_descriptors(keep: set[int]) -> None:
    """Make every descriptor but those in `keep` /dev/null.

    Not closed: a closed number would be taken by the next file, and a log handler from the time of import
    would then write into the task's files.
    """
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for number in kernel.open_descriptors():
        if number not in keep and number != null:
            try:
                os.fstat(number)
            except OSError:
                continue  # the descriptor of the listing itself
            os.dup2(null, number, inheritable=number <= 2)
    if null > 2:
        os.close(null)


class Nothing:
    """A task for the warm-up."""

    spec = TaskSpec(name="warm-up")

    def read(self, args: bytes) -> dict[str, Any]:
        """There are none."""
        return {}

    def run(self, arguments: dict[str, Any]) -> bytes:
        """Do nothing."""
        return b""

    async def arun(self, arguments: dict[str, Any]) -> bytes:
        """Do nothing."""
        return b""

    def covers(self, error: BaseException) -> bool:
        """It raises nothing."""
        return False

    trips = covers

    def delay_s(self, error: BaseException, failures: int) -> float | None:
        """As after any other."""
        return None


def _warm_up(has_async: bool) -> None:
    """Run executors for a moment.

    The interpreter rewrites code while it runs for the first times. Done before the fork, those pages stay
    shared; together with arming it saves each executor about half a megabyte.
    """
    tasks, hooks = {"warm-up": Nothing()}, Hooks()
    scratch = Scratch("")
    serial = SerialExecutor(tasks, hooks)
    serial.settle_in(scratch, None, is_fresh=False)
    _exercise(serial)
    if has_async:  # else executors need no event loop, and are forked a quarter faster without the libraries below it
        from .concurrent import ConcurrentExecutor

        _exercise(ConcurrentExecutor(tasks, hooks, WARM_UP, scratch))


def _exercise(executor: SerialExecutor | ConcurrentExecutor) -> None:
    ours, theirs = wire.pair()
    for number in range(WARM_UP):
        ours.send(wire.encode(wire.Run(number, f"warm-up:{number}", "warm-up", "warm-up", 1, b"{}", 60.0)))
    ours.shutdown(SHUT_WR)
    executor.serve(theirs)
    ours.close()
    theirs.close()
