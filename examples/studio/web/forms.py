"""What people send: read as it comes in, then answered on a request thread."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response

from narrowboat.web import Web

from ..app import MOST_BYTES
from ..orders import TOO_LARGE, Order, Refused
from .answers import sorry
from .jobs import jobs, visitor_of
from .threads import RequestThreads

IN_OUR_WORDS = {413: TOO_LARGE, 415: "This file is not a picture. We take JPEG, PNG, WebP, GIF and TIFF."}


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


def enqueued(read: Callable[[FormData], Order]) -> Callable[[Request, FormData], Response]:
    """202 with the job's address; a browser without JavaScript is sent to its page. A full queue takes nothing."""

    def answer_at_once(request: Request, sent: FormData) -> Response:
        order = read(sent)
        answer = jobs.visitor(visitor_of(request), request.headers).submit(order.task, *order.values)
        if answer.status in IN_OUR_WORDS:
            return sorry(request, answer.status, IN_OUR_WORDS[answer.status])
        return Web.starlette(answer)

    return answer_at_once
