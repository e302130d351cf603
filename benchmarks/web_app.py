"""The web process whose streams are measured; it counts what it asks of its backend."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route

from narrowboat import App
from narrowboat.web import Web

app = App("streams")
web = Web(app)
asked: Counter[str] = Counter()


@app.task(name="streams.work")
def work(number: int) -> None:
    """Never run: the benchmark plays the worker."""


def counted(verb: str, ask: Callable[..., Any]) -> Callable[..., Any]:
    """The verb, counted."""

    def call(*args: Any, **more: Any) -> Any:
        asked[verb] += 1
        return ask(*args, **more)

    return call


for name in ("watch", "get", "places", "ended", "find", "stats", "workers"):
    setattr(app.backend, name, counted(name, getattr(app.backend, name)))


async def queries(request: Request) -> Response:
    """How often each verb was asked so far."""
    return JSONResponse(dict(asked))


site = Starlette(routes=[Route("/queries", queries), Mount("/jobs", web.asgi)])
