"""The listener sleeps until work arrives."""

from __future__ import annotations

from ..backends.base import Wakeup
from .link import Link, Service
from .mail import Heard, Listen, Requests

LONGEST_WAIT_S = 5.0
NEVER = 1 << 60  # cancels: the heartbeat hears them


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
