"""The courier settles and claims, one step at a time."""

from __future__ import annotations

from ..backends.base import Step
from .link import Link, Service
from .mail import Requests, Stepped


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
