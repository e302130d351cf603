"""The same answers for WSGI: polling, pages, results, cancel. Streams are not here on purpose: each would hold one of
the request threads, the very thing that background jobs are to keep free.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, BinaryIO

from .answer import Answer, Ask, chunks, not_found
from .static import asset

if TYPE_CHECKING:
    from .web import Web

StartResponse = Callable[[str, list[tuple[str, str]]], Any]


class WSGI:
    """A WSGI application for one Web; mount it at its `base` (DispatcherMiddleware in Flask, a sub-mount elsewhere)."""

    def __init__(self, web: Web) -> None:
        self._web = web

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        answer = self._answer(environ)
        status = HTTPStatus(answer.status)
        start_response(f"{status.value} {status.phrase}", list(answer.headers))
        return [answer.body] if isinstance(answer.body, bytes) else _sent(answer.body)

    def _answer(self, environ: dict[str, Any]) -> Answer:
        # PATH_INFO holds the bytes of UTF-8 as Latin-1 (PEP 3333).
        path = str(environ.get("PATH_INFO", "")).encode("latin-1").decode("utf-8", "replace")
        headers = {
            name[5:].replace("_", "-").lower(): str(value) for name, value in environ.items() if name[:5] == "HTTP_"
        }
        return self._routed(environ.get("REQUEST_METHOD", "GET"), path, Ask(headers, environ.get("QUERY_STRING", "")))

    def _routed(self, method: str, path: str, ask: Ask) -> Answer:
        status = self._web.status
        match method, path.strip("/").split("/"):
            case (("GET" | "HEAD"), ["static", name]):
                return asset(name, ask)
            case (("GET" | "HEAD"), [job_id]):
                return status.job(job_id, ask)
            case (("GET" | "HEAD"), [job_id, "result"]):
                return status.result(job_id, ask)
            case (("GET" | "HEAD"), [job_id, "files", number]) if number.isdecimal() and len(number) < 4:
                return status.file(job_id, int(number), ask)
            case "POST", [job_id, "cancel"]:
                return status.cancel(job_id, ask)
            case _:
                return not_found()


def _sent(content: BinaryIO) -> Iterator[bytes]:
    with content:
        yield from chunks(content)
