"""A job as the person who asked for it sees it: no arguments, no traceback, no names of machines."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any
from urllib.parse import quote

import msgspec

from ..app.handle import AnyJob
from ..backends.base import PLACES
from ..core import codec, units
from ..core.file import names_files, refs_in
from ..core.job import Job
from ..core.states import State


class Advance(msgspec.Struct, frozen=True, kw_only=True):
    """How far it is: `done` of `total` (0: unknown)."""

    done: float
    total: float
    message: str


class ResultFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file that the job made. type: as its content says. size: bytes."""

    name: str
    type: str
    size: int
    url: str


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """What an application says of its own jobs in place of the usual words; None leaves them.

    title: what it is. words: one line on how it stands. error: kindly, why there is no result. result: where a
    browser goes when it is done. extra: anything else with a JSON form, for its own scripts.
    """

    title: str | None = None
    words: str | None = None
    error: str | None = None
    result: str | None = None
    extra: Any = None


Describe = Callable[[AnyJob], Shown]
MOVING = frozenset({"rate", "limit"})  # gates behind which the line goes on


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """What is sent. place: jobs before it (1000: so many or more). left_s, seconds: until it ends, and it took."""

    id: str
    revision: int
    state: State
    title: str
    words: str
    finished: bool
    progress: Advance | None
    place: int | None
    left_s: int | None
    error: str | None
    result: str | None
    files: tuple[ResultFile, ...]
    can_cancel: bool
    cancelling: bool
    seconds: float | None
    extra: Any = None

    def for_token(self, token: str, may_cancel: bool, base: str) -> Document:
        """As whoever shows this token gets it: what it links to is reached with it."""
        return msgspec.structs.replace(
            self,
            result=None if self.result is None else with_token(self.result, token, base),
            files=tuple(msgspec.structs.replace(file, url=with_token(file.url, token, base)) for file in self.files),
            can_cancel=self.can_cancel and may_cancel,
        )


@dataclass(frozen=True, slots=True)
class Pause:
    """Something holds it. left_s: for so long, None until somebody or something else ends it. kind: of the gate."""

    left_s: float | None
    kind: str = "pause"


@dataclass(frozen=True, slots=True)
class Line:
    """Where a job stands. place: jobs before it. left_s: until it has ended. None is unknown."""

    place: int | None = None
    left_s: int | None = None
    pause: Pause | None = None


def document(job: Job, base: str, line: Line, shown: Shown) -> Document:
    """The document of a job, without a token."""
    where = address(base, job.id)
    progress = job.progress
    files = _files(job, where) if job.state is State.SUCCEEDED else ()
    return Document(
        id=job.id,
        revision=job.revision,
        state=job.state,
        title=shown.title or job.summary or _title(job.task),
        words=shown.words or in_words(job, line),
        finished=job.is_finished,
        progress=None if progress is None else Advance(**msgspec.structs.asdict(progress)),
        place=line.place,
        left_s=line.left_s,
        error=shown.error or _error(job),
        result=shown.result or (f"{where}/result" if job.result else None),
        files=files,
        can_cancel=not job.is_finished and not job.is_cancel_asked,
        cancelling=job.is_cancel_asked and not job.is_finished,
        seconds=None if job.finished_at is None else round(max(0.0, job.finished_at - job.enqueued_at), 2),
        extra=shown.extra,
    )


def address(base: str, job_id: str) -> str:
    """Where a job is shown."""
    return f"{base}/{quote(job_id, safe=':')}"


def with_token(url: str, token: str, base: str) -> str:
    """The address with the token in it, if it is one of this site's own: a path, or below `base`."""
    is_own = url.startswith(f"{base}/") or (url.startswith("/") and not url.startswith("//"))
    if not is_own:
        return url
    return f"{url}{'&' if '?' in url else '?'}token={token}"


def in_words(job: Job, line: Line) -> str:
    """How a job stands, in one line for the person who asked for it."""
    left = f", about {units.in_words(line.left_s)} left" if line.left_s is not None else ""
    match job.state:
        case State.SCHEDULED if job.attempts:
            return "It did not work at first. It is tried again in a while"
        case State.SCHEDULED:
            return "Waiting for its time"
        case State.QUEUED if line.pause is not None and line.pause.kind in MOVING:
            return _in_line(line.place) + left + ". Only so many are done at a time"
        case State.QUEUED if line.pause is not None:
            return _paused(line.pause)
        case State.QUEUED:
            return _in_line(line.place) + left
        case State.RUNNING if job.is_cancel_asked:
            return "Being cancelled"
        case State.RUNNING:
            return _working(job) + left
        case State.SUCCEEDED:
            return "Done"
        case State.CANCELLED:
            return "Cancelled"
        case _:
            return "This could not be done"


def _paused(pause: Pause) -> str:
    if pause.kind != "pause":
        what = "is out of order" if pause.kind == "breaker" else "is busy"
        return f"Waiting: a service that this needs {what}. It goes on by itself"
    if pause.left_s is None:
        return "Waiting: this is paused for now"
    return f"Waiting: this is paused for about {units.in_words(max(1, ceil(pause.left_s)))}"


def _in_line(place: int | None) -> str:
    if not place:
        return "Waiting, next in line"
    if place >= PLACES:
        return f"Waiting, {PLACES:,} or more are before it"
    return f"Waiting, {place:,} {'is' if place == 1 else 'are'} before it"


def _working(job: Job) -> str:
    progress = job.progress
    if progress is None:
        return "Working"
    words = " ".join(progress.message.split())
    text = words[:1].upper() + words[1:] if words else "Working"
    if progress.total > 0:
        text += f", {min(100, round(100 * progress.done / progress.total))} %"
    return text


def _error(job: Job) -> str | None:
    if job.state is not State.DEAD:
        return None
    if job.crashes:
        return "It took more than we allow one piece of work, and was stopped. Nothing else was harmed."
    return "Something went wrong. It has been noted, and a person can try it again."


def _title(task: str) -> str:
    return task.rpartition(".")[2].replace("_", " ").capitalize()


def _files(job: Job, where: str) -> tuple[ResultFile, ...]:
    found = refs_in(codec.decode(job.result)) if names_files(job.result) else ()
    return tuple(
        ResultFile(name=ref.name, type=ref.type, size=ref.size, url=f"{where}/files/{number}")
        for number, ref in enumerate(found)
    )


def no_words(_job: AnyJob) -> Shown:
    """The usual words."""
    return Shown()


def shown_of(value: Shown | Mapping[str, Any]) -> Shown:
    """What an application's `describe` gave, as a Shown. Raises TypeError for unknown names."""
    return value if isinstance(value, Shown) else Shown(**value)
