"""A freshly forked process becomes an executor."""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import importlib
import itertools
import logging
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from socket import SHUT_WR
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from .. import kernel
from ..core import context
from ..core.errors import BadArguments
from ..core.hooks import Hooks
from ..core.needs import Limits
from ..core.runnable import Runnable
from ..core.task import TaskSpec
from ..sandbox import probe
from ..sandbox.walls import Step, Walls
from . import forking, wire
from .capture import LogHandler, Stream
from .scratch import Scratch
from .serial import SerialExecutor

if TYPE_CHECKING:
    from .concurrent import ConcurrentExecutor

WARM_UP = 50
_set_signal = importlib.import_module("_signal").signal  # signal.signal makes enums of all that goes in and out
_SIGCHLD, _SIG_DFL = int(signal.SIGCHLD), int(signal.SIG_DFL)


class Mould:
    """What every executor of an app starts from; made ready in the zygote, so that forks share what that touches."""

    def __init__(self, tasks: Mapping[str, Runnable], hooks: Hooks) -> None:
        self._tasks, self._hooks = tasks, hooks
        specs = [task.spec for task in tasks.values()]
        for task in itertools.islice(itertools.cycle(tasks.values()), WARM_UP):
            with contextlib.suppress(BadArguments):
                task.read(b"{}")
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
        """An executor, for processes that are to be forked."""
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

    null: /dev/null. last_words: where the fault handler writes. channel: the way to the worker. Both are nothing of
    use but while an executor is forked, whose own take their place. others: those that executors are not to keep.
    """

    null: int
    last_words: int
    channel: kernel.Channel
    others: tuple[int, ...]

    def take(self, channel: int, last_words: int) -> None:
        """An executor's own, for one that is about to be forked."""
        os.dup2(channel, self.channel.fileno(), inheritable=False)
        os.dup2(last_words, self.last_words, inheritable=False)

    def let_go(self) -> None:
        """It has them now."""
        self.take(self.null, self.null)

    def silencing(self, more: Iterable[int]) -> list[Step]:
        """To make the others, and more of them, /dev/null."""
        silence = [partial(os.dup2, self.null, number, False) for number in (*self.others, *more)]
        return [("descriptors", step) for step in (*silence, partial(os.close, self.null))]


def inheritance(is_locked: bool, others: tuple[int, ...]) -> Inherited:
    """Make it in the zygote; the fault handler is to write down there where an executor died.

    is_locked: calls may end it (SIGSYS).
    """
    null, last_words = (os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC) for _ in range(2))
    faulthandler.enable(file=last_words)
    if is_locked:
        faulthandler.register(signal.SIGSYS, file=last_words, all_threads=False, chain=True)
    channel, other_end = wire.pair()
    other_end.close()
    channel.make_room(wire.MAX_FRAME)
    return Inherited(null, last_words, channel, others)


def start(
    mould: Mould, walls: Walls, lifeline: int, inherited: Inherited, fork: wire.Fork
) -> tuple[list[Step], Callable[[], object]]:
    """What forks of one kind do: steps, and then to serve.

    Made ready by the zygote: a fork copies each page that it writes to, and to run code is to write to counters of
    references all over the memory of the interpreter. So it does little more than make these calls.
    """
    steps = way_in(walls, lifeline, inherited, fork.limits, fork.scratch)
    if fork.is_probe:
        return steps, partial(_answer, inherited.channel, walls, fork.limits)
    scratch = Scratch(walls.scratch(fork.scratch))
    if "numpy" in sys.modules:  # its global generator is the same in all forks, unlike random's
        steps.append(("session", sys.modules["numpy"].random.seed))
    steps.append(("session", gc.enable))
    if walls.can_fork:
        steps.append(("session", forking.as_usual))
    if not walls.has_root:
        steps.append(("scratch folder", scratch.be_home))
    if not fork.is_fresh:
        steps.append(("scratch folder", scratch.take_as_tidy))
    return steps, partial(mould.cast(fork, scratch, bool(walls.reach.programs)).serve, inherited.channel)


def way_in(walls: Walls, lifeline: int, inherited: Inherited, limits: Limits, scratch: str) -> list[Step]:
    """What a fork does before it may see a job, in this order."""
    steps: list[Step] = [
        ("session", partial(signal.set_wakeup_fd, -1)),
        ("session", partial(_set_signal, _SIGCHLD, _SIG_DFL)),
        ("session", os.setsid),
        ("session", partial(kernel.call_me, b"nb-executor")),
    ]
    if not walls.has_root:  # else it dies with the first process of its namespace
        steps += [*walls.showing(), ("lifeline", partial(kernel.die_with, lifeline))]
    if walls.reach.programs:
        steps.append(("session", kernel.adopt_orphans))
    steps += walls.locking_in(limits, scratch)
    steps += inherited.silencing(walls.descriptors)
    folder = walls.scratch(scratch)
    if folder and not walls.reach.trusted:
        steps.append(("scratch folder", partial(os.chdir, folder)))
    return steps


def main(steps: Iterable[Step], serve: Callable[[], object], last_words: int) -> NoReturn:
    """Become an executor in a freshly forked process; ends when the worker closes the channel.

    Whatever goes wrong on the way ends the process before it has seen a job.
    """
    status = 1
    try:
        for _, step in steps:
            step()
        serve()
        status = 0
    except (BrokenPipeError, ConnectionResetError):
        status = 0  # the worker is gone
    except BaseException:  # noqa: BLE001  (the last words of this process, whatever they are)
        os.write(last_words, traceback.format_exc().encode()[-8000:])
    finally:
        os._exit(status)


def _answer(channel: kernel.Channel, walls: Walls, limits: Limits) -> None:
    """A probe's only deed."""
    questions = wire.to_probe.decode(channel.recv(wire.MAX_FRAME))
    channel.send(wire.encode(wire.Probed(probe.findings(questions, walls.reach, limits))))


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
