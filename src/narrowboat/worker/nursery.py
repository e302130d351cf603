"""Keeps one zygote alive for the pool, moves over to a new one when asked, and reaps what is left to this process."""

from __future__ import annotations

import logging
import selectors
import time
from collections.abc import Callable

from .. import kernel
from ..core.codec import printable
from ..core.errors import NarrowboatError
from ..core.task import Manifest, TaskSpec
from ..executor import wire
from .executors import Executor, ProtocolViolation
from .pool import Pool
from .zygote import Zygote

log = logging.getLogger("narrowboat.worker")


class ImportFailed(NarrowboatError):
    """The app could not be imported; the text is its own traceback and the remedy."""


class Birth:
    """A zygote, and what it has told so far."""

    def __init__(self, zygote: Zygote, generation: int) -> None:
        self.zygote, self.generation = zygote, generation
        self.found: list[TaskSpec] = []
        self.has_failed = self.is_over = False


class Nursery:
    """Starts a zygote, asks it for executors, and starts another when it dies or its code has changed.

    manifest: what the latest zygote found; None until the first has. is_ready: whether forks can be asked for now.
    `moved` is called with each later manifest.
    """

    def __init__(
        self,
        start: Callable[[], Zygote],
        pool: Pool,
        selector: selectors.BaseSelector,
        moved: Callable[[Manifest], None],
    ) -> None:
        self._start_zygote, self._pool, self._selector, self._moved = start, pool, selector, moved
        self._current: Birth | None = None
        self._next: Birth | None = None  # beside the current one, until it has imported the app
        self._generations = 0
        self._failures = 0
        self.manifest: Manifest | None = None
        self.is_ready = False
        self.retry_at: float | None = None

    @property
    def generation(self) -> int:
        """Counts the zygotes that were started."""
        return self._generations

    def start(self) -> None:
        """Start a zygote, since there is none."""
        self.retry_at = None
        self._current = self._bear()

    def reload(self) -> None:
        """Start another beside the one that is there, and move over when it has imported the app.

        Nothing changes if it cannot: the old code stays, and the log says why.
        """
        if self._next is not None:
            self._let_go(self._next)
        if self._current is None or self.manifest is None:
            self.retry_at = time.monotonic()  # nothing to keep: try at once
            return
        self._next = self._bear()

    def close(self) -> None:
        """Let the zygotes go."""
        for birth in (self._current, self._next):
            if birth is not None:
                self._let_go(birth)
        self._current = self._next = None

    def ask_for(self, executor: Executor) -> bool:
        """Ask for a fork; False when there is nobody to ask."""
        if self._current is None or not self.is_ready:
            return False
        try:
            self._current.zygote.ask_for(executor)
        except OSError:
            return False  # it is dead, or behind; both are noticed elsewhere, and the job in hand asks again
        return True

    def reap(self) -> None:
        """Children that have died: zygotes, executors of an earlier one, helpers of dead executors."""
        zygotes = {birth.zygote.pid: birth for birth in (self._current, self._next) if birth is not None}
        while (found := kernel.reap(zygotes)) is not None:
            pid, status = found
            if pid in zygotes:
                self._died(zygotes.pop(pid))
            else:
                self._pool.exited(pid, status)

    def _bear(self) -> Birth:
        self._generations += 1
        birth = Birth(self._start_zygote(), self._generations)
        self._selector.register(birth.zygote.control.fileno(), selectors.EVENT_READ, lambda: self._read(birth))
        if birth.zygote.watched.descriptor >= 0:
            self._selector.register(birth.zygote.watched.descriptor, selectors.EVENT_READ, lambda: self._died(birth))
        return birth

    def _let_go(self, birth: Birth) -> None:
        if not birth.is_over:
            birth.is_over = True
            self._selector.unregister(birth.zygote.control.fileno())
            if birth.zygote.watched.descriptor >= 0:
                self._selector.unregister(birth.zygote.watched.descriptor)
            birth.zygote.close()
        if self._next is birth:
            self._next = None

    def _read(self, birth: Birth) -> None:
        if not birth.is_over:
            self._hear(birth)
        if not birth.is_over and birth.zygote.has_hung_up:
            self._died(birth)

    def _hear(self, birth: Birth) -> None:
        try:
            frames = birth.zygote.read()
        except ProtocolViolation as violation:
            log.error("the zygote broke the protocol and is killed: %s", violation)
            birth.zygote.kill()
            return
        for frame, descriptor in frames:
            match frame:
                case wire.Found(tasks):
                    birth.found += tasks
                case wire.Ready(app, url, warnings, on_dead):
                    found = Manifest(app=app, url=url, tasks=tuple(birth.found), on_dead=on_dead)
                    self._is_there(birth, found, warnings)
                case wire.Forked(request, pid):
                    self._pool.forked(request, kernel.Process(pid, descriptor))
                case wire.ForkFailed(request, error):
                    log.error("an executor could not be started: %s", error)
                    self._pool.fork_failed(request)
                case wire.Exited(pid, status):
                    self._pool.exited(pid, status)
                case wire.ImportFailed(text, remedy):
                    self._import_failed(birth, printable(f"{text}\n{remedy}".strip()))

    def _is_there(self, birth: Birth, manifest: Manifest, warnings: tuple[str, ...]) -> None:
        """It has imported the app: from now on executors come from it."""
        for warning in warnings:
            log.warning("%s", printable(warning))
        if birth is self._next:
            old, self._current, self._next = self._current, birth, None
            if old is not None:
                self._pool.forget_starting(old.generation)
                self._let_go(old)
        is_first, self.manifest = self.manifest is None, manifest
        self.is_ready = True
        self._failures = 0
        self._pool.move_on(birth.generation)
        if not is_first:
            self._moved(manifest)

    def _import_failed(self, birth: Birth, text: str) -> None:
        birth.has_failed = True
        if self.manifest is None:
            raise ImportFailed(text)
        if birth is self._next:
            log.error("the new code cannot be imported; the old code stays:\n%s", text)
        else:
            log.error("the app cannot be imported any more; running jobs go on, new ones wait:\n%s", text)

    def _died(self, birth: Birth) -> None:
        """Start another soon. Executors live on: they are this process's children from now on."""
        if birth.is_over:
            return
        self._hear(birth)  # its last words come first
        if birth.is_over:
            return
        status = birth.zygote.reap()
        was_next = birth is self._next
        self._let_go(birth)
        if birth is not self._current:
            if was_next and not birth.has_failed:
                log.error("the new code cannot be imported (status %s); the old code stays", status)
            return
        self._current = None
        if self.manifest is None:
            raise ImportFailed(f"the process that imports the app ended with status {status}")
        self.is_ready = False
        self._pool.forget_starting(birth.generation)
        if self._next is not None:  # the one that was to take its place anyway
            self._current, self._next = self._next, None
            return
        self._failures += 1
        self.retry_at = time.monotonic() + min(5.0, 0.05 * 2**self._failures)
        log.error("the zygote ended (status %s); running jobs go on, and another zygote is started", status)
