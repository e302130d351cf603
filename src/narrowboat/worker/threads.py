"""The three threads that talk to the backend, so that the main loop never waits for it.

courier: settles and claims, one step at a time. listener: sleeps until work arrives. heartbeat: extends
the lease, hears cancels, rescues, purges. They carry frozen requests and replies; only the main loop
changes state. A call that fails is made again until it succeeds: steps are repeatable.
"""

from __future__ import annotations

import logging
import os
import queue
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from ..backends.base import Backend, ClaimRef, Extended, Retention, Step, StepReply, Wakeup, Want, WorkerInfo
from ..core.errors import BackendError, BackendUnavailable, UnknownWorker
from ..core.job import Claim
from ..core.task import Manifest
from .identity import is_gone

log = logging.getLogger("narrowboat.worker")
LONGEST_WAIT_S = 5.0
NEVER = 1 << 60  # cancels: the heartbeat hears them
NEIGHBOURS_EVERY_S = 2.0
PURGE_EVERY_S = 30.0

T = TypeVar("T")


class Mailbox:
    """Messages to the main loop, and the descriptor that wakes it."""

    def __init__(self) -> None:
        self._messages: deque[object] = deque()
        self.descriptor = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def post(self, message: object) -> None:
        """From any thread."""
        self._messages.append(message)
        os.eventfd_write(self.descriptor, 1)

    def take(self) -> list[object]:
        """All messages, by the main loop."""
        try:
            os.eventfd_read(self.descriptor)
        except BlockingIOError:
            return []
        taken: list[object] = []
        while self._messages:
            taken.append(self._messages.popleft())
        return taken


class Contact:
    """Since when the backend has answered without a break; None while it does not."""

    def __init__(self) -> None:
        self._since: float | None = None

    def made(self) -> None:
        """A call succeeded."""
        if self._since is None:
            self._since = time.monotonic()

    def lost(self, what: str, error: Exception) -> None:
        """A call failed."""
        if self._since is not None:
            log.error("%s failed, trying again until it works: %s", what, error)
        self._since = None

    def lasted_s(self) -> float:
        """Seconds of unbroken contact."""
        return 0.0 if self._since is None else time.monotonic() - self._since


class Link:
    """What the three threads share: the backend, who we are, and how to try again."""

    def __init__(self, backend: Backend, info: WorkerInfo, mailbox: Mailbox) -> None:
        self.backend, self.info, self.mailbox = backend, info, mailbox
        self.manifest: Manifest | None = None
        self.contact = Contact()
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


class Broken:
    """A thread ended by an error."""

    def __init__(self, thread: str, error: Exception) -> None:
        self.thread, self.error = thread, error


class Requests(Generic[T]):
    """A queue that ends with the worker."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[T | None] = queue.SimpleQueue()

    def put(self, request: T | None) -> None:
        """Ask; None ends the thread."""
        self._queue.put(request)

    def get(self, timeout: float | None = None) -> T | None:
        """The next request. Raises queue.Empty after the timeout."""
        return self._queue.get(timeout=timeout)


class Stepped:
    """The courier's answer."""

    def __init__(self, step: Step, reply: StepReply) -> None:
        self.step, self.reply = step, reply


class Courier(Service):
    """Carries one step at a time."""

    def __init__(self, link: Link) -> None:
        super().__init__("courier", link)
        self.requests: Requests[Step] = Requests()

    def serve(self) -> None:
        """Take each step to the backend, as often as it takes."""
        while (step := self.requests.get()) is not None:
            reply = self.link.until_done("step", lambda step=step: self.link.backend.step(step))
            if reply is not None:
                self.link.mailbox.post(Stepped(step, reply))


class Listen:
    """A wish to be woken when one of these can be met."""

    def __init__(self, wants: Sequence[Want]) -> None:
        self.wants = wants


class Heard:
    """The listener's answer: whether there is work. It has looked, so that no is an answer, too."""

    def __init__(self, work: bool) -> None:
        self.work = work


class Listener(Service):
    """Sleeps in the backend for an idle worker."""

    def __init__(self, link: Link) -> None:
        super().__init__("listener", link)
        self.requests: Requests[Listen] = Requests()

    def serve(self) -> None:
        """Answer each request once."""
        link = self.link
        while (request := self.requests.get()) is not None:

            def wait(request: Listen = request) -> Wakeup:
                return link.backend.wait(link.info.id, request.wants, LONGEST_WAIT_S, cancels=NEVER)

            woken = link.until_done("wait", wait)
            if woken is not None:
                link.mailbox.post(Heard(woken.work))


class Extend:
    """Renew the lease for these claims; `seq` is the last step whose reply was seen."""

    def __init__(self, seq: int, claims: tuple[ClaimRef, ...]) -> None:
        self.seq, self.claims = seq, claims


class CancelsAsked:
    """Someone asked to cancel jobs that this worker runs."""


class Rescued:
    """Claims taken over from workers that are gone."""

    def __init__(self, claims: list[Claim]) -> None:
        self.claims = claims


class Heartbeat(Service):
    """Keeps the lease and the neighbourhood in order."""

    def __init__(self, link: Link, retention: Retention) -> None:
        super().__init__("heartbeat", link)
        self.requests: Requests[Extend] = Requests()
        self._retention = retention
        self._look_every_s = min(NEIGHBOURS_EVERY_S, link.info.lease_s / 6)
        self._cancels = 0
        self._next_purge = time.monotonic() + PURGE_EVERY_S * random.random()

    def serve(self) -> None:
        """Between looks, sleep in the backend until a cancel is asked for."""
        link = self.link
        while not link.is_closed.is_set():
            if not self._extend_as_asked():
                return
            self._rescue()
            self._purge()
            woken = link.until_done(
                "wait", lambda: link.backend.wait(link.info.id, (), self._look_every_s, cancels=self._cancels)
            )
            if woken is not None and woken.cancels != self._cancels:
                if woken.cancels > self._cancels:
                    link.mailbox.post(CancelsAsked())
                self._cancels = woken.cancels

    def _extend_as_asked(self) -> bool:
        """Carry out what the main loop asked for; False when it asked to end."""
        while True:
            try:
                request = self.requests.get(timeout=0)
            except queue.Empty:
                return True
            if request is None:
                return False
            self._extend(request)

    def _extend(self, request: Extend) -> None:
        link = self.link
        extended: Extended | None = link.until_done(
            "extend", lambda: link.backend.extend(link.info.id, request.seq, request.claims)
        )
        if extended is not None:
            link.mailbox.post(extended)

    def _rescue(self) -> None:
        """Take over at once from dead neighbours; by lease only after a whole lease of contact.

        An outage of the backend lets all leases run out together; whoever is back first must give the
        others the time to renew theirs.
        """
        link = self.link
        try:
            others = [worker for worker in link.backend.workers() if worker.info.id != link.info.id]
            dead = [worker.info.id for worker in others if is_gone(worker.info)]
            if dead or (others and link.contact.lasted_s() >= link.info.lease_s):
                claims = link.backend.rescue(link.info.id, dead=dead)
                if claims:
                    link.mailbox.post(Rescued(claims))
            link.contact.made()
        except UnknownWorker:
            pass  # the next extend or step publishes again
        except BackendUnavailable as error:
            link.contact.lost("rescue", error)

    def _purge(self) -> None:
        if time.monotonic() < self._next_purge:
            return
        try:
            full = self.link.backend.purge(self._retention, limit=1000) >= 1000
            self._next_purge = time.monotonic() + (1.0 if full else PURGE_EVERY_S)
        except BackendUnavailable as error:
            self.link.contact.lost("purge", error)
