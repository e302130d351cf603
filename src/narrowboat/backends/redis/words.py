"""From values to the arguments of scripts."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence

import msgspec

from ...core import codec
from ...core.batch import BatchPart
from ...core.controls import Control, Controls
from ...core.decide import Settlement, told
from ...core.errors import ConfigError
from ...core.job import ENVELOPE_VERSION, NewJob
from ...core.queue import Queue
from ...core.states import State
from ..base import Change, ClaimRef, Step, Want
from .line import Word

_encode = msgspec.msgpack.Encoder().encode


class About(msgspec.Struct, omit_defaults=True):
    """What is rarely looked at, in one field of a job's hash."""

    headers: dict[str, str] = {}
    tags: tuple[str, ...] = ()
    shape: str = ""
    version: int = ENVELOPE_VERSION


def of_job(job: NewJob) -> list[Word]:
    """A new job, as `write` in prelude.lua takes it."""
    task, lane_key = job.task, job.lane_key
    fields: list[Word] = ["args", job.args]
    if job.headers:
        fields += ("about", codec.encode(About(job.headers, job.tags, job.shape, job.version)))
    elif job.tags or job.shape or job.version != ENVELOPE_VERSION:
        fields += ("about", _about(job.tags, job.shape, job.version))
    if job.priority:
        fields += ("priority", job.priority)
    if job.key is not None:
        fields += ("key", job.key)
    if job.summary:
        fields += ("summary", job.summary)
    if job.client:
        fields += ("client", job.client)
    if job.client or job.batch:
        fields += ("again", 1)
    if lane_key:
        fields += ("lane_key", lane_key)
    if ":" in task:
        raise ConfigError(f"task {task!r}: a name has no colon")
    if job.id.rpartition(":")[0] != task:
        fields += ("task", task)
    if job.batch:
        fields += ("batch", job.batch)  # `write` looks for it in the last place
    due = "" if job.due is None else repr(job.due)
    return [
        job.id,
        task,
        job.queue,
        lane_key,
        job.priority,
        due,
        repr(job.delay_s) if job.delay_s else "",
        job.key or "",
        job.key_for if isinstance(job.key_for, str) else repr(job.key_for),
        job.client,
        len(fields),
        *fields,
    ]


@functools.lru_cache(1000)
def _about(tags: tuple[str, ...], shape: str, version: int) -> bytes:
    """The same for most jobs of a task."""
    return codec.encode(About({}, tags, shape, version))


def of_limits(jobs: Sequence[NewJob], limits: Mapping[str, Queue]) -> list[Word]:
    """The limits of the queues that these jobs go to, and how many there are."""
    found: list[Word] = []
    if limits:
        for name in dict.fromkeys(job.queue for job in jobs):
            if name in limits:
                found += (name, _or_none(limits[name].waiting), _or_none(limits[name].waiting_per_client))
    return [len(found) // 3, *found]


def of_batches(parts: Sequence[BatchPart]) -> list[Word]:
    """Batches, as enqueue.lua takes them, and how many there are."""
    found: list[Word] = [len(parts)]
    for part in parts:
        final = b"" if part.then is None else _encode([_text(word) for word in of_job(part.then)])
        final_id = part.then.id if part.then else ""
        found += (part.id, part.when, int(part.is_last), int(part.is_kept), part.summary, final_id, final)
    return found


def of_claim(claim: ClaimRef | Settlement) -> str:
    """A claim as it stands in `running:<worker>`."""
    return f"{claim.token} {claim.id}"


def of_step(step: Step, now: str) -> list[Word]:
    """All of a step, as step.lua takes it."""
    words: list[Word] = [
        now,
        step.worker,
        step.seq,
        _or_none(step.most),
        "" if step.room is None else repr(step.room),
        len(step.settled),
        len(step.started),
        len(step.progress),
        len(step.wants),
    ]
    for end in step.settled:
        words += (f"{end.token} {end.id}", end.id, int(end.started_ago_s * 1e6), end.result, _rest(end))
    for ref in step.started:
        words += (f"{ref.token} {ref.id}", ref.id)
    for report in step.progress:
        words += (f"{report.token} {report.id}", report.id, codec.encode(report.progress))
    for want in step.wants:
        words += (want.queue, want.n, repr(want.room), of_tasks(want))
    return words


def of_tasks(want: Want) -> bytes:
    """The tasks of a wish as a set that Lua can look into."""
    return _encode(dict.fromkeys(want.tasks, True))


def of_change(change: Change) -> bytes:
    """What a person changes, as retry.lua takes it."""
    changed = {"args": change.args, "queue": change.queue, "priority": change.priority}
    return _encode({name: _text(value) for name, value in changed.items() if value is not None})


def of_controls(controls: Controls | Control | None) -> bytes:
    """The controls of a task, or a person's numbers, as Lua keeps them; nothing for none."""
    return _encode(controls) if controls else b""


def _rest(end: Settlement) -> bytes:
    if end.to is State.SUCCEEDED and not end.logs and not end.enqueue and end.outcome == "succeeded":
        return b""
    attempt = ""
    if end.error is not None:
        attempt += ',"error":' + codec.encode(end.error).decode()
    if end.logs:
        attempt += ',"logs":' + codec.encode(end.logs).decode()
    jobs = [_text(word) for job in end.enqueue for word in of_job(job)]
    what = told(end) if end.trips else False
    return _encode([end.to.value, end.outcome, end.delay_s, end.reason, attempt, jobs, what, end.slow_s])


def _text(word: Word) -> str | float:
    """The MessagePack of Lua knows no bytes."""
    return word.decode() if isinstance(word, bytes) else word


def _or_none(number: int | None) -> str | int:
    return "" if number is None else number
