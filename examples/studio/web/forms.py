"""What people send: read as it comes in, then answered on a request thread."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from narrowboat import BackendUnavailable, JobHandle, StoreUnavailable

from ..app import MOST_BYTES
from ..orders import TOO_LARGE, Refused
from .answers import sorry, wants_page
from .threads import RequestThreads


def form(
    threads: RequestThreads, what: str, answer: Callable[[Request, FormData], Response]
) -> Callable[[Request], Any]:
    """A route that takes a form. A thread is needed once it is all there, as behind a proxy that buffers uploads."""

    async def endpoint(request: Request) -> Response:
        if int(request.headers.get("content-length") or 0) > MOST_BYTES + 10_000:
            return sorry(request, 413, TOO_LARGE)
        async with request.form(max_files=1, max_fields=10) as sent:
            return await threads.run(what, answer_or_refuse, request, sent, answer)

    return endpoint


def answer_or_refuse(request: Request, sent: FormData, answer: Callable[[Request, FormData], Response]) -> Response:
    """The answer, or why there is none."""
    try:
        return answer(request, sent)
    except Refused as refused:
        return sorry(request, refused.status, refused.text)
    except (BackendUnavailable, StoreUnavailable):
        return sorry(request, 503, "We cannot take anything just now. Please try again in a minute.")


def enqueued(order: Callable[[FormData], JobHandle[Any]]) -> Callable[[Request, FormData], Response]:
    """202 with the job's address; a browser without JavaScript is sent to its page."""

    def answer_at_once(request: Request, sent: FormData) -> Response:
        job = order(sent)
        place = f"/jobs/{job.id}"
        if wants_page(request):
            return RedirectResponse(place, 303)
        return JSONResponse({"id": job.id, "status": place}, 202, {"Location": place, "Retry-After": "1"})

    return answer_at_once
