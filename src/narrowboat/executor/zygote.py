"""The zygote: a process with nothing to steal that imports the app once and forks executors from it.

It is started by exec with a clean environment, so no secret of the worker was ever in its memory.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import selectors
import signal
import sys
import traceback
from collections.abc import Sequence

from .. import kernel
from ..core.runnable import RunnableApp
from . import child, wire
from .importing import ImportProblem, import_app, leftovers, watch_environment


def main() -> None:
    """Entry point; argv[1] is JSON: {"control": fd, "lifeline": fd, "app": "module:attribute", "path": [...], ...}."""
    setup = json.loads(sys.argv[1])
    sys.argv = ["narrowboat-executor"]
    kernel.call_me("nb-zygote")
    if kernel.DIES_BY_SIGNAL:
        kernel.die_with(setup["lifeline"])
    control = kernel.Channel(fileno=setup["control"])
    control.set_inheritable(False)
    sys.path[:0] = setup["path"]
    sys.dont_write_bytecode = not setup["may_compile"]
    gc.disable()  # a collection would write to the pages of every imported object
    missed = watch_environment()
    try:
        app = import_app(setup["app"], missed)
    except ImportProblem as problem:
        _send(control, wire.ImportFailed(problem.traceback[-32_000:], problem.remedy[:4_000]))
        return
    _introduce(app, control, leftovers({control.fileno(), setup["lifeline"]}))
    zygote = Zygote(child.Mould(app.runnables(), app.hooks), control, setup["lifeline"])
    gc.collect()
    gc.freeze()
    try:
        zygote.serve()
    except BaseException:  # noqa: BLE001  (shown, and the end)
        traceback.print_exc(file=sys.__stderr__)  # the standard streams are an executor's by now
        raise SystemExit(1) from None


class Zygote:
    """Forks on request, reaps, and reports both."""

    def __init__(self, mould: child.Mould, control: kernel.Channel, lifeline: int) -> None:
        self._mould, self._control, self._lifeline = mould, control, lifeline
        self._wake, self._waker = os.pipe()
        for end in (self._wake, self._waker):
            os.set_blocking(end, False)
        self._children: set[int] = set()
        self._is_released = False

    def serve(self) -> None:
        """Until the worker closes the control socket, and, where nobody adopts them, all executors have ended."""
        signal.signal(signal.SIGCHLD, _only_wake)
        signal.set_wakeup_fd(self._waker)
        with selectors.DefaultSelector() as selector:
            selector.register(self._control.fileno(), selectors.EVENT_READ)
            selector.register(self._wake, selectors.EVENT_READ)
            if not kernel.DIES_BY_SIGNAL:
                selector.register(self._lifeline, selectors.EVENT_READ)
            while not self._is_released or (self._children and not kernel.ADOPTS_ORPHANS):
                ready = {key.fd for key, _ in selector.select()}
                if self._lifeline in ready:
                    self._kill_all()
                    return
                if self._wake in ready:
                    os.read(self._wake, 4096)
                    self._reap()
                if not self._is_released and self._control.fileno() in ready:
                    self._obey()
                    if self._is_released:
                        selector.unregister(self._control.fileno())

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
        channel, last_words = descriptors
        try:
            pid = os.fork()
        except OSError as error:
            _send(self._control, wire.ForkFailed(request.request, str(error)))
            pid = -1
        if pid == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            child.main(self._mould, kernel.Channel(fileno=channel), last_words, self._lifeline, request)
        for descriptor in descriptors:
            os.close(descriptor)
        if pid > 0:
            self._children.add(pid)
            process = kernel.Process(pid)
            _send(self._control, wire.Forked(request.request, pid), [process.descriptor])
            process.close()
        return True

    def _reap(self) -> None:
        while (found := kernel.reap()) is not None:
            pid, status = found
            self._children.discard(pid)
            if status is not None and not self._is_released:
                _send(self._control, wire.Exited(pid, status))

    def _kill_all(self) -> None:
        """The worker is gone."""
        for pid in self._children:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)


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
