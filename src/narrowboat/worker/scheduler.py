"""The scheduler makes the jobs of schedules. Every worker has one; by the backend, each time makes one job."""

from __future__ import annotations

import logging
import queue
import random
import time

from ..core.errors import BackendUnavailable, ConfigError
from ..core.firing import job_for
from ..core.schedule import plan
from .link import Link, Service
from .mail import Requests

log = logging.getLogger("narrowboat.worker")
LOOK_S = 60.0  # the longest sleep: clocks may be set
SPREAD_S = 0.1  # so that a fleet does not come all at once
AGAIN_S = 1.0  # after a backend that could not be reached


class Scheduler(Service):
    """Sleeps until the next due time of any schedule of this worker's tasks, or until those are others."""

    def __init__(self, link: Link) -> None:
        super().__init__("scheduler", link)
        self.requests: Requests[bool] = Requests()

    def serve(self) -> None:
        """Until it is told to end. Any other request: look now, the tasks may be others."""
        while True:
            try:
                if self.requests.get(timeout=self._look()) is None:
                    return
            except queue.Empty:
                pass

    def _look(self) -> float:
        """Deal with what is due; how long to sleep then."""
        link = self.link
        manifest = link.manifest
        found = [(task, spec) for task in (manifest.tasks if manifest else ()) for spec in task.schedules]
        if not found:
            return LOOK_S
        soonest = time.time() + LOOK_S
        try:
            states = link.backend.schedules([spec.key for _, spec in found])
            for task, spec in found:
                todo = plan(spec, states[spec.key], time.time())
                soonest = min(soonest, todo.next)
                if todo.due is None:
                    continue
                job = job_for(task, spec) if todo.runs else None
                if link.backend.fire(spec.key, todo.due, job) and job is not None:
                    is_there = job.key is None or link.backend.get([job.id])[0] is not None
                    log.info("schedule %s: %s", spec.name, job.id if is_there else f"none, the key {job.key} is held")
            link.contact.made()
        except BackendUnavailable as error:
            link.contact.lost("schedules", error)
            return AGAIN_S + random.random()
        except ConfigError as error:  # a time zone that this host does not have
            log.error("schedules: %s", error)
        return max(0.0, soonest - time.time()) + SPREAD_S * random.random()
