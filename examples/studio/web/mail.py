"""The practice mail server, and the switch that takes it down: then its letters wait, and lose nothing."""

from __future__ import annotations

from typing import Any

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from narrowboat import BackendUnavailable, State
from narrowboat.backends.base import Backend
from narrowboat.core.units import many

from ..app import MAIL_OFF, app
from .answers import sorry, wants_page

BREAKER = "breaker:mail"


def switched(request: Request, sent: FormData) -> Response:
    """Take it down, or bring it back."""
    to = sent.get("to")
    if to not in ("down", "up"):
        return sorry(request, 400, "The mail server can be taken down, or brought up.")
    if to == "down":
        MAIL_OFF.touch()
    else:
        MAIL_OFF.unlink(missing_ok=True)
    return RedirectResponse("/#mail", 303) if wants_page(request) else JSONResponse(mail_now(app.backend))


def mail_now(backend: Backend) -> dict[str, Any]:
    """Whether it is up, how the breaker stands, how many letters wait, and that in words."""
    is_up = not MAIL_OFF.exists()
    try:
        meter = backend.meters([BREAKER])[BREAKER]
        counts = next((queue.counts for queue in backend.stats() if queue.queue == "mail"), {})
    except BackendUnavailable:
        return {"up": is_up, "open": False, "waiting": 0, "words": "The queue cannot be reached now."}
    waiting = sum(counts.get(state, 0) for state in (State.QUEUED, State.SCHEDULED))
    is_open = bool(meter.until)
    return {"up": is_up, "open": is_open, "waiting": waiting, "words": _words(is_up, is_open, waiting)}


def _words(is_up: bool, is_open: bool, waiting: int) -> str:
    letters = f"{many(waiting, 'letter')} {'waits' if waiting == 1 else 'wait'}"
    if not is_open:
        said = "The mail server is up." if is_up else "The mail server is down."
        return f"{said} {letters}." if waiting else said
    said = "The mail server is up again" if is_up else "The mail server is down, and the breaker is open"
    return f"{said}: {letters}, one tries at a time, and none loses an attempt."
