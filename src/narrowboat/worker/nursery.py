"""Keeps one zygote alive for the pool, and reaps whatever is left to this process."""

from __future__ import annotations

import logging
import selectors
import time
from collections.abc import Callable

from ..core.codec import printable
from ..core.errors import NarrowboatError
from ..core.task import Manifest, TaskSpec
from ..executor import linux, wire
from .executors import Executor, ProtocolViolation
from .pool import Pool
from .zygote import Zygote

log = logging.getLogger("narrowboat.worker")


class ImportFailed(NarrowboatError):
    """The app could not be imported; the text is its own traceback and the remedy."""


class Nursery:
    """Starts a zygote, asks it for executors, and starts another when it dies.

    manifest: what the first zygote found; None until then. is_ready: whether forks can be asked for now.
    """

    def __init__(self, start: Callable[[], Zygote], pool: Pool, selector: selectors.BaseSelector) -> None:
        self._start_zygote, self._pool, self._selector = start, pool, selector
        self._zygote: Zygote | None = None
        self._found: list[TaskSpec] = []
        self._failures = 0
        self.manifest: Manifest | None = None
        self.is_ready = False
        self.retry_at: float | None = None

    def start(self) -> None:
        """Start a zygote."""
        self.retry_at = None
        self._found = []
        self._zygote = zygote = self._start_zygote()
        self._selector.register(zygote.control.fileno(), selectors.EVENT_READ, self._read)
        self._selector.register(zygote.pidfd, selectors.EVENT_READ, self._died)

    def close(self) -> None:
        """Let the zygote go."""
        zygote, self._zygote = self._zygote, None
        if zygote is not None:
            self._selector.unregister(zygote.control.fileno())
            self._selector.unregister(zygote.pidfd)
            zygote.close()

    def ask_for(self, executor: Executor) -> bool:
        """Ask for a fork; False when there is nobody to ask."""
        if self._zygote is None or not self.is_ready:
            return False
        try:
            self._zygote.ask_for(executor)
        except OSError:
            return False  # it is dead, or behind; both are noticed elsewhere, and the job in hand asks again
        return True

    def reap(self) -> None:
        """Children that have died: the zygote, executors of an earlier one, helpers of dead executors."""
        while (pid := linux.dead_child()) is not None:
            if self._zygote is not None and pid == self._zygote.pid:
                self._died()
            else:
                self._pool.exited(pid, linux.kill_group_and_reap(pid))

    def _read(self) -> None:
        if self._zygote is None:
            return
        try:
            frames = self._zygote.read()
        except ProtocolViolation as violation:
            log.error("the zygote broke the protocol and is killed: %s", violation)
            self._zygote.kill()
            return
        for frame, descriptor in frames:
            match frame:
                case wire.Found(tasks):
                    self._found += tasks
                case wire.Ready(app, url, warnings):
                    self._is_there(Manifest(app=app, url=url, tasks=tuple(self._found)), warnings)
                case wire.Forked(request, pid):
                    self._pool.forked(request, pid, descriptor)
                case wire.ForkFailed(request, error):
                    log.error("an executor could not be started: %s", error)
                    self._pool.fork_failed(request)
                case wire.Exited(pid, status):
                    self._pool.exited(pid, status)
                case wire.ImportFailed(text, remedy):
                    self._import_failed(printable(f"{text}\n{remedy}".strip()))

    def _is_there(self, manifest: Manifest, warnings: tuple[str, ...]) -> None:
        for warning in warnings:
            log.warning("%s", printable(warning))
        self.manifest = self.manifest or manifest
        self.is_ready = True
        self._failures = 0

    def _import_failed(self, text: str) -> None:
        if self.manifest is None:
            raise ImportFailed(text)
        log.error("the app cannot be imported any more; running jobs go on, new ones wait:\n%s", text)

    def _died(self) -> None:
        """Start another soon. Executors live on: they are this process's children from now on."""
        if self._zygote is None:
            return
        self._read()  # its last words come first
        status = self._zygote.reap()
        self.close()
        if self.manifest is None:
            raise ImportFailed(f"the process that imports the app ended with status {status}")
        self.is_ready = False
        self._pool.forget_starting()
        self._failures += 1
        self.retry_at = time.monotonic() + min(5.0, 0.05 * 2**self._failures)
        log.error("the zygote ended (status %s); running jobs go on, and another zygote is started", status)
