"""The jobs of this site as browsers see them: each visitor sees their own, by a token, and nobody else's."""

from __future__ import annotations

import os
import secrets

from starlette.requests import Request
from starlette.responses import Response

from narrowboat.web import Web
from narrowboat.web.tokens import VARIABLE

from ..app import app
from ..shown import describe

VISITOR = "visitor"
# One web process, so it may make its own key; tokens then end with it.
jobs = Web(app, describe=describe, home="/", key=os.environ.get(VARIABLE) or secrets.token_urlsafe(32))


def visitor_of(request: Request) -> str:
    """Who sends this: the same browser is the same visitor."""
    return request.cookies.get(VISITOR) or secrets.token_urlsafe(16)


def remembered(request: Request, response: Response) -> Response:
    """The response, with a cookie for a browser that comes for the first time."""
    if VISITOR not in request.cookies:
        response.set_cookie(VISITOR, secrets.token_urlsafe(16), httponly=True, samesite="lax", max_age=86_400)
    return response
