"""Messages of other languages: a list for each task, from which workers make jobs; see `core.message`."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from ...core.errors import ConfigError
from ...core.job import NewJob
from ...core.message import read_arguments, unreadable
from ...core.task import TaskSpec, unknown_task
from .connection import Connections
from .line import Word
from .scripts import script
from .words import of_job

MOST = 100  # messages that are moved at once
_spec = msgspec.json.Decoder(TaskSpec).decode


def collect(connections: Connections, tasks: Sequence[str], now: str) -> int:
    """Move what is in the inboxes of these tasks; returns how many messages. Raises BackendUnavailable."""
    prefix, moved = connections.address.prefix, 0
    for task, packed in zip(tasks, connections.call("HMGET", f"{prefix}specs", *tasks), strict=True):
        spec = _spec(packed) if packed else unknown_task(task)
        messages: list[bytes] = connections.call("LRANGE", f"{prefix}inbox:{task}", 0, MOST - 1)
        words: list[Word] = []
        for message in messages:
            job, reason = _read(message, task, spec)
            as_written = of_job(job)
            words += (message, reason, len(as_written), *as_written)
        moved += connections.run(script("inbox"), now, task, len(messages), *words)
    return moved


def _read(message: bytes, task: str, spec: TaskSpec) -> tuple[NewJob, str]:
    """As `read_arguments`; what cannot be written down here cannot be run, either."""
    job, reason = read_arguments(message, task, spec)
    try:
        of_job(job)
    except ConfigError as error:
        return unreadable(message, task, spec.queue, f"in the inbox of {task}", error)
    return job, reason
