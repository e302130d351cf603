"""The ASGI application: the same answers as everywhere, and what only an event loop can do: streams and long polls."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from ..core import codec
from ..core.errors import ConfigError
from ..core.units import seconds
from .answer import Answer, Ask, chunks, not_found
from .feed import Feed
from .hub import Hub
from .static import asset
from .status import etag_of
from .streams import sse, talk

if TYPE_CHECKING:
    from .web import Web

LONGEST_WAIT_S = 60.0


def application(web: Web) -> ASGIApp:
    """The application for one Web; mount it at its `base`."""
    lost = {404: _lost, 405: _lost}
    return _Whole(Starlette(routes=_Routes(web).all(), exception_handlers=lost))


def to_response(answer: Answer) -> Response:
    """An Answer as Starlette sends it."""
    if isinstance(answer.body, bytes):
        response = Response(answer.body, answer.status)
    else:
        content = answer.body
        response = StreamingResponse(chunks(content), answer.status, background=BackgroundTask(content.close))
    headers = MutableHeaders()
    if isinstance(answer.body, bytes) and answer.status != 304:
        headers["Content-Length"] = str(len(answer.body))
    for name, value in answer.headers:
        headers.append(name, value)
    response.raw_headers = headers.raw
    return response


class _Whole:
    """Some frameworks give what is mounted a slash at the end of every path."""

    def __init__(self, inner: ASGIApp) -> None:
        self._inner = inner

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        if len(path) > 1 and path.endswith("/"):
            scope = {**scope, "path": path.rstrip("/")}
        await self._inner(scope, receive, send)


class _Routes:
    def __init__(self, web: Web) -> None:
        self._web, self._status = web, web.status
        self._hubs: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Hub] = weakref.WeakKeyDictionary()

    def all(self) -> list[Route | WebSocketRoute]:
        """Ids hold dots and colons, never a slash."""
        return [
            Route("/events", self.many_events),
            WebSocketRoute("/socket", self.socket),
            Route("/static/{name}", self.static),
            Route("/{id}", self.job),
            Route("/{id}/events", self.one_events),
            Route("/{id}/result", self._plain(lambda id_, ask, _: self._status.result(id_, ask))),
            Route("/{id}/files/{number:int}", self._plain(self._file)),
            Route("/{id}/cancel", self._plain(lambda id_, ask, _: self._status.cancel(id_, ask)), methods=["POST"]),
        ]

    @property
    def hub(self) -> Hub:
        """The one of the running loop."""
        loop = asyncio.get_running_loop()
        if loop not in self._hubs:
            self._hubs[loop] = Hub(self._web.reader)
        return self._hubs[loop]

    async def job(self, request: Request) -> Response:
        """The status; with ?wait=20s a script is answered when it has changed."""
        job_id, ask = request.path_params["id"], _ask(request)
        wait = ask.first("wait")
        if wait and not ask.wants_page:
            return to_response(await self._changed(job_id, ask, wait))
        return to_response(await run_in_threadpool(self._status.job, job_id, ask))

    async def many_events(self, request: Request) -> Response:
        """One stream for the jobs of all tokens shown."""
        feed = await Feed.open(self.hub, list(self._status.grants(_ask(request))))
        return to_response(not_found()) if feed is None else sse(feed)

    async def one_events(self, request: Request) -> Response:
        """A stream for one job."""
        feed = await self._feed_of(request.path_params["id"], _ask(request))
        return to_response(not_found()) if feed is None else sse(feed)

    async def socket(self, socket: WebSocket) -> None:
        """The same stream over WebSocket. Another site's page gets none."""
        grants = [] if _is_from_elsewhere(socket) else list(self._status.grants(_ask(socket)))
        feed = await Feed.open(self.hub, grants)
        if feed is None:
            await socket.close()  # before it is accepted: 403, whatever the reason was
        else:
            await talk(socket, feed)

    def static(self, request: Request) -> Response:
        """The element and the style of the plain page."""
        return to_response(asset(request.path_params["name"], _ask(request)))

    def _file(self, job_id: str, ask: Ask, request: Request) -> Answer:
        return self._status.file(job_id, request.path_params["number"], ask)

    def _plain(self, handle: Callable[[str, Ask, Request], Answer]) -> Callable[[Request], Response]:
        def answer(request: Request) -> Response:
            return to_response(handle(request.path_params["id"], _ask(request), request))

        return answer

    async def _feed_of(self, job_id: str, ask: Ask) -> Feed | None:
        grant = self._status.grant(job_id, ask)
        return await Feed.open(self.hub, [] if grant is None else [grant])

    async def _changed(self, job_id: str, ask: Ask, wait: str) -> Answer:
        """Wait until the status is another than If-None-Match says, or, without one, until it has ended."""
        try:
            wait_s = min(seconds(wait), LONGEST_WAIT_S)
        except ConfigError:
            wait_s = 0.0
        feed = await self._feed_of(job_id, ask)
        if feed is None:
            return not_found()
        try:
            async with asyncio.timeout(wait_s):
                async for word in feed.words():
                    if word.name != "job":
                        break
                    known = ask.headers.get("if-none-match", "")
                    if (etag_of(word.data) not in known) if known else codec.decode(word.data)["finished"]:
                        break
        except TimeoutError:
            pass
        finally:
            feed.close()
        return await run_in_threadpool(self._status.job, job_id, ask)


def _lost(_request: Request, _error: Exception) -> Response:
    return to_response(not_found())


def _ask(connection: HTTPConnection) -> Ask:
    return Ask.of(connection.headers, connection.url.query)


def _is_from_elsewhere(socket: WebSocket) -> bool:
    """A browser names the page's origin; a WebSocket is not held to it by the browser itself."""
    origin = socket.headers.get("origin")
    return origin is not None and origin.partition("://")[2] != socket.headers.get("host")
