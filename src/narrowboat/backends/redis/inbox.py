"""Messages of other languages: a list for each task, from which workers make jobs.

A message is the JSON object of the arguments. Its member "$job" may say more: see `Options`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from ...core import codec
from ...core.controls import Controls, where
from ...core.errors import BadArguments, ConfigError
from ...core.ids import new_job_id
from ...core.job import MAX_PAYLOAD, MAX_PRIORITY, MIN_PRIORITY, NewJob
from ...core.keys import checked
from ...core.task import TaskSpec, unknown_task
from .connection import Connections
from .line import Word
from .scripts import script
from .words import of_job

MOST = 100  # messages that are moved at once
SHOWN = 2_000  # bytes of a message that cannot be read
ULID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")
_spec = msgspec.json.Decoder(TaskSpec).decode


class Options(msgspec.Struct, forbid_unknown_fields=True):
    """What "$job" may hold. id: the part of the job's id after the colon, chosen by the sender."""

    id: str | None = None
    priority: int | None = None
    delay_s: float = 0.0
    key: str | None = None
    summary: str = ""
    tags: tuple[str, ...] = ()
    client: str = ""


_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_options = msgspec.json.Decoder(Options).decode


def collect(connections: Connections, tasks: Sequence[str], now: str) -> int:
    """Move what is in the inboxes of these tasks; returns how many messages. Raises BackendUnavailable."""
    prefix, moved = connections.address.prefix, 0
    for task, packed in zip(tasks, connections.call("HMGET", f"{prefix}specs", *tasks), strict=True):
        spec = _spec(packed) if packed else unknown_task(task)
        messages: list[bytes] = connections.call("LRANGE", f"{prefix}inbox:{task}", 0, MOST - 1)
        words: list[Word] = []
        for message in messages:
            job, reason = read(message, task, spec)
            as_written = of_job(job)
            words += (message, reason, len(as_written), *as_written)
        moved += connections.run(script("inbox"), now, task, len(messages), *words)
    return moved


def read(message: bytes, task: str, spec: TaskSpec) -> tuple[NewJob, str]:
    """The job that a message asks for; or a job that shows it, and why it cannot be run."""
    try:
        job = _job(message, task, spec)
        of_job(job)
    except (msgspec.DecodeError, ValueError, BadArguments, ConfigError) as error:
        what = f"as JSON: {error}" if isinstance(error, msgspec.DecodeError) else str(error)
        shown = codec.encode({"message": message[:SHOWN].decode(errors="replace")})
        reason = f"a message in the inbox of {task} cannot be read: {what}"[:300]
        return NewJob(id=new_job_id(task), task=task, queue=spec.queue, args=shown), reason
    return job, ""


def _job(message: bytes, task: str, spec: TaskSpec) -> NewJob:
    if len(message) > MAX_PAYLOAD:
        raise ValueError(f"it has {len(message):,} bytes, the limit is {MAX_PAYLOAD:,}")
    arguments = codec.decode(message)  # all of it, for members are looked at by name only
    members = _members(message)
    given = members.pop("$job", None)
    options = Options() if given is None else _options(given)
    if options.id is not None and not ULID.fullmatch(options.id):
        raise ValueError(f"$job.id is {options.id[:50]!r}: give a ULID: 26 digits and capital letters")
    priority = spec.priority if options.priority is None else options.priority
    if not MIN_PRIORITY <= priority <= MAX_PRIORITY:
        raise ValueError(f"$job.priority is {priority}: give {MIN_PRIORITY} to {MAX_PRIORITY}")
    return NewJob(
        id=new_job_id(task) if options.id is None else f"{task}:{options.id}",
        task=task,
        queue=spec.queue,
        args=message if given is None else codec.encode(members),
        priority=priority,
        lane_key=_lane_key(spec.controls, arguments, task),
        delay_s=max(0.0, options.delay_s),
        key=options.key or None,
        summary=options.summary[:200],
        tags=options.tags,
        client=options.client[:200],
    )


def _lane_key(controls: Controls, arguments: dict[str, Any], task: str) -> str:
    """Under which key its controls count it. Raises BadArguments, ConfigError."""
    return checked(controls.lane_key(lambda: arguments, task), where(task)) if controls.per else ""
