"""The listener sleeps until work arrives, and claims it."""

from __future__ import annotations

import math
import time
from collections import deque

from ..backends.base import Step, Wakeup
from .link import Link, Service
from .mail import Heard, Listen, Requests, Stepped

LONGEST_WAIT_S = 5.0
NEVER = 1 << 60  # cancels: the heartbeat hears them


class Standby:
    """A step that is ready before there is work. Whoever takes it first has it: the listener, to make it at once when
    it is woken, where the main loop and the courier would have to be woken, too; or the main loop, to make another.

    until: from then on the listener leaves it (monotonic). taken_at: when the listener took the last one.
    """

    def __init__(self) -> None:
        self._steps: deque[Step] = deque(maxlen=1)
        self.until = math.inf
        self.taken_at = math.inf

    def __bool__(self) -> bool:
        return bool(self._steps)

    def offer(self, step: Step) -> None:
        """By the main loop, which has taken the one before."""
        self.taken_at = math.inf
        self._steps.append(step)

    def take_back(self) -> bool:
        """Whether the main loop has it again: the listener had not taken it."""
        return self._pop() is not None

    def take(self) -> Step | None:
        """By the listener."""
        now = time.monotonic()
        step = self._pop() if now < self.until else None
        if step is not None:
            self.taken_at = now
        return step

    def _pop(self) -> Step | None:
        try:
            return self._steps.pop()
        except IndexError:
            return None


class Listener(Service):
    """Sleeps in the backend for an idle worker."""

    def __init__(self, link: Link) -> None:
        super().__init__("listener", link)
        self.requests: Requests[Listen] = Requests()
        self.standby = Standby()

    def serve(self) -> None:
        """Answer each request once."""
        link = self.link
        while (request := self.requests.get()) is not None:

            def wait(request: Listen = request) -> Wakeup:
                return link.backend.wait(link.info.id, request.wants, LONGEST_WAIT_S, cancels=NEVER)

            woken = link.until_done("wait", wait)
            if woken is not None:
                step = self.standby.take() if woken.work else None
                link.mailbox.post(Heard(woken.work, None if step is None else self._make(step)))

    def _make(self, step: Step) -> Stepped | None:
        reply = self.link.until_done("step", lambda: self.link.backend.step(step))
        return None if reply is None else Stepped(step, reply, {}, self.standby.taken_at)
