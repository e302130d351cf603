"""It mounts in each framework, and runs alone: status, page, stream, static files and cancel, from a real server."""

from __future__ import annotations

import json
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from narrowboat import App
from narrowboat.web import Web

from .hand import KEY, Hand, Server, running_server


@dataclass
class Site:
    server: Server
    app: App
    web: Web


@pytest.fixture(params=["in_fastapi", "in_litestar", "in_django", "alone"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[Site]:
    app = App("shop", url=f"sqlite:///{tmp_path / 'shop.db'}")
    web = Web(app, key=KEY, base="" if request.param == "alone" else "/jobs")
    where = f"tests.web.mounts:{request.param}"
    with running_server(where, tmp_path, str(app._url), "--factory") as server:  # pyright: ignore[reportPrivateUsage]
        yield Site(server, app, web)
    assert server.errors() == []
    app.close()


def test_jobs_are_shown_wherever_it_is_mounted(site: Site) -> None:
    resize = site.app.task(name="shop.resize", queue="images")(_resize)
    hand = Hand(site.app.backend)
    job, other = resize.enqueue("cat.jpg"), resize.enqueue("dog.jpg")
    token = site.web.token(job.id)
    with httpx.Client(base_url=site.server.address, timeout=60) as http:
        status = http.get(site.web.job_url(job.id, token))
        assert (status.status_code, status.json()["state"]) == (200, "queued")
        page = http.get(site.web.job_url(job.id, token), headers={"accept": "text/html"})
        assert 'src="' + site.web.base + '/static/job-status.js"' in page.text
        assert http.get(f"{site.web.base}/static/job-status.js").headers["content-type"].startswith("text/javascript")
        assert http.get(site.web.job_url(job.id)).status_code == 404
        assert http.post(f"{site.web.job_url(other.id)}/cancel?token={site.web.token(other.id)}").status_code == 202
        with http.stream("GET", site.web.events_url(job.id, token)) as stream:
            lines = stream.iter_lines()
            assert next(line for line in lines if line.startswith("event: ")) == "event: job"
            hand.finish(*hand.take(), result="cat at 320")
            last = [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")][-2]
        assert last["state"] == "succeeded"
        assert http.get(last["result"]).json() == "cat at 320"


def _resize(photo: str, width: int = 320) -> str:
    return f"{photo} at {width}"
