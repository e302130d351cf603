"""A job, and what it made, for the person who asked for it."""

from __future__ import annotations

from typing import Any

from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from narrowboat import FileMissing, JobHandle, State, UnknownJob

from ..app import app
from ..shown import describe
from .answers import sorry, templates, wants_page


def status(request: Request) -> Response:
    """How far a job is, as JSON or as a page."""
    try:
        job: JobHandle[Any] = app.get(request.path_params["id"])
    except UnknownJob:
        return sorry(request, 404, "We do not know this job. It may have been cleared away.")
    found = describe(job)
    if wants_page(request):
        return templates.TemplateResponse(request, "status.html", found)
    headers = {"Cache-Control": "no-store"} | ({} if found["finished"] else {"Retry-After": "1"})
    return JSONResponse(found, headers=headers)


def result(request: Request) -> Response:
    """A file that a job made. It may hold whatever a stranger put into it: what it is, its store says."""
    try:
        job: JobHandle[Any] = app.get(request.path_params["id"])
        made = job.result if job.state is State.SUCCEEDED else None
        file = made[request.path_params["number"]].file if isinstance(made, list) else None
        if file is None:
            raise IndexError
        content = file.open()
    except (UnknownJob, IndexError, FileMissing):
        return sorry(request, 404, "We do not have this file. It may have been cleared away.")
    return StreamingResponse(
        iter(lambda: content.read(65_536), b""),
        headers=file.headers(inline=True),
        background=BackgroundTask(content.close),
    )
