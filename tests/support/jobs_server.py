"""A server that shows jobs as the web layer does, but from a script: it can do to a browser what seldom happens."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
from collections.abc import AsyncIterator, Generator
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from narrowboat.web import Ask, Web
from narrowboat.web.static import asset
from tests.support.processes import wait_for

STRICT = "default-src 'self'"
Document = dict[str, Any]
Event = tuple[str, Document]


def token_of(job: str) -> str:
    """With characters that mean something in an address."""
    return f"{job}+a/b=&c"


def new_document(job: str) -> Document:
    return {
        "id": job,
        "revision": 1,
        "state": "queued",
        "title": "Thumbnail",
        "words": "Waiting, 3 before this one",
        "finished": False,
        "progress": None,
        "place": 3,
        "left_s": None,
        "error": None,
        "result": None,
        "can_cancel": False,
        "cancelling": False,
        "seconds": None,
    }


@dataclass(frozen=True)
class Asked:
    """A request as it arrived."""

    method: str
    path: str
    tokens: list[str]
    headers: dict[str, str]


@dataclass
class Stage:
    """The jobs, what is done to who asks for them, and what was asked.

    events: how the stream behaves: "open"; "held", as by a proxy that keeps what it gets; "broken": ends when it has
    begun; or the status of a refusal. poll and cancel: the status of an answer, 200 and 202 if all is well.
    """

    address: str = ""
    body: str = ""
    jobs: dict[str, Document] = field(default_factory=dict)
    events: str | int = "open"
    poll: int = 200
    cancel: int = 202
    retry_after: str = "1"
    asked: list[Asked] = field(default_factory=list)
    streams: list[asyncio.Queue[Event | None]] = field(default_factory=list)
    loop: asyncio.AbstractEventLoop | None = None

    def put(self, job: str, **changes: Any) -> Document:
        """Change a job, or begin one, and tell the streams."""
        old = self.jobs.get(job)
        document = (old | {"revision": old["revision"] + 1} if old else new_document(job)) | changes
        document["finished"] = document["state"] in ("succeeded", "dead", "cancelled")
        self.jobs[job] = document
        self.send("job", document)
        return document

    def send(self, event: str, document: Document | None = None) -> None:
        """To all streams, whatever they are about."""
        self._to_all((event, document or {}))

    def cut(self) -> None:
        """End all streams."""
        self._to_all(None)

    def _to_all(self, item: Event | None) -> None:
        assert self.loop is not None
        for stream in list(self.streams):
            self.loop.call_soon_threadsafe(stream.put_nowait, item)

    def asked_for(self, end: str, method: str = "GET") -> list[Asked]:
        return [asked for asked in self.asked if asked.path.endswith(end) and asked.method == method]

    def note(self, request: Request) -> None:
        tokens = request.query_params.getlist("token")
        self.asked.append(Asked(request.method, request.url.path, tokens, dict(request.headers)))

    def known(self, tokens: list[str]) -> list[Document]:
        return [document for job, document in self.jobs.items() if token_of(job) in tokens]

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/", self.show_page),
                Route("/favicon.ico", lambda _: Response(media_type="image/x-icon")),
                Route("/jobs/static/{name}", show_static),
                Route("/jobs/events", self.show_events),
                Route("/jobs/{job}", self.show_job),
                Route("/jobs/{job}/cancel", self.cancel_job, methods=["POST"]),
            ]
        )

    async def show_page(self, _: Request) -> Response:
        head = (
            '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Jobs</title>'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            '<link rel="stylesheet" href="/jobs/static/status.css">'
            '<script type="module" src="/jobs/static/job-status.js"></script></head>'
        )
        return HTMLResponse(f"{head}<body>{self.body}</body></html>", headers={"content-security-policy": STRICT})

    async def show_events(self, request: Request) -> Response:
        self.note(request)
        tokens = request.query_params.getlist("token")
        if isinstance(self.events, int):
            return JSONResponse({"error": "refused"}, self.events)
        if not self.known(tokens):
            return JSONResponse({"error": "not found"}, 404)
        return EventSourceResponse(self.stream(tokens))

    async def stream(self, tokens: list[str]) -> AsyncIterator[ServerSentEvent]:
        queue: asyncio.Queue[Event | None] = asyncio.Queue()
        self.streams.append(queue)
        try:
            yield ServerSentEvent(comment="here", retry=50)
            if self.events == "broken":
                return
            here = {document["id"]: document for document in self.known(tokens)}
            for document in here.values() if self.events == "open" else []:
                yield ServerSentEvent(json.dumps(document), event="job", id=str(document["revision"]))
            while not all(document["finished"] for document in here.values()):
                item = await queue.get()
                if item is None:
                    return
                event, document = item
                if document.get("id") in here:
                    here[document["id"]] = document
                if self.events == "open":
                    yield ServerSentEvent(json.dumps(document), event=event)
            if self.events == "open":
                yield ServerSentEvent("{}", event="end")
        finally:
            self.streams.remove(queue)

    async def show_job(self, request: Request) -> Response:
        self.note(request)
        job = request.path_params["job"]
        headers = {"retry-after": self.retry_after} if self.retry_after else {}
        if self.poll != 200:
            return JSONResponse({"error": "refused"}, self.poll, headers)
        if job not in self.jobs or request.query_params.getlist("token") != [token_of(job)]:
            return JSONResponse({"error": "not found"}, 404)
        tag = f'"{self.jobs[job]["revision"]}"'
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers | {"etag": tag})
        return JSONResponse(self.jobs[job], headers=headers | {"etag": tag})

    async def cancel_job(self, request: Request) -> Response:
        self.note(request)
        job = request.path_params["job"]
        if self.cancel != 202 or request.headers.get("authorization") != f"Bearer {token_of(job)}":
            return JSONResponse({"error": "not found"}, 404)
        return JSONResponse(self.put(job, cancelling=True), 202)


async def show_static(request: Request) -> Response:
    ask = Ask.of(request.headers)
    return Web.starlette(asset(request.path_params["name"], ask))


@contextlib.contextmanager
def running_stage() -> Generator[Stage]:
    """A stage, with its server in a thread of its own."""
    stage = Stage()
    listening = socket.create_server(("127.0.0.1", 0))
    stage.address = f"http://127.0.0.1:{listening.getsockname()[1]}"
    config = uvicorn.Config(stage.app(), log_level="warning", lifespan="off", ws="none", timeout_graceful_shutdown=2)
    server = uvicorn.Server(config)

    async def serve() -> None:
        stage.loop = asyncio.get_running_loop()
        await server.serve(sockets=[listening])

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        wait_for("the server", lambda: server.started)
        yield stage
    finally:
        stage.cut()
        server.should_exit = True
        thread.join(10)
        listening.close()
