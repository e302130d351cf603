"""Behind a real nginx that buffers as it does by default: events arrive at once all the same."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Generator
from pathlib import Path

import httpx
import pytest

from narrowboat import App
from tests.servers import WHERE
from tests.support.processes import wait_for

from .hand import Hand, running_server
from .test_streams import events

NGINX = shutil.which("nginx", path=WHERE)
if NGINX is None and os.environ.get("CI") != "true":
    pytest.skip("nginx is not installed (Debian: apt install nginx-light)", allow_module_level=True)

# Nothing is said of buffering, of HTTP/1.1 or of keeping connections open: this is what people have.
CONFIG = """
daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/error.log info;
events {{ worker_connections 100; }}
http {{
  access_log {folder}/access.log;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  {more}
  server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://127.0.0.1:{behind}; }} }}
}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def app(folder: Path) -> Generator[App]:
    app = App("shop", url=f"sqlite:///{folder / 'shop.db'}")
    yield app
    app.close()


WAYS = {
    "as it comes": "",
    "with compression": "gzip on; gzip_types *; gzip_proxied any;",
    "deaf to our header": "proxy_ignore_headers X-Accel-Buffering;",
}


@pytest.fixture(params=["as it comes", "with compression"])
def front(request: pytest.FixtureRequest, app: App, folder: Path) -> Generator[str]:
    """The address of an nginx before a shop."""
    assert NGINX is not None, "CI needs nginx; tests/servers.py installs it"
    more = WAYS[request.param]
    url = str(app._url)  # pyright: ignore[reportPrivateUsage]
    with running_server("tests.web.shop:site", folder, url) as server:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        config = folder / "nginx.conf"
        config.write_text(CONFIG.format(folder=folder, port=port, behind=server.port, more=more))
        with (folder / "nginx.out").open("wb") as output:
            nginx = subprocess.Popen([NGINX, "-c", config, "-p", folder], stdout=output, stderr=output)
        try:
            wait_for("nginx", lambda: _answers(port) or nginx.poll() is not None)
            assert nginx.poll() is None, (folder / "nginx.out").read_text() + (folder / "error.log").read_text()
            yield f"http://127.0.0.1:{port}"
        finally:
            nginx.terminate()
            nginx.wait(30)


def test_each_event_arrives_before_the_next_thing_happens(front: str, app: App) -> None:
    hand = Hand(app.backend)
    headers = {"accept-encoding": "gzip"}
    with httpx.Client(base_url=front, timeout=60, headers=headers) as http:
        job = http.post("/photos", json={"photo": "cat.jpg"}).json()
        with http.stream("GET", job["events"]) as answer:
            said = events(answer.iter_lines())
            assert next(said)[2]["state"] == "queued"
            [claim] = hand.take()
            while next(said)[2]["state"] != "running":
                pass
            for done in (1, 2, 3):  # were it held back, the next one would never be reported
                hand.report(claim, done=done, total=3)
                while (next(said)[2]["progress"] or {}).get("done") != done:
                    pass
            hand.finish(claim)
            assert [name for name, *_ in said][-1] == "end"


@pytest.mark.parametrize("front", ["deaf to our header"], indirect=True)
def test_without_our_header_they_would_be_held_back(front: str, app: App) -> None:
    hand = Hand(app.backend)
    with httpx.Client(base_url=front, timeout=60) as http:
        job = http.post("/photos", json={"photo": "cat.jpg"}).json()
        hand.take()
        held = httpx.Timeout(60, read=1)
        with pytest.raises(httpx.ReadTimeout), http.stream("GET", job["events"], timeout=held) as answer:
            next(events(answer.iter_lines()))


def _answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/", timeout=10).status_code == 200
    except httpx.HTTPError:
        return False
