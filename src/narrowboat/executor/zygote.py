"""The zygote: a process with nothing to steal that imports the app once and forks executors from it.

It is started by exec with a clean environment, so no secret of the worker was ever in its memory.
"""

from __future__ import annotations

import contextlib
import gc
import os
import select
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import NoReturn

import msgspec

from .. import kernel
from ..core.needs import Reach
from ..core.runnable import RunnableApp
from ..sandbox.root import SCRATCH
from ..sandbox.walls import Order, Step, Walls
from . import child, forking, refusal, wire
from .importing import ImportProblem, import_app, leftovers, watch_environment
from .scratch import Scratch


def main() -> None:
    """Entry point; argv[1] is JSON: {"control": fd, "lifeline": fd, "app": "module:attribute", "path": [...], ...}."""
    setup = msgspec.json.decode(sys.argv[1])
    sys.argv = ["narrowboat-executor"]
    kernel.call_me(b"nb-zygote")
    if kernel.DIES_BY_SIGNAL:
        kernel.die_with(setup["lifeline"])
    control = kernel.Channel(fileno=setup["control"])
    control.set_inheritable(False)
    sys.path[:0] = setup["path"]
    sys.dont_write_bytecode = not setup["may_compile"]
    gc.disable()  # a collection would write to the pages of every imported object
    missed = watch_environment()
    try:
        with forking.keeping():
            app = import_app(setup["app"], missed)
    except ImportProblem as problem:
        _send(control, wire.ImportFailed(problem.traceback[-32_000:], problem.remedy[:4_000]))
        return
    _introduce(app, control, leftovers({0, 1, 2, control.fileno(), setup["lifeline"]}))
    forking.seed_random()
    if not forking.is_single():  # which the worker has been warned of
        forking.as_usual()
    walls = Walls(Reach(), Order(is_on=False))
    zygote = Zygote(child.Mould(app.runnables(), app.hooks), control, setup["lifeline"], walls)
    gc.collect()
    gc.enable()  # once here, so that the linker need not find it in each executor
    gc.disable()
    gc.freeze()
    kernel.take_large_pages()
    try:
        zygote.serve()
    except BaseException:  # noqa: BLE001  (shown, and the end)
        traceback.print_exc(file=sys.__stderr__)  # the standard streams are an executor's by now
        raise SystemExit(1) from None


class Zygote:
    """Forks on request, reaps, and reports both: branches, which are zygotes within walls, and executors from those."""

    def __init__(self, mould: child.Mould, control: kernel.Channel, lifeline: int, walls: Walls) -> None:
        self._mould, self._control, self._lifeline, self._walls = mould, control, lifeline, walls
        self._wake, self._waker = os.pipe()
        for end in (self._wake, self._waker):
            os.set_blocking(end, False)
        self._may_leave = walls.can_fork
        self._executors: set[int] = set()
        self._branches: set[int] = set()
        self._is_released = False
        own = (control.fileno(), self._wake, self._waker)
        self._inherited = child.inheritance(walls.is_on, own)
        self._start: tuple[list[Step], Callable[[], object]] = [], int
        self._start_for: tuple[object, ...] = ()  # the last request, but for its number

    def serve(self) -> None:
        """Until the worker closes the control socket, and, where nobody adopts them, all executors have ended."""
        signal.signal(signal.SIGCHLD, _only_wake)
        signal.set_wakeup_fd(self._waker)
        control, wake = self._control.fileno(), self._wake
        poll = select.poll()  # not a selector: all that is touched for a fork is copied, here and there
        if not kernel.DIES_BY_SIGNAL:
            poll.register(self._lifeline, select.POLLIN)
        poll.register(wake, select.POLLIN)
        poll.register(control, select.POLLIN)
        while not self._is_released or (self._has_children and not kernel.ADOPTS_ORPHANS):
            for ready, _ in poll.poll():
                if ready == wake:
                    os.read(wake, 4096)
                    self._reap()
                elif ready == control:
                    self._obey()
                    if self._is_released:
                        poll.unregister(control)
                else:
                    self._kill_all()
                    return

    @property
    def _has_children(self) -> bool:
        return bool(self._executors or self._branches)

    def _obey(self) -> None:
        """Fork for each request that is there."""
        self._is_released = not self._fork_on_request()
        while self._control.is_ahead and not self._is_released:
            self._is_released = not self._fork_on_request()

    def _fork_on_request(self) -> bool:
        try:
            data, descriptors = self._control.recv_with(wire.MAX_FRAME, 2)
        except ConnectionResetError:  # closed before it had read all that was sent
            return False
        if not data:
            return False
        request = wire.to_zygote.decode(data)
        try:
            if isinstance(request, wire.Branch):
                pid = self._fork_branch(request, *descriptors)
                self._branches.add(pid)
            else:
                pid = self._fork_executor(request, *descriptors)
                self._executors.add(pid)
        except OSError as error:
            _send(self._control, wire.ForkFailed(request.request, str(error)))
        else:
            process = kernel.Process(pid)
            _send(self._control, wire.Forked(request.request, pid), [process.descriptor])
            process.close()
        return True

    def _fork_branch(self, request: wire.Branch, control: int) -> int:
        try:
            pid = os.fork()
            if pid == 0:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                self._control.close()
                branch(self._mould, kernel.Channel(fileno=control), self._lifeline, request)
            return pid
        finally:
            os.close(control)

    def _fork_executor(self, request: wire.Fork, channel: int, last_words: int) -> int:
        self._inherited.take(channel, last_words)
        os.close(channel)
        os.close(last_words)
        try:
            kind = msgspec.structs.astuple(request)[1:]
            if self._start_for != kind:
                self._start = child.start(self._mould, self._walls, self._lifeline, self._inherited, request)
                self._start_for = kind
            steps, serve = self._start
            pid = os.fork()
            if pid == 0:
                child.main(steps, serve, self._inherited.last_words)
            return pid
        finally:
            self._inherited.let_go()

    def _reap(self) -> None:
        while (found := kernel.reap(may_leave=self._may_leave)) is not None:
            pid, status = found
            self._executors.discard(pid)
            self._branches.discard(pid)
            if pid == self._walls.init:
                raise SystemExit(1)  # all executors are dead with it, and no more can be forked
            if status is not None and not self._is_released:
                _send(self._control, wire.Exited(pid, status))

    def _kill_all(self) -> None:
        """The worker is gone. Branches notice that themselves, and kill theirs."""
        for pid in self._executors:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)


def branch(mould: child.Mould, control: kernel.Channel, lifeline: int, request: wire.Branch) -> NoReturn:
    """Become a zygote for executors of one reach, in a freshly forked process."""
    status = 1
    try:
        os.setsid()
        control.set_inheritable(False)
        child.silence_descriptors({control.fileno(), lifeline})
        if kernel.DIES_BY_SIGNAL:
            kernel.die_with(lifeline)
        kernel.offer_to_oom_killer()
        kernel.interrupt_nobody()  # nor do its executors
        walls = Walls(request.reach, request.order)
        try:
            walls.raise_up(lifeline)
        except Exception as error:  # noqa: BLE001  (told to the worker, which decides)
            _send(control, wire.BranchFailed(f"{type(error).__name__}: {error}"[:2000]))
            os._exit(0)
        if walls.has_root:
            Scratch(SCRATCH).be_home()  # each executor has one there
        if walls.is_on:
            refusal.watch()
        gc.freeze()
        _send(control, wire.Branched(walls.layers))
        Zygote(mould, control, lifeline, walls).serve()
        status = 0
    except BaseException:  # noqa: BLE001
        traceback.print_exc(file=sys.__stderr__)
    finally:
        os._exit(status)


def _only_wake(number: int, frame: object) -> None:
    """The wake-up descriptor has been written; there is nothing else to do."""


def _introduce(app: RunnableApp, control: kernel.Channel, warnings: list[str]) -> None:
    manifest = app.manifest()
    for start in range(0, len(manifest.tasks), wire.TASKS_A_FRAME):
        _send(control, wire.Found(manifest.tasks[start : start + wire.TASKS_A_FRAME]))
    shown = tuple(warning[:500] for warning in warnings[:20])
    _send(control, wire.Ready(manifest.app, manifest.url, shown, manifest.on_dead))


def _send(control: kernel.Channel, frame: wire.FromZygote, descriptors: Sequence[int] = ()) -> None:
    passed = [descriptor for descriptor in descriptors if descriptor >= 0]
    try:
        if passed:
            control.send_with(wire.encode(frame), passed)
        else:
            control.send(wire.encode(frame))
    except (BrokenPipeError, ConnectionResetError):
        os._exit(0)
