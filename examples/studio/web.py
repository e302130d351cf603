"""The web side: it saves the upload, writes one small message, and answers at once."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.datastructures import UploadFile
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.templating import Jinja2Templates
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from narrowboat import BackendUnavailable, JobHandle, UnknownJob

from .app import DATA, RESULTS, UPLOADS, app
from .images import Result, render

HERE = Path(__file__).resolve().parent
MAX_UPLOAD = 25 * 1024 * 1024
SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"RIFF", b"II*\x00", b"MM\x00*")
POLICY = "default-src 'self'; img-src 'self' blob:; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
FOLDERS = (DATA, UPLOADS, RESULTS)
templates = Jinja2Templates(HERE / "templates")
for folder in FOLDERS:
    folder.mkdir(parents=True, exist_ok=True)


class Refused(Exception):
    """An upload that is not taken: a status and a kind sentence."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status, self.text = status, text


def page(request: Request) -> Response:
    """The form."""
    return templates.TemplateResponse(request, "page.html")


async def submit(request: Request) -> Response:
    """Take one photo: 202 with its status address; a browser without JavaScript is sent to the status page."""
    try:
        name = await receive(request)
        job = await render.aenqueue(name)
    except Refused as refused:
        return answer(request, refused.status, refused.text)
    except BackendUnavailable:
        return answer(request, 503, "We cannot take photos just now. Please try again in a minute.")
    place = f"/photos/{job.id}"
    if wants_page(request):
        return RedirectResponse(place, 303)
    return JSONResponse({"id": job.id, "status": place}, 202, {"Location": place, "Retry-After": "1"})


async def receive(request: Request) -> str:
    """Save the upload under a name of our own. Raises Refused."""
    if int(request.headers.get("content-length") or 0) > MAX_UPLOAD + 10_000:
        raise Refused(413, "This file is larger than 25 MB, which is more than we take.")
    async with request.form(max_files=1, max_fields=5) as form:
        photo = form.get("photo")
        if not isinstance(photo, UploadFile) or not photo.filename:
            raise Refused(400, "Please choose a photo first.")
        content = await photo.read(MAX_UPLOAD + 1)
    if len(content) > MAX_UPLOAD:
        raise Refused(413, "This file is larger than 25 MB, which is more than we take.")
    if not content.startswith(SIGNATURES):
        raise Refused(415, "This file is not a picture. We take JPEG, PNG, WebP, GIF and TIFF.")
    name = secrets.token_hex(12)
    (UPLOADS / name).write_bytes(content)
    return name


def status(request: Request) -> Response:
    """How far a photo is, as JSON or as a page."""
    try:
        job: JobHandle[list[Result]] = app.get(request.path_params["id"])
    except UnknownJob:
        return answer(request, 404, "We do not know this photo. It may have been cleared away.")
    found = describe(job)
    if wants_page(request):
        return templates.TemplateResponse(request, "status.html", found)
    headers = {"Cache-Control": "no-store"} | ({} if found["finished"] else {"Retry-After": "1"})
    return JSONResponse(found, headers=headers)


def describe(job: JobHandle[list[Result]]) -> dict[str, Any]:
    """A job in the words of this application."""
    record = job.record
    words = {
        "scheduled": "Something went wrong; we are about to try again.",
        "queued": "Waiting for a worker.",
        "running": record.progress.message.capitalize() + "." if record.progress else "Starting.",
        "succeeded": "Done.",
        "dead": problem(job),
        "cancelled": "Cancelled.",
    }
    progress = record.progress
    results: list[Result] = job.result if record.state == "succeeded" else []
    ended = record.finished_at
    return {
        "id": job.id,
        "state": record.state.value,
        "words": words[record.state],
        "finished": job.is_finished,
        "done": progress.done if progress else 0,
        "total": progress.total if progress else 5,
        "seconds": None if ended is None else round(ended - record.enqueued_at, 2),
        "results": [
            {"url": f"/results/{r.name}", "label": r.label, "width": r.width, "height": r.height, "size": r.size}
            for r in results
        ],
    }


def problem(job: JobHandle[list[Result]]) -> str:
    """Why there is no result, kindly."""
    error = job.record.history[-1].error if job.record.history else None
    if error is not None and error.type.endswith(".BadPhoto"):
        return error.message
    if job.record.crashes:
        return "This picture took too much of our machine. It harmed nothing; we just could not finish it."
    return "We could not make anything of this picture, and have noted why."


def answer(request: Request, code: int, text: str) -> Response:
    """An error for a person, or for a script."""
    if wants_page(request):
        return templates.TemplateResponse(request, "sorry.html", {"text": text}, code)
    return JSONResponse({"error": text}, code)


def wants_page(request: Request) -> bool:
    """Whether a browser asks, rather than the page's own script."""
    return "text/html" in request.headers.get("accept", "")


def health(request: Request) -> Response:
    """For whoever starts this."""
    return PlainTextResponse("ok")


def icon(request: Request) -> Response:
    """The picture in the tab."""
    return FileResponse(HERE / "static" / "icon.svg", media_type="image/svg+xml")


class Policy:
    """Adds the headers that keep foreign scripts out."""

    def __init__(self, inner: ASGIApp) -> None:
        self.inner = inner

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [
                    *message["headers"],
                    (b"content-security-policy", POLICY.encode()),
                    (b"x-content-type-options", b"nosniff"),
                    (b"referrer-policy", b"no-referrer"),
                ]
            await send(message)

        await self.inner(scope, receive, with_headers)


web = Starlette(
    routes=[
        Route("/", page),
        Route("/photos", submit, methods=["POST"]),
        Route("/photos/{id}", status),
        Route("/health", health),
        Route("/favicon.ico", icon),
        Mount("/results", StaticFiles(directory=RESULTS)),
        Mount("/static", StaticFiles(directory=HERE / "static")),
    ],
    middleware=[Middleware(Policy)],
)
