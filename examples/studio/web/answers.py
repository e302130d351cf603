"""Answers for people and for scripts: the same address gives a page to a browser and JSON to the page's own script."""

from __future__ import annotations

from pathlib import Path

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.templating import Jinja2Templates

HERE = Path(__file__).resolve().parents[1]
templates = Jinja2Templates(HERE / "templates")


def wants_page(request: Request) -> bool:
    """Whether a browser asks, rather than the page's own script."""
    return "text/html" in request.headers.get("accept", "")


def sorry(request: Request, code: int, text: str) -> Response:
    """An error for a person, or for a script."""
    if wants_page(request):
        return templates.TemplateResponse(request, "sorry.html", {"text": text}, code)
    return JSONResponse({"error": text}, code)
