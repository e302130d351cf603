"""The view of the server itself. It comes by a door of its own: `async` routes that need no request thread."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from narrowboat import BackendUnavailable

from ..app import app
from .answers import sorry, templates, wants_page
from .at_work import workers_now
from .board import Board
from .crowds import Crowds
from .mail import mail_now
from .threads import RequestThreads

LOOK_EVERY_S = 0.25


class Live:
    """Keeps the board as things are, and lets crowds in."""

    def __init__(self, threads: RequestThreads) -> None:
        self.threads, self.crowds, self.board = threads, Crowds(), Board()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """While the server runs."""
        loop, moved = asyncio.get_running_loop(), asyncio.Event()
        self.threads.changed = lambda: loop.call_soon_threadsafe(moved.set)
        self.crowds.changed = moved.set
        tasks = [asyncio.create_task(self._post(moved)), asyncio.create_task(self._look(moved))]
        try:
            yield
        finally:
            self.threads.changed = lambda: None
            await self.crowds.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def snapshot(self) -> dict[str, Any]:
        """What pages show that have no script."""
        return {**self.threads.document(), **self.crowds.document()}

    def routes(self) -> list[Route]:
        """The door."""
        return [
            Route("/live", self.stream),
            Route("/crowd", self.look_at_crowd),
            Route("/crowd", self.send_crowd, methods=["POST"]),
        ]

    async def stream(self, request: Request) -> Response:
        """Threads, crowds and workers, as server-sent events."""
        return self.board.stream()

    async def look_at_crowd(self, request: Request) -> Response:
        """The same without JavaScript."""
        if wants_page(request):
            return templates.TemplateResponse(request, "crowd.html", self.snapshot())
        return JSONResponse(self.snapshot(), headers={"Cache-Control": "no-store"})

    async def send_crowd(self, request: Request) -> Response:
        """Let a dozen people in. They come to the address that this server listens on, whatever the request says."""
        async with request.form(max_files=0, max_fields=1) as sent:
            form = str(sent.get("form") or "")
        host, port = request.scope["server"]
        if form not in ("1", "2"):
            return sorry(request, 400, "There is a form 1 and a form 2.")
        if not self.crowds.start(int(form), f"http://{f'[{host}]' if ':' in host else host}:{port}"):
            return sorry(request, 409, "A dozen people are under way already. Please let them finish.")
        self.board.put("crowds", self.crowds.document())
        return RedirectResponse("/crowd", 303) if wants_page(request) else JSONResponse({}, 202)

    async def _post(self, moved: asyncio.Event) -> None:
        while True:
            moved.clear()
            self.board.put("threads", self.threads.document())
            self.board.put("crowds", self.crowds.document())
            await moved.wait()
            await asyncio.sleep(0.05)  # a burst is one event

    async def _look(self, moved: asyncio.Event) -> None:
        while True:
            if self.board.readers or self.crowds.running:
                self.board.put("workers", await asyncio.to_thread(workers_now, app.backend))
                self.board.put("mail", await asyncio.to_thread(mail_now, app.backend))
                with contextlib.suppress(BackendUnavailable):
                    await asyncio.to_thread(self.crowds.look, app.backend)
                moved.set()
            await asyncio.sleep(LOOK_EVERY_S)
