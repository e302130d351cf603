"""The front page and the small ones."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response

from ..app import app
from ..hostile import ATTACKS
from ..inbox import letters
from ..letters import MOST_READERS
from ..sketches import HAS_MAGICK
from .answers import HERE, templates, wants_page
from .jobs import remembered
from .mail import mail_now

SHOWN_LETTERS = 5


def front(request: Request) -> Response:
    """Everything there is."""
    shown = {"most_readers": MOST_READERS, "attacks": ATTACKS, "has_magick": HAS_MAGICK, **inbox_now()}
    shown["mail"] = mail_now(app.backend)
    return remembered(
        request, templates.TemplateResponse(request, "page.html", shown | request.app.state.live.snapshot())
    )


def heartbeat(request: Request) -> Response:
    """As little as a request can ask for. The page asks twice a second, and shows how long it took."""
    return PlainTextResponse("beat", headers={"Cache-Control": "no-store"})


def inbox(request: Request) -> Response:
    """What the practice mail server took."""
    if wants_page(request):
        return templates.TemplateResponse(request, "inbox.html", inbox_now())
    return JSONResponse(inbox_now(), headers={"Cache-Control": "no-store"})


def inbox_now() -> dict[str, Any]:
    """How many letters came in, and the latest of them."""
    found = letters()
    return {"count": len(found), "latest": found[: -SHOWN_LETTERS - 1 : -1]}


def health(request: Request) -> Response:
    """For whoever starts this."""
    return PlainTextResponse("ok")


async def icon(request: Request) -> Response:
    """The picture in the tab."""
    return FileResponse(HERE / "static" / "icon.svg", media_type="image/svg+xml")
