"""The heartbeat extends the lease, hears cancels, rescues the jobs of dead neighbours, and purges."""

from __future__ import annotations

import queue
import random
import time

from ..backends.base import Extended, Retention
from ..core.errors import BackendUnavailable, UnknownWorker
from .identity import is_gone
from .link import Link, Service
from .mail import CancelsAsked, Extend, Renewed, Requests, Rescued
from .neighbours import Neighbours

NEIGHBOURS_EVERY_S = 2.0
PURGE_EVERY_S = 30.0
PURGE_FOR_S = 0.5  # at a time
FEW = 4  # workers that look so often; more of them look more seldom, so that a fleet costs what a few do


class Heartbeat(Service):
    """Keeps the lease and the neighbourhood in order."""

    def __init__(self, link: Link, retention: Retention) -> None:
        super().__init__("heartbeat", link)
        self.requests: Requests[Extend] = Requests()
        self._retention = retention
        self._look_every_s = min(NEIGHBOURS_EVERY_S, link.info.lease_s / 6)
        self._cancels = 0
        self._fleet = 1.0  # how many times as many as FEW there are
        self._next_purge = time.monotonic() + PURGE_EVERY_S * random.random()
        self._next_look = 0.0
        self._neighbours = Neighbours()

    def serve(self) -> None:
        """Between looks, sleep in the backend until a cancel is asked for."""
        link = self.link
        while not link.is_closed.is_set():
            if not self._extend_as_asked():
                return
            if time.monotonic() >= self._next_look:
                self._rescue()
                self._next_look = time.monotonic() + self._look_every_s * self._fleet * (0.75 + random.random() / 2)
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
        asked_at = 0.0

        def extend() -> Extended:
            nonlocal asked_at
            asked_at = time.monotonic()
            return link.backend.extend(link.info.id, request.seq, request.claims)

        extended = link.until_done("extend", extend)
        if extended is not None:
            link.mailbox.post(Renewed(request, extended, asked_at))

    def _rescue(self) -> None:
        """Take over from neighbours on this machine that are dead, at once, and from others that are lost."""
        link = self.link
        try:
            workers = link.backend.workers()
            link.contact.made()
            self._fleet = max(1.0, len(workers) / FEW)
            others = [worker for worker in workers if worker.info.id != link.info.id]
            gone = {worker.info.id for worker in others if is_gone(worker.info)}
            gone.update(self._neighbours.lost(others, time.monotonic(), link.contact.lasted_s()))
            claims = link.backend.rescue(link.info.id, sorted(gone)) if gone else []
            if claims:
                link.mailbox.post(Rescued(claims))
        except UnknownWorker:
            pass  # the next extend or step publishes again
        except BackendUnavailable as error:
            link.contact.lost("rescue", error)

    def _purge(self) -> None:
        if time.monotonic() < self._next_purge:
            return
        until = time.monotonic() + PURGE_FOR_S
        try:
            # Where thousands of jobs end in a second, thousands of records must go.
            while is_full := self.link.backend.purge(self._retention, limit=1000) >= 1000:
                if time.monotonic() > until or self.link.is_closed.is_set():
                    break
            self._next_purge = time.monotonic() + (1.0 if is_full else PURGE_EVERY_S * self._fleet)
        except BackendUnavailable as error:
            self.link.contact.lost("purge", error)
