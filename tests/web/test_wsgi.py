"""Under WSGI: the same answers, by the letter of PEP 3333, and never a held request."""

from __future__ import annotations

import io
import json
import time
from pathlib import Path
from typing import Any
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import pytest

from narrowboat import App
from narrowboat.web import Web

from .hand import KEY, Hand


class Client:
    """Calls a WSGI application as a server does; the validator complains of every breach."""

    def __init__(self, web: Web) -> None:
        self.call = validator(web.wsgi)  # pyright: ignore[reportArgumentType]

    def __call__(self, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
        where, _, query = path.partition("?")
        environ: dict[str, Any] = {
            "SCRIPT_NAME": "/jobs",
            "PATH_INFO": where,
            "QUERY_STRING": query,
            "REQUEST_METHOD": method,
        }
        environ |= {f"HTTP_{name.upper()}": value for name, value in headers.items()}
        setup_testing_defaults(environ)
        environ["wsgi.input"] = io.BytesIO()
        began: list[Any] = []

        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            began.extend((int(status.split()[0]), {name.lower(): value for name, value in headers}))
            return lambda data: None

        chunks = self.call(environ, start)
        try:
            content = b"".join(chunks)
        finally:
            chunks.close()  # type: ignore[attr-defined]
        return began[0], began[1], content


@pytest.fixture
def web(tmp_path: Path) -> Web:
    return Web(App("shop", url=f"sqlite:///{tmp_path / 'shop.db'}"), key=KEY)


def test_a_job_is_polled_cancelled_and_its_result_fetched(web: Web) -> None:
    task = web.app.task(name="shop.resize", queue="images")(_resize)
    hand, get = Hand(web.app.backend), Client(web)
    first, second = task.enqueue("cat.jpg").id, task.enqueue("dog.jpg").id
    token = web.token(first)
    status, headers, content = get(f"/{first}?token={token}")
    assert (status, json.loads(content)["state"]) == (200, "queued")
    assert get(f"/{first}?token={token}", if_none_match=headers["etag"])[0] == 304
    assert get(f"/{first}", authorization=f"Bearer {token}")[0] == 200
    assert get(f"/{first}")[0] == 404
    assert get(f"/{second}/cancel?token={web.token(second)}", "POST")[0] == 202
    assert get(f"/{second}/cancel?token={web.token(second)}", "GET")[0] == 404
    hand.finish(*hand.take(), result="cat at 320")
    assert get(f"/{first}?token={token}", accept="text/html")[0] == 303
    assert get(f"/{first}/result?token={token}")[2] == b'"cat at 320"'


def test_a_request_is_never_held(web: Web) -> None:
    job_id = web.app.task(name="shop.resize")(_resize).enqueue("cat.jpg").id
    began = time.monotonic()
    status, _, content = Client(web)(f"/{job_id}?wait=30s&token={web.token(job_id)}")
    assert (status, json.loads(content)["state"]) == (200, "queued")
    assert time.monotonic() - began < 20, "it must not wait for the 30 s that were asked"
    for stream in ("events", f"{job_id}/events", "socket"):
        assert Client(web)(f"/{stream}?token={web.token(job_id)}")[0] == 404


@pytest.mark.parametrize("path", ["/", "/a/b/c/d", "/static/../web.py", "/static/job.html", "/x/files/99999", "/\xff"])
def test_other_addresses_are_not_found(web: Web, path: str) -> None:
    assert Client(web)(path)[0] == 404


def test_the_element_and_the_style_are_served(web: Web) -> None:
    status, headers, content = Client(web)("/static/job-status.js")
    assert (status, headers["content-type"]) == (200, "text/javascript; charset=utf-8")
    assert b"customElements.define" in content
    assert Client(web)("/static/status.css")[0] == 200


def _resize(photo: str, width: int = 320) -> str:
    return f"{photo} at {width}"
