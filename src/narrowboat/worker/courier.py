"""The courier settles and claims, one step at a time, and says what the worker runs when that changes."""

from __future__ import annotations

import logging
import time

from ..backends.base import Step
from ..core.errors import BackendUnavailable
from ..core.units import many
from .link import Link, Service
from .mail import Publish, Published, Requests, Stepped

log = logging.getLogger("narrowboat.worker")


class Courier(Service):
    """Carries one thing at a time, in the order asked for."""

    def __init__(self, link: Link) -> None:
        super().__init__("courier", link)
        self.requests: Requests[Step | Publish] = Requests()

    def serve(self) -> None:
        """Take each to the backend, as often as it takes."""
        while (request := self.requests.get()) is not None:
            if isinstance(request, Step):
                self._step(request)
            else:
                self._publish(request)

    def _step(self, step: Step) -> None:
        began = time.monotonic()
        reply = self.link.until_done("step", lambda: self.link.backend.step(step))
        if reply is not None:
            self.link.mailbox.post(Stepped(step, reply, self._spared(step), began))

    def _spared(self, step: Step) -> dict[str, float]:
        """Whether a failure is charged is decided by its breaker, in the backend. The log is to say so: that is worth a
        look, and not worth another one.
        """
        ids = [settlement.id for settlement in step.settled if settlement.trips]
        try:
            jobs = self.link.backend.get(ids) if ids else []
        except BackendUnavailable:
            return {}
        spared: dict[str, float] = {}
        for job in jobs:
            if job is not None and job.due_at is not None and job.history and job.history[-1].outcome == "snoozed":
                spared[job.id] = job.due_at - job.history[-1].ended_at
        return spared

    def _publish(self, request: Publish) -> None:
        link = self.link
        link.info, link.manifest = request.info, request.manifest
        link.until_done("publish", lambda: link.backend.publish(request.info, request.manifest))
        if not link.is_closed.is_set():  # from here on the new tasks are taken
            log.info("moved over to the new code: %s", many(len(request.manifest.tasks), "task"))
            link.mailbox.post(Published())
