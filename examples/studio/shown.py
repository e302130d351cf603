"""Jobs in the words of this application."""

from __future__ import annotations

from typing import Any

from narrowboat import State
from narrowboat.app.handle import AnyJob
from narrowboat.web import Shown

from .app import Result

TITLES = {
    "render": "Your photo",
    "sketch": "Your drawing",
    "harm": "An attack",
    "invoice": "Your invoice",
    "newsletter": "Your newsletter",
    "letter": "A letter",
}


def describe(job: AnyJob) -> Shown:
    """What the page says of a job, and under `extra` what its script draws of the files."""
    kind = job.record.task.rpartition(".")[2]
    title = TITLES.get(kind, kind)
    match job.record.state, kind:
        case State.DEAD, "harm":
            return Shown(title=title, words="Held back", error=held(job), extra={"state": "held"})
        case State.SUCCEEDED, "harm":
            return Shown(title=title, words=f"It got through: {job.result}", extra={"state": "escaped"})
        case State.DEAD, _:
            return Shown(title=title, error=problem(job))
        case State.SUCCEEDED, "newsletter":
            words = f"{job.result} letters are on their way; the inbox shows them as they come in"
            return Shown(title=title, words=words)
        case State.SUCCEEDED, _ if isinstance(job.result, list):
            return Shown(title=title, extra={"results": [of_file(made) for made in job.result]})
        case _:
            return Shown(title=title)


def of_file(result: Result) -> dict[str, Any]:
    """A file that a job made, with the line under it."""
    return entry(result, result.file.type or "", result.file.size or 0)


def entry(result: Result, kind: str, size: int) -> dict[str, Any]:
    """A file of a known type and size, with the line under it."""
    weight = f"{size / 1024:.0f} KB"
    detail = f"{result.width} × {result.height}, {weight}" if result.width else weight
    return {
        "label": result.label,
        "detail": f"{kind.removeprefix('image/').removeprefix('application/').upper()}, {detail}",
        "width": result.width,
        "height": result.height,
        "size": size,
        "is_picture": bool(result.width),
    }


def held(job: AnyJob) -> str:
    """What stopped an attack."""
    record = job.record
    if record.crashes:
        return f"The process was ended: {record.reason.removeprefix('crashed: ')}."
    error = record.history[-1].error if record.history else None
    return error.message if error is not None else record.reason


def problem(job: AnyJob) -> str:
    """Why there is no result, kindly."""
    error = job.record.history[-1].error if job.record.history else None
    if error is not None and error.type.endswith(".BadPhoto"):
        return error.message
    if job.record.crashes:
        return "This took too much of our machine. It harmed nothing; we just could not finish it."
    return "We could not make anything of this, and have noted why."
