"""The way to the backend that the threads share: who we are, and how to try again until it works."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from ..backends.base import Backend, WorkerInfo
from ..core.errors import BackendError, BackendUnavailable, UnknownWorker
from ..core.task import Manifest
from .mail import Broken, Mailbox

log = logging.getLogger("narrowboat.worker")

T = TypeVar("T")


class Contact:
    """Since when the backend has answered without a break; None while it does not.

    longest_s: between two answers; more is a break, too. Nobody asks while this process is stopped, or its machine is.
    """

    def __init__(self, longest_s: float) -> None:
        self._longest_s = longest_s
        self._since: float | None = None
        self._latest = self._answered_at = 0.0

    def made(self) -> None:
        """A call succeeded."""
        now = time.monotonic()
        if self._since is None or now - self._answered_at > self._longest_s:
            self._since = now
        self._latest, self._answered_at = time.time(), now

    def lost(self, what: str, error: Exception) -> None:
        """A call failed."""
        if self._since is not None:
            log.error("%s failed, trying again until it works: %s", what, error)
        self._since = None

    @property
    def latest(self) -> float | None:
        """When the backend last answered, in seconds since 1970; None while it does not."""
        return None if self._since is None else self._latest

    def lasted_s(self) -> float:
        """Seconds of unbroken contact."""
        now, since = time.monotonic(), self._since
        return 0.0 if since is None or now - self._answered_at > self._longest_s else now - since


class Link:
    """What the three threads share: the backend, who we are, and how to try again."""

    def __init__(self, backend: Backend, info: WorkerInfo, mailbox: Mailbox) -> None:
        self.backend, self.info, self.mailbox = backend, info, mailbox
        self.manifest: Manifest | None = None
        self.contact = Contact(info.lease_s / 2)  # of a lease that is renewed in time, more than that is always left
        self.is_closed = threading.Event()

    def until_done(self, what: str, call: Callable[[], T]) -> T | None:
        """Call until it succeeds; None when the worker closes first. A forgotten worker is published again."""
        failures = 0
        while not self.is_closed.is_set():
            try:
                result = call()
            except UnknownWorker:
                if not self.is_closed.is_set():
                    self._publish_again()
            except BackendUnavailable as error:
                if self.is_closed.is_set():
                    break
                self.contact.lost(what, error)
                failures += 1
                self.is_closed.wait(min(5.0, 0.05 * 2**failures) * random.random())
            else:
                self.contact.made()
                return result
        return None

    def _publish_again(self) -> None:
        log.warning("the backend had forgotten this worker (its lease was over); it is published again")
        manifest = self.manifest
        if manifest is not None:
            self.until_done("publish", lambda: self.backend.publish(self.info, manifest))


class Service(threading.Thread):
    """A thread that the worker can give up on: it is a daemon, and says so when it dies of a bug."""

    def __init__(self, name: str, link: Link) -> None:
        super().__init__(name=f"narrowboat-{name}", daemon=True)
        self.link = link

    def run(self) -> None:
        """Serve, and hand a bug to the main loop, which ends the worker: one that is up is consuming."""
        try:
            self.serve()
        except BackendError as error:
            if not self.link.is_closed.is_set():
                self.link.mailbox.post(Broken(self.name, error))
        except Exception as error:  # noqa: BLE001  (re-raised in the main loop)
            self.link.mailbox.post(Broken(self.name, error))

    def serve(self) -> None:
        """The thread's work."""
        raise NotImplementedError
