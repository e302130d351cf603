"""The zygote: a process with nothing to steal that imports the app once and forks executors from it.

It is started by exec with a clean environment, so no secret of the worker was ever in its memory.
"""

from __future__ import annotations

import gc
import json
import os
import selectors
import signal
import socket
import sys
import traceback

from ..core.runnable import RunnableApp
from . import child, linux, wire
from .importing import ImportProblem, import_app, leftovers, watch_environment


def main() -> None:
    """Entry point; argv[1] is JSON: {"control": fd, "lifeline": fd, "app": "module:attribute", "path": [...], ...}."""
    setup = json.loads(sys.argv[1])
    sys.argv = ["narrowboat-executor"]
    linux.call_me("nb-zygote")
    linux.die_with(setup["lifeline"])
    control = socket.socket(fileno=setup["control"])
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

    def __init__(self, mould: child.Mould, control: socket.socket, lifeline: int) -> None:
        self._mould, self._control, self._lifeline = mould, control, lifeline
        self._wake, self._waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def serve(self) -> None:
        """Until the worker closes the control socket."""
        signal.signal(signal.SIGCHLD, _only_wake)
        signal.set_wakeup_fd(self._waker)
        with selectors.DefaultSelector() as selector:
            selector.register(self._control, selectors.EVENT_READ)
            selector.register(self._wake, selectors.EVENT_READ)
            while True:
                ready = {key.fd for key, _ in selector.select()}
                if self._wake in ready:
                    os.read(self._wake, 4096)
                    self._reap()
                if self._control.fileno() in ready and not self._fork_on_request():
                    return

    def _fork_on_request(self) -> bool:
        data, descriptors, _, _ = socket.recv_fds(self._control, wire.MAX_FRAME, 2)
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
            child.main(self._mould, socket.socket(fileno=channel), last_words, self._lifeline, request)
        for descriptor in descriptors:
            os.close(descriptor)
        if pid > 0:
            pidfd = os.pidfd_open(pid)
            _send(self._control, wire.Forked(request.request, pid), [pidfd])
            os.close(pidfd)
        return True

    def _reap(self) -> None:
        while True:
            pid = linux.dead_child()
            if pid is None:
                return
            _send(self._control, wire.Exited(pid, linux.kill_group_and_reap(pid)))


def _only_wake(number: int, frame: object) -> None:
    """The wake-up descriptor has been written; there is nothing else to do."""


def _introduce(app: RunnableApp, control: socket.socket, warnings: list[str]) -> None:
    manifest = app.manifest()
    for start in range(0, len(manifest.tasks), wire.TASKS_A_FRAME):
        _send(control, wire.Found(manifest.tasks[start : start + wire.TASKS_A_FRAME]))
    shown = tuple(warning[:500] for warning in warnings[:20])
    _send(control, wire.Ready(manifest.app, manifest.url, shown, manifest.on_dead))


def _send(control: socket.socket, frame: wire.FromZygote, descriptors: list[int] | None = None) -> None:
    try:
        if descriptors:
            socket.send_fds(control, [wire.encode(frame)], descriptors)
        else:
            control.send(wire.encode(frame))
    except (BrokenPipeError, ConnectionResetError):
        os._exit(0)
