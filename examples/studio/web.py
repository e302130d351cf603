"""The web side: it checks what was sent, writes one small message, and answers at once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import (
    FileResponse,
    JSONResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
    StreamingResponse,
)
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.templating import Jinja2Templates
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from narrowboat import BackendUnavailable, FileMissing, JobHandle, State, StoreUnavailable, UnknownJob

from . import orders
from .app import app
from .hostile import ATTACKS
from .inbox import letters
from .letters import MOST_READERS
from .shown import describe
from .sketches import HAS_MAGICK

HERE = Path(__file__).resolve().parent
POLICY = "default-src 'self'; img-src 'self' blob:; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
KEPT = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)
SHOWN_LETTERS = 5
templates = Jinja2Templates(HERE / "templates")


def page(request: Request) -> Response:
    """The forms, and the inbox."""
    shown = {"most_readers": MOST_READERS, "attacks": ATTACKS, "has_magick": HAS_MAGICK, **inbox_now()}
    return templates.TemplateResponse(request, "page.html", shown)


def submit(order: Callable[[Request], Awaitable[JobHandle[Any]]]) -> Callable[[Request], Awaitable[Response]]:
    """202 with the job's address; a browser without JavaScript is sent to its page."""

    async def answer_at_once(request: Request) -> Response:
        try:
            job = await order(request)
        except orders.Refused as refused:
            return answer(request, refused.status, refused.text)
        except (BackendUnavailable, StoreUnavailable):
            return answer(request, 503, "We cannot take anything just now. Please try again in a minute.")
        place = f"/jobs/{job.id}"
        if wants_page(request):
            return RedirectResponse(place, 303)
        return JSONResponse({"id": job.id, "status": place}, 202, {"Location": place, "Retry-After": "1"})

    return answer_at_once


def status(request: Request) -> Response:
    """How far a job is, as JSON or as a page."""
    try:
        job: JobHandle[Any] = app.get(request.path_params["id"])
    except UnknownJob:
        return answer(request, 404, "We do not know this job. It may have been cleared away.")
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
        return answer(request, 404, "We do not have this file. It may have been cleared away.")
    return StreamingResponse(
        iter(lambda: content.read(65_536), b""),
        headers=file.headers(inline=True),
        background=BackgroundTask(content.close),
    )


def inbox(request: Request) -> Response:
    """What the practice mail server took."""
    if wants_page(request):
        return templates.TemplateResponse(request, "inbox.html", inbox_now())
    return JSONResponse(inbox_now(), headers={"Cache-Control": "no-store"})


def inbox_now() -> dict[str, Any]:
    """How many letters came in, and the latest of them."""
    found = letters()
    return {"count": len(found), "latest": found[: -SHOWN_LETTERS - 1 : -1]}


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
                there = dict(message["headers"])
                message["headers"] = [
                    *message["headers"],
                    *((name, value) for name, value in KEPT if name not in there),
                ]
            await send(message)

        await self.inner(scope, receive, with_headers)


web = Starlette(
    routes=[
        Route("/", page),
        Route("/photos", submit(orders.photo), methods=["POST"]),
        Route("/invoices", submit(orders.order), methods=["POST"]),
        Route("/newsletters", submit(orders.news), methods=["POST"]),
        Route("/attacks", submit(orders.attack), methods=["POST"]),
        Route("/jobs/{id}", status),
        Route("/jobs/{id}/files/{number:int}", result),
        Route("/inbox", inbox),
        Route("/health", health),
        Route("/favicon.ico", icon),
        Mount("/static", StaticFiles(directory=HERE / "static")),
    ],
    middleware=[Middleware(Policy)],
)
