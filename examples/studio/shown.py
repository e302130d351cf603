"""Jobs in the words of this application."""

from __future__ import annotations

from typing import Any, cast

from narrowboat import JobHandle

from .app import Result

TITLES = {
    "render": "Your photo",
    "sketch": "Your drawing",
    "harm": "An attack",
    "invoice": "Your invoice",
    "newsletter": "Your newsletter",
    "letter": "A letter",
}
HARM = {"dead": "held", "succeeded": "escaped"}


def describe(job: JobHandle[Any]) -> dict[str, Any]:
    """What the page shows of a job."""
    record = job.record
    words = {
        "scheduled": "Something went wrong; we are about to try again.",
        "queued": "Waiting for a worker.",
        "running": record.progress.message.capitalize() + "." if record.progress else "Starting.",
        "succeeded": "Done.",
        "dead": problem(job),
        "cancelled": "Cancelled.",
    }
    kind = record.task.rpartition(".")[2]
    state = record.state.value
    result = job.result if record.state == "succeeded" else None
    if kind == "harm":
        state, words["succeeded"], words["dead"] = HARM.get(state, state), f"It got through: {result}.", held(job)
    if kind == "newsletter" and result is not None:
        words["succeeded"] = f"{result} letters are on their way; the inbox shows them as they come in."
    results = cast(list[Result], result) if isinstance(result, list) else []
    progress = record.progress
    ended = record.finished_at
    return {
        "id": job.id,
        "title": TITLES.get(kind, kind),
        "state": state,
        "words": words[record.state],
        "finished": job.is_finished,
        "done": progress.done if progress else 0,
        "total": (progress.total if progress else 0) or 5,
        "seconds": None if ended is None else round(ended - record.enqueued_at, 2),
        "results": [show(found, f"/jobs/{job.id}/files/{n}") for n, found in enumerate(results)],
    }


def show(result: Result, url: str) -> dict[str, Any]:
    """A file that a job made, with the line under it."""
    return entry(result, url, result.file.type or "", result.file.size or 0)


def entry(result: Result, url: str, kind: str, size: int) -> dict[str, Any]:
    """A file of a known type and size, with the line under it."""
    weight = f"{size / 1024:.0f} KB"
    detail = f"{result.width} × {result.height}, {weight}" if result.width else weight
    return {
        "label": result.label,
        "url": url,
        "detail": f"{kind.removeprefix('image/').removeprefix('application/').upper()}, {detail}",
        "width": result.width,
        "height": result.height,
        "size": size,
        "is_picture": bool(result.width),
    }


def held(job: JobHandle[Any]) -> str:
    """What stopped an attack."""
    record = job.record
    if record.crashes:
        return f"The process was ended: {record.reason.removeprefix('crashed: ')}."
    error = record.history[-1].error if record.history else None
    return error.message if error is not None else record.reason


def problem(job: JobHandle[Any]) -> str:
    """Why there is no result, kindly."""
    error = job.record.history[-1].error if job.record.history else None
    if error is not None and error.type.endswith(".BadPhoto"):
        return error.message
    if job.record.crashes:
        return "This took too much of our machine. It harmed nothing; we just could not finish it."
    return "We could not make anything of this, and have noted why."
