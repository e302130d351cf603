"""The web side: it checks what was sent, writes one small message, and answers at once. Form 1 does not, on purpose."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from .. import orders
from . import inside, pages
from .answers import HERE
from .forms import enqueued, form
from .jobs import jobs
from .live import Live
from .mail import switched
from .policy import Policy
from .threads import RequestThreads

THREADS = 4  # on purpose
few = RequestThreads(THREADS)
view = Live(few)


@contextlib.asynccontextmanager
async def lifespan(web: Starlette) -> AsyncGenerator[None]:
    """While the server runs."""
    web.state.live = view
    async with view.running():
        yield


web = Starlette(
    routes=[
        Route("/", few.route("this page", pages.front)),
        Route("/inside", form(few, "thumbnails for Form 1", inside.make), methods=["POST"]),
        Route("/inside/{token}/{number:int}", few.route("a picture", inside.picture)),
        Route("/photos", form(few, "a message for Form 2", enqueued(orders.photo)), methods=["POST"]),
        Route("/invoices", form(few, "an order", enqueued(orders.order)), methods=["POST"]),
        Route("/newsletters", form(few, "a newsletter", enqueued(orders.news)), methods=["POST"]),
        Route("/mail-server", form(few, "the mail server's switch", switched), methods=["POST"]),
        Route("/attacks", form(few, "an attack", enqueued(orders.attack)), methods=["POST"]),
        Mount("/jobs", jobs.asgi),
        Route("/inbox", few.route("the inbox", pages.inbox)),
        Route("/heartbeat", few.route("the heartbeat", pages.heartbeat)),
        Route("/health", few.route("health", pages.health)),
        *view.routes(),
        Route("/favicon.ico", pages.icon),
        Mount("/static", StaticFiles(directory=HERE / "static")),
    ],
    middleware=[Middleware(Policy)],
    lifespan=lifespan,
)
