"""What other programs send: a job as a message, or bare arguments for one task. docs/message.schema.json says the same.

What cannot be read becomes a job, too, which shows the message and is not run: see `refusal`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from . import codec
from .controls import Controls, where
from .errors import BadArguments, ConfigError
from .ids import is_task_name, new_job_id
from .job import MAX_PAYLOAD, MAX_PRIORITY, MIN_PRIORITY, NewJob
from .keys import checked
from .task import TaskSpec, unknown_task

SHOWN = 2_000  # bytes of a message that cannot be read
UNREAD = "narrowboat.message"  # the task of a message that names none
ULID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")
WRONG = (msgspec.DecodeError, ValueError, BadArguments, ConfigError)  # what reading one raises


class Options(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What a message may say of its job. id: the part of the job's id after the colon, chosen by the sender."""

    id: str | None = None
    priority: int | None = None
    delay_s: float = 0.0
    key: str | None = None
    summary: str = ""
    tags: tuple[str, ...] = ()
    client: str = ""


class Message(Options, forbid_unknown_fields=True, kw_only=True):
    """A job, as a message to its queue. v: the version of this form."""

    v: int
    task: str
    args: msgspec.Raw = msgspec.Raw(b"{}")


class Refused(msgspec.Struct):
    """The arguments of a job that shows a message which cannot be read. This field comes first, see `refusal`."""

    refused: str = msgspec.field(name="$refused")
    message: str = ""


_arguments = msgspec.json.Decoder(dict[str, Any]).decode
_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_options = msgspec.json.Decoder(Options).decode
_message = msgspec.json.Decoder(Message).decode
_refused = msgspec.json.Decoder(Refused).decode


def read_arguments(message: bytes, task: str, spec: TaskSpec) -> tuple[NewJob, str]:
    """The job of bare arguments for a task; or a job that shows them, and why it cannot be run."""
    try:
        return _of_arguments(message, task, spec), ""
    except WRONG as error:
        return unreadable(message, task, spec.queue, f"in the inbox of {task}", error)


def read_message(message: bytes, queue: str, specs: Mapping[str, TaskSpec]) -> tuple[NewJob, str]:
    """The job of a message to a queue; or a job that shows it, and why it cannot be run.

    specs: of the tasks that are known; the job of another one waits for a worker that knows it.
    """
    task = ""
    try:
        _refuse_large(message)
        codec.decode(message)  # says where it is no JSON
        found = _message(message)
        if found.v != 1:
            raise ValueError(f"v is {found.v}: this version of Narrowboat reads 1")
        if not is_task_name(found.task):
            raise ValueError(f"task is {found.task[:50]!r}: give the import path of a task")
        task = found.task
        args = bytes(found.args)
        return _job(found, task, queue, args, _arguments(args), specs.get(task) or unknown_task(task)), ""
    except WRONG as error:
        return unreadable(message, task or UNREAD, queue, f"in the queue {queue}", error)


def task_named(message: bytes) -> str | None:
    """The task that a message to a queue names, if it can be read."""
    try:
        return _message(message).task
    except ValueError:
        return None


def unreadable(message: bytes, task: str, queue: str, place: str, error: Exception) -> tuple[NewJob, str]:
    """A job that shows a message, and why it cannot be run."""
    what = f"as JSON: {error}" if isinstance(error, msgspec.DecodeError) else str(error)
    reason = f"a message {place} cannot be read: {what}"[:300]
    shown = codec.encode({"message": message[:SHOWN].decode(errors="replace")})
    return NewJob(id=new_job_id(task), task=task, queue=queue, args=shown), reason


def refused(job: NewJob, reason: str) -> NewJob:
    """The same job, such that whoever claims it gives it up with this reason, unless a person changes its arguments."""
    shown = codec.decode(job.args)["message"]
    return msgspec.structs.replace(job, args=codec.encode(Refused(refused=reason, message=shown)))


def refusal(args: bytes) -> str | None:
    """Why a job with these arguments is not to be run, if it shows a message that cannot be read."""
    if not args.startswith(b'{"$refused":'):
        return None
    try:
        return _refused(args).refused
    except ValueError:
        return None


def _of_arguments(message: bytes, task: str, spec: TaskSpec) -> NewJob:
    _refuse_large(message)
    arguments = codec.decode(message)  # all of it, for members are looked at by name only
    members = _members(message)
    given = members.pop("$job", None)
    options = Options() if given is None else _options(given)
    return _job(options, task, spec.queue, message if given is None else codec.encode(members), arguments, spec)


def _job(options: Options, task: str, queue: str, args: bytes, arguments: dict[str, Any], spec: TaskSpec) -> NewJob:
    if options.id is not None and not ULID.fullmatch(options.id):
        raise ValueError(f"id is {options.id[:50]!r}: give a ULID: 26 digits and capital letters")
    priority = spec.priority if options.priority is None else options.priority
    if not MIN_PRIORITY <= priority <= MAX_PRIORITY:
        raise ValueError(f"priority is {priority}: give {MIN_PRIORITY} to {MAX_PRIORITY}")
    return NewJob(
        id=new_job_id(task) if options.id is None else f"{task}:{options.id}",
        task=task,
        queue=queue,
        args=args,
        priority=priority,
        lane_key=_lane_key(spec.controls, arguments, task),
        delay_s=max(0.0, options.delay_s),
        key=options.key or None,
        summary=options.summary[:200],
        tags=options.tags,
        client=options.client[:200],
    )


def _refuse_large(message: bytes) -> None:
    if len(message) > MAX_PAYLOAD:
        raise ValueError(f"it has {len(message):,} bytes, the limit is {MAX_PAYLOAD:,}")


def _lane_key(controls: Controls, arguments: dict[str, Any], task: str) -> str:
    """Under which key its controls count it. Raises BadArguments, ConfigError."""
    return checked(controls.lane_key(lambda: arguments, task), where(task)) if controls.per else ""
