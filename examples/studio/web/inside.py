"""Form 1, as one should not do it: the request itself makes the thumbnails, and keeps its thread until then."""

from __future__ import annotations

import secrets
import tempfile
import time
from collections import OrderedDict
from pathlib import Path
from typing import Any

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ..images import BadPhoto, thumbnails
from ..orders import Refused, upload_in
from ..shown import entry
from .answers import sorry, templates, wants_page

MOST_KEPT = 32  # photos whose thumbnails can still be looked at; less than a megabyte each
TYPES = {".jpg": "image/jpeg", ".webp": "image/webp"}
PICTURE = {"content-security-policy": "default-src 'none'; sandbox", "cache-control": "private, max-age=600"}
kept: OrderedDict[str, list[tuple[str, bytes]]] = OrderedDict()  # token -> (type, content) of each thumbnail


def make(request: Request, sent: FormData) -> Response:
    """Do the work, and answer with what it made. Raises Refused."""
    began = time.monotonic()
    token = secrets.token_urlsafe(16)
    results = draw(sent, token)
    answer = {"state": "succeeded", "finished": True, "words": "Done, inside the request.", "results": results}
    answer["seconds"] = round(time.monotonic() - began, 2)
    if wants_page(request):
        return templates.TemplateResponse(request, "inside.html", answer)
    return JSONResponse(answer)


def draw(sent: FormData, token: str) -> list[dict[str, Any]]:
    """The thumbnails as the page shows them; their content is kept under the token for a while. Raises Refused."""
    entries: list[dict[str, Any]] = []
    contents: list[tuple[str, bytes]] = []
    with tempfile.TemporaryDirectory(prefix="studio-") as folder:
        try:
            made = thumbnails(upload_in(sent).file, Path(folder), lambda done, total, message: None)
        except BadPhoto as error:
            raise Refused(400, str(error)) from error
        for number, one in enumerate(made):
            kind, content = TYPES[one.file.path.suffix], one.file.path.read_bytes()
            contents.append((kind, content))
            entries.append({"url": f"/inside/{token}/{number}", **entry(one, kind, len(content))})
    kept[token] = contents
    while len(kept) > MOST_KEPT:
        kept.popitem(last=False)
    return entries


def picture(request: Request) -> Response:
    """A thumbnail that Form 1 made."""
    contents = kept.get(request.path_params["token"], [])
    if request.path_params["number"] >= len(contents):
        return sorry(request, 404, "We do not have this file. It may have been cleared away.")
    kind, content = contents[request.path_params["number"]]
    return Response(content, headers=PICTURE, media_type=kind)
