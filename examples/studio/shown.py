"""Jobs in the words of this application."""

from __future__ import annotations

from typing import Any

import msgspec

from narrowboat import JobHandle

from .app import Result

TITLES = {"render": "Your photo", "invoice": "Your invoice", "newsletter": "Your newsletter", "letter": "A letter"}


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
    result = job.result if record.state == "succeeded" else None
    if kind == "newsletter" and result is not None:
        words["succeeded"] = f"{result} letters are on their way; the inbox shows them as they come in."
    progress = record.progress
    ended = record.finished_at
    return {
        "id": job.id,
        "title": TITLES.get(kind, kind),
        "state": record.state.value,
        "words": words[record.state],
        "finished": job.is_finished,
        "done": progress.done if progress else 0,
        "total": (progress.total if progress else 0) or 5,
        "seconds": None if ended is None else round(ended - record.enqueued_at, 2),
        "results": [show(found) for found in result] if isinstance(result, list) else [],  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    }


def show(result: Result) -> dict[str, Any]:
    """A file, with the line under it."""
    size = f"{result.size / 1024:.0f} KB"
    detail = f"{result.width} × {result.height}, {size}" if result.width else f"PDF, {size}"
    kind = "WebP, " if result.label == "WebP" else ""
    return {
        **msgspec.to_builtins(result),
        "url": f"/results/{result.name}",
        "detail": f"{kind}{detail}",
        "is_picture": bool(result.width),
    }


def problem(job: JobHandle[Any]) -> str:
    """Why there is no result, kindly."""
    error = job.record.history[-1].error if job.record.history else None
    if error is not None and error.type.endswith(".BadPhoto"):
        return error.message
    if job.record.crashes:
        return "This took too much of our machine. It harmed nothing; we just could not finish it."
    return "We could not make anything of this, and have noted why."
