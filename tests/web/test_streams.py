"""Streams from a real server: what they say, how they end, and what they cost."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import websockets
from websockets.sync.client import connect

from narrowboat import App
from narrowboat.core.ids import new_job_id
from narrowboat.web.streams import SEND_S
from narrowboat.web.tokens import Signer
from tests.support.processes import wait_for

from .hand import KEY, Hand, Server, running_server

TIMEOUT = httpx.Timeout(60)


class Shop:
    def __init__(self, server: Server, app: App) -> None:
        self.server, self.app, self.hand = server, app, Hand(app.backend)
        self.http = httpx.Client(base_url=server.address, timeout=TIMEOUT)

    def send(self, photo: str = "cat.jpg", person: str = "ann") -> dict[str, Any]:
        answer = self.http.post("/photos", json={"photo": photo}, headers={"x-person": person})
        assert answer.status_code == 202, answer.text
        return answer.json()


@contextmanager
def running_shop(folder: Path) -> Generator[Shop]:
    url = f"sqlite:///{folder / 'shop.db'}"
    app = App("shop", url=url)
    with running_server("tests.web.shop:site", folder, url) as server:
        shop = Shop(server, app)
        yield shop
        shop.http.close()
    assert server.errors() == []
    app.close()


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Generator[Shop]:
    with running_shop(tmp_path_factory.mktemp("shop")) as shop:
        yield shop


@pytest.fixture
def new_shop(tmp_path: Path) -> Generator[Shop]:
    """In which no job has ended: nothing is known of how long one takes, and a status changes with its job alone."""
    with running_shop(tmp_path) as shop:
        yield shop


Event = tuple[str, str, Any]


def events(lines: Iterator[str]) -> Iterator[Event]:
    """(name, id, data) of each event; the JSON of a job is decoded."""
    name, id_, data = "", "", ""
    for line in lines:
        field, _, value = line.partition(": ")
        if field == "event":
            name = value
        elif field == "id":
            id_ = value
        elif field == "data":
            data = value
        elif not line and name:
            yield name, id_, json.loads(data)
            name, id_, data = "", "", ""


@contextmanager
def stream(shop: Shop, path: str) -> Iterator[Iterator[Event]]:
    with shop.http.stream("GET", path) as answer:
        assert answer.status_code == 200, answer.read()
        yield events(answer.iter_lines())


def test_a_stream_begins_with_all_and_goes_on_with_what_changes(shop: Shop) -> None:
    job = shop.send()
    with stream(shop, job["events"]) as said:
        name, id_, first = next(said)
        assert (name, id_, first["state"]) == ("job", str(first["revision"]), "queued")
        [claim] = shop.hand.take()
        while (now := next(said)[2])["state"] != "running":
            assert now["revision"] >= first["revision"]
        shop.hand.report(claim, done=1, total=4, message="halving")
        while (now := next(said)[2])["progress"] is None:
            assert now["state"] == "running"
        assert now["words"].startswith("Halving, 25 %")
        shop.hand.finish(claim, result="cat at 320")
        *_, last, end = said
        assert (last[2]["state"], last[2]["words"], end[0]) == ("succeeded", "Done", "end")
    assert shop.http.get(last[2]["result"]).json() == "cat at 320"


def test_a_stream_that_is_opened_again_starts_with_what_is_now(shop: Shop) -> None:
    job = shop.send()
    [claim] = shop.hand.take()
    for done in range(4):
        shop.hand.report(claim, done=done, total=4)
        with stream(shop, job["events"]) as said:
            assert next(said)[2]["progress"]["done"] == done
    shop.hand.finish(claim)
    with stream(shop, job["events"]) as said:
        assert [(name, data.get("state")) for name, _, data in said] == [("job", "succeeded"), ("end", None)]


def test_many_jobs_share_one_stream_and_foreign_tokens_show_nothing(shop: Shop) -> None:
    mine = [shop.send(f"{n}.jpg") for n in range(5)]
    tokens = "&".join(f"token={job['token']}" for job in mine)
    forged = mine[0]["token"][:-3] + "AAA"
    claims = shop.hand.take(5)
    with stream(shop, f"/jobs/events?{tokens}&token={forged}&token=x") as said:
        first = [next(said) for _ in range(5)]
        assert {data["id"] for _, _, data in first} == {job["id"] for job in mine}
        assert {id_ for _, id_, _ in first} == {f"{data['id']}={data['revision']}" for _, _, data in first}
        shop.hand.finish(*claims)
        rest = list(said)
    assert rest[-1][0] == "end"
    assert sum(data.get("state") == "succeeded" for _, _, data in rest) == 5


@pytest.mark.parametrize("path", ["/jobs/events", "/jobs/{id}/events", "/jobs/{other}/events?token={token}"])
def test_a_stream_without_a_right_token_is_not_found(shop: Shop, path: str) -> None:
    job, other = shop.send(), shop.send()
    answer = shop.http.get(path.format(other=other["id"], **job))
    unknown = shop.http.get("/jobs/shop.resize:01J00000000000000000000000")
    assert (answer.status_code, answer.content) == (404, unknown.content)
    shop.hand.finish(*shop.hand.take(2))


def test_a_stream_may_be_opened_with_a_header(shop: Shop) -> None:
    job = shop.send()
    bearer = {"authorization": f"Bearer {job['token']}"}
    with shop.http.stream("GET", f"/jobs/{job['id']}/events", headers=bearer) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["x-accel-buffering"] == "no"
        assert "no-store" in answer.headers["cache-control"]
        shop.hand.finish(*shop.hand.take())
        assert [name for name, *_ in events(answer.iter_lines())][-1] == "end"


def test_a_long_poll_is_answered_when_something_changes(new_shop: Shop) -> None:
    job = new_shop.send()
    etag = new_shop.http.get(job["status"]).headers["etag"]
    with _meanwhile(lambda: new_shop.http.get(f"{job['status']}&wait=15s", headers={"if-none-match": etag})) as answer:
        [claim] = new_shop.hand.take()
        assert answer().json()["state"] == "running"
    with _meanwhile(lambda: new_shop.http.get(f"{job['status']}&wait=15s")) as answer:
        new_shop.hand.finish(claim)
        assert answer().json()["state"] == "succeeded"


def test_a_long_poll_that_sees_no_change_ends_with_304(new_shop: Shop) -> None:
    job = new_shop.send()
    etag = new_shop.http.get(job["status"]).headers["etag"]
    answer = new_shop.http.get(f"{job['status']}&wait=200ms", headers={"if-none-match": etag})
    assert answer.status_code == 304
    assert new_shop.http.get(f"{job['status']}&wait=soon").status_code == 200, "a wait that is none is no wait"
    new_shop.hand.finish(*new_shop.hand.take())


def test_the_same_is_said_over_websocket(shop: Shop) -> None:
    jobs = [shop.send(), shop.send()]
    tokens = "&".join(f"token={job['token']}" for job in jobs)
    claims = shop.hand.take(2)
    with connect(f"ws://127.0.0.1:{shop.server.port}/jobs/socket?{tokens}", open_timeout=30) as talk:
        first = [json.loads(talk.recv(30)) for _ in jobs]
        assert {word["data"]["id"] for word in first} == {job["id"] for job in jobs}
        shop.hand.finish(*claims)
        rest = [json.loads(text) for text in talk]
    assert [word["event"] for word in rest] == ["job", "job", "end"]
    assert {word["data"]["state"] for word in rest[:2]} == {"succeeded"}


@pytest.mark.parametrize("fault", ["no token", "forged", "another site", "no such job"])
def test_a_websocket_without_the_right_is_refused_before_it_opens(shop: Shop, fault: str) -> None:
    job = shop.send()
    never = Signer([KEY]).sign(new_job_id("shop.resize"), time.time(), 60)
    token = {"no token": "", "forged": job["token"][:-2] + "xx", "no such job": never}.get(fault, job["token"])
    origin = "https://evil.example" if fault == "another site" else shop.server.address
    address = f"ws://127.0.0.1:{shop.server.port}/jobs/socket?token={token}"
    with (
        pytest.raises(websockets.InvalidStatus) as refused,
        connect(address, origin=websockets.Origin(origin), open_timeout=30),
    ):
        pass
    assert refused.value.response.status_code == 403
    shop.hand.finish(*shop.hand.take())


def test_clients_that_vanish_leave_nothing_behind(shop: Shop) -> None:
    job = shop.send()
    request = f"GET {job['events']} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    for _ in range(50):
        with socket.create_connection(("127.0.0.1", shop.server.port)) as client:
            client.sendall(request)
            assert b"200 OK" in client.recv(1000)
    wait_for("the sockets to be given up", lambda: _sockets(shop.server.process.pid) < 10)
    shop.hand.finish(*shop.hand.take())


def test_a_client_that_reads_nothing_is_sent_only_what_is_latest(shop: Shop) -> None:
    """Its socket fills up; then only the latest document waits, however many there were."""
    job = shop.send()
    [claim] = shop.hand.take()
    before = _rss(shop.server.process.pid)
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", shop.server.port))
        client.sendall(f"GET {job['events']} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        with stream(shop, job["events"]) as said:  # another one, which reads, tells how far the server is
            for number in range(200):
                shop.hand.report(claim, done=number, total=200, message="x" * 200)
            while (next(said)[2]["progress"] or {}).get("done") != 199:
                pass
        assert _rss(shop.server.process.pid) - before < 8 * 1024 * 1024
    shop.hand.finish(claim)


def test_500_open_streams_end_in_peace_when_the_server_stops(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'shop.db'}"
    app = App("shop", url=url)
    with running_server("tests.web.shop:site", tmp_path, url) as server:
        job = httpx.post(f"{server.address}/photos", json={"photo": "cat.jpg"}, timeout=TIMEOUT).json()
        last = asyncio.run(_open_until_stopped(server, job["events"], 500))
    assert last == ["bye"] * 500
    assert server.errors() == []
    app.close()


async def _open_until_stopped(server: Server, path: str, n: int) -> list[str]:
    """Open n streams, stop the server when all have spoken; the last word of each."""
    streams = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(n)]
    for _, writer in streams:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    for reader, _ in streams:
        async with asyncio.timeout(60):
            await reader.readuntil(b"event: job")
    took = await asyncio.to_thread(server.stop)
    assert took < SEND_S / 2, f"it took {took:.1f} s: as if it had waited for them"
    ends = [await reader.read() for reader, _ in streams]
    for _, writer in streams:
        writer.close()
    return [_last_event(end) for end in ends]


def _last_event(data: bytes) -> str:
    return [line for line in data.decode().splitlines() if line.startswith("event: ")][-1].removeprefix("event: ")


def _sockets(pid: int) -> int:
    folder = Path(f"/proc/{pid}/fd")
    links: list[str] = []
    for entry in folder.iterdir():
        try:
            links.append(os.readlink(entry))
        except FileNotFoundError:
            pass
    return sum(link.startswith("socket:") for link in links)


def _rss(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@contextmanager
def _meanwhile(ask: Any) -> Iterator[Any]:
    """Ask in a thread, which has had time to be asleep at the server."""
    found: list[httpx.Response] = []
    thread = threading.Thread(target=lambda: found.append(ask()))
    thread.start()
    thread.join(0.3)
    assert thread.is_alive(), "it was answered before anything changed"

    def answer() -> httpx.Response:
        thread.join(30)
        assert found, "there was no answer"
        return found[0]

    yield answer
