"""Handing in: at once, once, and never more than is taken."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

import pytest

from narrowboat import Accept, App, File, Queue
from narrowboat.backends.base import Filter
from narrowboat.web import Answer, Ask, Web

from .hand import KEY, Hand

PAGE = {"accept": "text/html"}
PNG = b"\x89PNG\r\n\x1a\n" + b"\0\0\0\rIHDR\0\0\x9c\x40\0\0\x9c\x40\x08\2\0\0\0" + b"\0" * 100  # 40,000 x 40,000
SMALL = PNG.replace(b"\x9c\x40", b"\0\x40")
Photo = Annotated[File, Accept(types=["image/*"], size="1kB", pixels=50_000_000)]


class Shop:
    def __init__(self, folder: Path) -> None:
        queues = [Queue("images", waiting=6, waiting_per_client=3)]
        self.app = App("shop", url=f"sqlite:///{folder / 'shop.db'}", queues=queues)
        self.resize = self.app.task(name="shop.resize", queue="images")(_resize)
        self.keyed = self.app.task(name="shop.keyed", key="arguments")(_resize)
        self.look = self.app.task(name="shop.look")(_look)
        self.web = Web(self.app, key=KEY)

    def send(self, photo: str = "cat.jpg", person: str = "ann", **headers: str) -> Answer:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.web.visitor(person, named).submit(self.resize, photo, width=200)

    def count(self) -> int:
        return len(self.app.backend.find(Filter()).jobs)


def _resize(photo: str, width: int = 320) -> str:
    return f"{photo} at {width}"


def _look(photo: Photo) -> None:
    pass


def body(answer: Answer) -> Any:
    assert isinstance(answer.body, bytes)
    return json.loads(answer.body)


@pytest.fixture
def shop(tmp_path: Path) -> Generator[Shop]:
    shop = Shop(tmp_path)
    yield shop
    shop.app.close()


def test_a_script_is_answered_202_with_where_to_look(shop: Shop) -> None:
    answer = shop.send()
    found = body(answer)
    assert answer.status == 202
    assert answer.header("location") == found["status"] == f"/jobs/{found['id']}?token={found['token']}"
    assert answer.header("retry-after") == "1"
    status = shop.web.status.job(found["id"], Ask({}, found["status"].partition("?")[2]))
    assert body(status)["state"] == "queued"


def test_a_browser_without_scripts_is_sent_to_the_page_of_its_job(shop: Shop) -> None:
    answer = shop.web.visitor("ann", PAGE).submit(shop.resize, "cat.jpg")
    assert answer.status == 303
    place, _, query = str(answer.header("location")).partition("?")
    page = shop.web.status.job(place.removeprefix("/jobs/"), Ask(PAGE, query))
    assert page.status == 200


def test_tokens_may_travel_in_cookies_of_one_page(tmp_path: Path) -> None:
    app = App("shop", url=f"sqlite:///{tmp_path / 'shop.db'}")
    resize = app.task(name="shop.resize")(_resize)
    web = Web(app, key=KEY, cookies=True)
    answer = web.visitor("ann", PAGE).submit(resize, "cat.jpg")
    place = str(answer.header("location"))
    cookie = str(answer.header("set-cookie"))
    assert "token" not in place
    assert f"; Path={place}; Max-Age=3600; HttpOnly; SameSite=Lax" in cookie
    asked = Ask({**PAGE, "cookie": cookie.partition(";")[0]})
    assert web.status.job(place.removeprefix("/jobs/"), asked).status == 200
    app.close()


def test_a_retried_request_is_one_job(shop: Shop) -> None:
    first, again = (body(shop.send(idempotency_key="k1")) for _ in range(2))
    assert first["id"] == again["id"]
    assert (first["created"], again["created"]) == (True, False)
    assert shop.count() == 1


def test_a_double_click_is_one_job(shop: Shop) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: shop.send(idempotency_key="k1"), range(8)))
    assert {answer.status for answer in answers} == {202}
    assert len({body(answer)["id"] for answer in answers}) == 1


def test_the_same_key_with_another_payload_is_422(shop: Shop) -> None:
    shop.send(idempotency_key="k1")
    answer = shop.send("dog.jpg", idempotency_key="k1")
    assert answer.status == 422
    assert "something else" in body(answer)["error"]
    assert shop.count() == 1


def test_a_key_is_the_persons_own(shop: Shop) -> None:
    mine = body(shop.send(idempotency_key="k1"))
    hers = body(shop.send("dog.jpg", person="bea", idempotency_key="k1"))
    assert mine["id"] != hers["id"]
    tricky = body(shop.send("dog.jpg", person="an", idempotency_key="nk1"))
    assert tricky["created"], "a person and a key do not run into each other"


def test_a_key_is_its_tasks_own(shop: Shop) -> None:
    shop.send(idempotency_key="k1")
    other = shop.app.task(name="shop.other")(_resize)
    assert body(shop.web.visitor("ann", {"Idempotency-Key": "k1"}).submit(other, "dog.jpg"))["created"]


def test_a_key_holds_after_success_and_not_after_failure(shop: Shop) -> None:
    hand = Hand(shop.app.backend)
    first = body(shop.send(idempotency_key="k1"))
    hand.finish(*hand.take())
    assert body(shop.send(idempotency_key="k1"))["id"] == first["id"]
    second = body(shop.send(idempotency_key="k2"))
    hand.fail(*hand.take())
    assert body(shop.send(idempotency_key="k2"))["id"] != second["id"], "whoever tries again means it"


def test_a_task_with_a_key_of_its_own_keeps_it(shop: Shop) -> None:
    ids = {
        body(shop.web.visitor("ann", {"idempotency-key": key}).submit(shop.keyed, "cat.jpg"))["id"]
        for key in ("k1", "k2")
    }
    assert len(ids) == 1


@pytest.mark.parametrize("key", ["x" * 201, "a\x00b"])
def test_a_key_that_is_no_key_is_422(shop: Shop, key: str) -> None:
    assert shop.send(idempotency_key=key).status == 422
    assert shop.count() == 0


def test_wrong_arguments_are_422_with_the_reason(shop: Shop) -> None:
    answer = shop.web.visitor("ann", {}).submit(shop.resize, 5)  # pyright: ignore[reportArgumentType]
    assert answer.status == 422
    assert "photo" in body(answer)["error"]


def test_one_persons_flood_is_429_and_leaves_the_others_alone(shop: Shop) -> None:
    statuses = [shop.send(f"{n}.jpg").status for n in range(4)]
    assert statuses == [202, 202, 202, 429]
    refused = shop.send("more.jpg")
    assert int(str(refused.header("retry-after"))) >= 1
    assert shop.send(person="bea").status == 202


def test_everybodys_flood_is_503(shop: Shop) -> None:
    statuses = [shop.send(f"{n}.jpg", person=f"person-{n}").status for n in range(7)]
    assert statuses == [202] * 6 + [503]
    assert shop.count() == 6


def test_a_retried_request_is_answered_though_the_queue_is_full(shop: Shop) -> None:
    first = body(shop.send(person="ann", idempotency_key="k1"))
    for n in range(5):
        shop.send(f"{n}.jpg", person=f"person-{n}")
    assert shop.send(person="late").status == 503
    assert body(shop.send(person="ann", idempotency_key="k1"))["id"] == first["id"]


@pytest.mark.parametrize(
    ("content", "status"),
    [(SMALL + b"x" * 2000, 413), (b"<html>", 415), (PNG, 413)],
    ids=["too large", "no picture", "too many pixels"],
)
def test_what_is_too_large_or_no_picture_is_refused_before_anything_is_kept(
    shop: Shop, content: bytes, status: int
) -> None:
    answer = shop.web.visitor("ann", {}).submit(shop.look, File.of(content, name="photo.png"))
    assert answer.status == status
    assert "photo.png" in body(answer)["error"]
    assert shop.count() == 0
    assert _kept(shop) == []


def test_files_of_a_job_that_was_refused_are_not_kept(tmp_path: Path) -> None:
    app = App("shop", url=f"sqlite:///{tmp_path / 'shop.db'}", queues=[Queue("default", waiting=1)])
    keep = app.task(name="shop.keep")(_keep)
    web = Web(app, key=KEY)
    statuses = [web.visitor("ann", {}).submit(keep, File.of(b"hello")).status for _ in range(3)]
    assert statuses == [202, 503, 503]
    folder = Path(app.files.folder)
    assert len([path for path in folder.rglob("*") if path.is_file() and path.read_bytes() == b"hello"]) == 1
    app.close()


def test_async_code_hands_in_as_well(shop: Shop) -> None:
    answer = asyncio.run(shop.web.visitor("ann", {}).asubmit(shop.resize, "cat.jpg"))
    assert answer.status == 202


def _keep(file: File) -> None:
    pass


def _kept(shop: Shop) -> list[Path]:
    folder = Path(shop.app.files.folder)
    return [path for path in folder.rglob("*") if path.is_file() and path.stat().st_size >= 100]


def test_what_is_handed_in_may_be_part_of_the_forms_own_transaction(shop: Shop) -> None:
    assert shop.count() == 0
    with closing(sqlite3.connect(shop.app.backend.location)) as mine:
        for is_async in (False, True):
            for end, expected in ((mine.rollback, 0), (mine.commit, 1)):
                before = shop.count()
                visitor = shop.web.visitor("ann", {"Idempotency-Key": f"{is_async} {expected}"})
                task = shop.resize.using(connection=mine)
                answer = asyncio.run(visitor.asubmit(task, "cat.jpg")) if is_async else visitor.submit(task, "cat.jpg")
                assert (answer.status, shop.count()) == (202, before)
                end()
                assert shop.count() == before + expected
