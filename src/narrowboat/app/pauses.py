"""Pauses: a queue, a task, or what goes through a breaker, gives no jobs anywhere until it is resumed.

Nothing is lost, and no attempt is spent.
"""

from __future__ import annotations

import time

from ..backends.base import Backend, Gate
from ..core.errors import ConfigError
from ..core.ids import is_task_name
from ..core.moments import Moment, moment
from ..core.queue import checked_name


def scope_of(queue: str | None, task: str | None, breaker: str | None = None) -> str:
    """The name of the gate. Raises ConfigError unless it is one of the three."""
    if sum(name is not None for name in (queue, task, breaker)) != 1:
        raise ConfigError("name one queue, one task or one breaker to pause or to resume")
    if queue is not None:
        return f"queue:{checked_name(queue)}"
    if breaker is not None:
        return f"breaker:{breaker}"
    if not is_task_name(task or ""):
        raise ConfigError(f"{task!r} is not the name of a task; one looks like studio.images.thumbnail")
    return f"task:{task}"


def pause(backend: Backend, scope: str, until: Moment | None, reason: str) -> Gate:
    """Shut it everywhere, at once. Raises ConfigError for an `until` that is over."""
    now = time.time()
    gate = Gate(scope=scope, reason=reason, until=None if until is None else moment(until, now), since=now)
    backend.shut(gate)
    return gate
