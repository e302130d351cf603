"""The answers about one job, without a server: they are the same under every framework."""

from __future__ import annotations

import json
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from narrowboat import App, BackendUnavailable, File
from narrowboat.core.controls import BreakerSpec, Controls, LimitSpec, RateSpec
from narrowboat.core.ids import new_job_id
from narrowboat.web import Answer, Ask, Shown, Web

from .hand import KEY, Hand

PAGE = {"accept": "text/html,application/xhtml+xml"}
HOSTILE = '<script>alert(1)</script>"\x1b[31m\x07\u202e&amp;'


class Desk:
    """A shop on a database of its own, its web side and the one who works in it."""

    def __init__(self, folder: Path) -> None:
        self.app = App("shop", url=f"sqlite:///{folder / 'shop.db'}")
        self.resize = self.app.task(name="shop.resize", queue="images")(_resize)
        self.web = Web(self.app, key=KEY)
        self.hand = Hand(self.app.backend)

    def enqueue(self) -> str:
        return self.resize.enqueue("cat.jpg").id

    def ask(
        self, job_id: str, headers: dict[str, str] | None = None, *, may_cancel: bool = True, more: str = ""
    ) -> Ask:
        return Ask(headers or {}, f"token={self.web.token(job_id, may_cancel=may_cancel)}{more}")

    def document(self, job_id: str) -> dict[str, Any]:
        answer = self.web.status.job(job_id, self.ask(job_id))
        assert answer.status == 200
        return body(answer)

    def page(self, job_id: str) -> Answer:
        return self.web.status.job(job_id, self.ask(job_id, PAGE))


def _resize(photo: str, width: int = 320) -> str:
    return f"{photo} at {width}"


def body(answer: Answer) -> Any:
    assert isinstance(answer.body, bytes)
    return json.loads(answer.body)


def text(answer: Answer) -> str:
    assert isinstance(answer.body, bytes)
    return answer.body.decode()


@pytest.fixture
def desk(tmp_path: Path) -> Generator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    desk.app.close()


def test_a_waiting_job_tells_its_place(desk: Desk) -> None:
    ids = [desk.enqueue() for _ in range(3)]
    places = [desk.document(job_id)["place"] for job_id in ids]
    words = [desk.document(job_id)["words"] for job_id in ids]
    assert places == [0, 1, 2]
    assert words == ["Waiting, next in line", "Waiting, 1 is before it", "Waiting, 2 are before it"]


def test_a_job_in_a_paused_queue_says_so_and_for_how_long(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("narrowboat.web.reader.PACE_S", 0.0)
    job_id = desk.enqueue()
    desk.app.pause("images", until="5m", reason="the provider of ours is down")
    assert desk.document(job_id)["words"] == "Waiting: this is paused for about 5 min"
    desk.app.pause(task="shop.resize")
    desk.app.resume("images")
    assert (desk.document(job_id)["words"], desk.document(job_id)["left_s"]) == (
        "Waiting: this is paused for now",
        None,
    )
    desk.app.resume(task="shop.resize")
    assert desk.document(job_id)["words"] == "Waiting, next in line"


def held(desk: Desk, controls: Controls) -> Hand:
    """The one who works at the desk, with controls on its task."""
    desk.web.reader._found.clear()  # pyright: ignore[reportPrivateUsage]
    return Hand(desk.app.backend, controls=controls)


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is shown is read anew."""
    monkeypatch.setattr("narrowboat.web.reader.PACE_S", 0.0)


def test_a_job_that_an_open_breaker_holds_says_so_until_it_is_closed(desk: Desk, fresh: None) -> None:
    hand = held(desk, Controls(breaker=BreakerSpec(key="studio", failures=1, within_s=60, retry_after_s=60)))
    first, second = desk.enqueue(), desk.enqueue()
    assert desk.document(second)["words"] == "Waiting, 1 is before it"
    [claim] = hand.take()
    assert claim.id == first
    hand.trip(claim)
    assert desk.document(second)["words"] == "Waiting: a service that this needs is out of order. It goes on by itself"
    desk.app.resume(breaker="studio")
    assert desk.document(second)["words"] == "Waiting, next in line"


def test_a_job_that_a_rate_holds_is_told_its_place_and_that_only_so_many_are_done(desk: Desk, fresh: None) -> None:
    hand = held(desk, Controls(rate=RateSpec(key="studio", interval_s=600)))
    _, second, third = (desk.enqueue() for _ in range(3))
    assert desk.document(third)["words"] == "Waiting, 2 are before it"
    hand.finish(*hand.take(3))
    assert desk.document(second)["words"] == "Waiting, next in line. Only so many are done at a time"
    assert desk.document(third)["words"] == "Waiting, 1 is before it. Only so many are done at a time"


def test_a_job_that_a_limit_holds_says_so_while_another_has_its_place(desk: Desk, fresh: None) -> None:
    hand = held(desk, Controls(limit=LimitSpec(key="studio", most=1)))
    _, second = desk.enqueue(), desk.enqueue()
    [claim] = hand.take(2)
    found = desk.document(second)
    assert (found["place"], found["words"]) == (0, "Waiting, next in line. Only so many are done at a time")
    hand.finish(claim)
    assert desk.document(second)["words"] == "Waiting, next in line"


@pytest.mark.parametrize("controls", [Controls(rate=RateSpec(key="studio", interval_s=0.1)), Controls()])
def test_a_job_that_a_service_slows_down_says_that_it_is_busy(desk: Desk, fresh: None, controls: Controls) -> None:
    hand = held(desk, controls)
    _, second = desk.enqueue(), desk.enqueue()
    hand.slow_down(*hand.take(), seconds=60)
    found = desk.document(second)
    assert found["words"] == "Waiting: a service that this needs is busy. It goes on by itself"
    assert found["left_s"] is None


def test_the_time_left_comes_from_what_the_queue_did_lately(desk: Desk) -> None:
    ids = [desk.enqueue() for _ in range(30)]
    assert desk.document(ids[-1])["left_s"] is None, "nothing has ended yet, so nothing is known"
    desk.hand.finish(*desk.hand.take(10))
    desk.web.reader._found.clear()  # pyright: ignore[reportPrivateUsage]
    found = desk.document(ids[-1])
    assert found["left_s"] is not None
    assert found["words"] == f"Waiting, 19 are before it, about {found['left_s']} s left"


def test_a_running_job_tells_how_far_it_is(desk: Desk) -> None:
    job_id = desk.enqueue()
    [claim] = desk.hand.take()
    assert desk.document(job_id)["words"] == "Working"
    desk.hand.report(claim, done=3, total=5, message="shrinking")
    found = desk.document(job_id)
    assert found["progress"] == {"done": 3, "total": 5, "message": "shrinking"}
    assert found["words"] == "Shrinking, 60 %"


def test_a_finished_job_leads_to_its_result(desk: Desk) -> None:
    job_id = desk.enqueue()
    desk.hand.finish(*desk.hand.take(), result="cat at 320")
    found = desk.document(job_id)
    assert (found["state"], found["finished"], found["words"]) == ("succeeded", True, "Done")
    page = desk.page(job_id)
    assert (page.status, page.header("location")) == (303, found["result"])
    path, _, query = str(found["result"]).partition("?")
    assert path == f"/jobs/{job_id}/result"
    assert body(desk.web.status.result(job_id, Ask({}, query))) == "cat at 320"
    assert "cat at 320" in text(desk.web.status.result(job_id, Ask(PAGE, query)))


def test_a_job_that_gives_nothing_has_a_page_of_its_own(desk: Desk) -> None:
    job_id = desk.enqueue()
    desk.hand.finish(*desk.hand.take())
    page = desk.page(job_id)
    assert page.status == 200
    assert "Done" in text(page)
    assert desk.document(job_id)["result"] is None
    assert desk.web.status.result(job_id, desk.ask(job_id)).status == 404


def test_an_unchanged_job_is_not_sent_twice(desk: Desk) -> None:
    job_id = desk.enqueue()
    first = desk.web.status.job(job_id, desk.ask(job_id))
    etag = first.header("etag")
    assert etag is not None
    token = desk.ask(job_id).query
    again = desk.web.status.job(job_id, Ask({"if-none-match": etag}, token))
    assert (again.status, again.body, again.header("etag")) == (304, b"", etag)
    [claim] = desk.hand.take()
    desk.hand.report(claim, done=1, total=2)
    assert desk.web.status.job(job_id, Ask({"if-none-match": f'"x", {etag}'}, token)).status == 200


def test_pollers_are_told_when_to_come_again_until_it_has_ended(desk: Desk) -> None:
    job_id = desk.enqueue()
    waiting = desk.web.status.job(job_id, desk.ask(job_id)).header("retry-after")
    [claim] = desk.hand.take()
    running = desk.web.status.job(job_id, desk.ask(job_id)).header("retry-after")
    desk.hand.finish(claim)
    ended = desk.web.status.job(job_id, desk.ask(job_id)).header("retry-after")
    assert (waiting, running, ended) == ("2", "1", None)


@pytest.mark.parametrize("where", ["query", "header", "cookie"])
def test_a_token_comes_in_the_query_a_header_or_a_cookie(desk: Desk, where: str) -> None:
    job_id = desk.enqueue()
    token = desk.web.token(job_id)
    ask = {
        "query": Ask({}, f"x=1&token=wrong&token={token}"),
        "header": Ask.of({"Authorization": f"Bearer {token}"}),
        "cookie": Ask.of({"Cookie": f"session=1; narrowboat={token}"}),
    }[where]
    assert desk.web.status.job(job_id, ask).status == 200


def test_a_query_of_more_fields_than_anybody_needs_shows_nothing(desk: Desk) -> None:
    job_id = desk.enqueue()
    ask = Ask({}, "x=1&" * 250 + f"token={desk.web.token(job_id)}")
    assert desk.web.status.job(job_id, ask).status == 404


def test_where_the_base_is_a_whole_address_results_carry_their_token_too(desk: Desk) -> None:
    job_id = desk.enqueue()
    [claim] = desk.hand.take()
    desk.hand.finish(claim, result="small")
    web = Web(desk.app, key=KEY, base="https://shop.example/jobs")
    token = web.token(job_id)
    result = body(web.status.job(job_id, Ask({}, f"token={token}")))["result"]
    assert result == f"https://shop.example/jobs/{job_id}/result?token={token}"


def test_whatever_is_not_ones_own_is_not_found_alike(desk: Desk) -> None:
    mine, other = desk.enqueue(), desk.enqueue()
    never = new_job_id("shop.resize")
    expired = Web(desk.app, key=KEY, ttl=0).token(mine)
    asks = {
        "no token": (mine, Ask()),
        "no such job": (never, Ask({}, f"token={desk.web.token(never)}")),
        "another's token": (mine, Ask({}, f"token={desk.web.token(other)}")),
        "a forged one": (mine, Ask({}, f"token={Web(desk.app, key='x' * 40).token(mine)}")),
        "an old one": (mine, Ask({}, f"token={expired}")),
        "no id at all": ("../../etc/passwd", Ask({}, f"token={desk.web.token(mine)}")),
    }
    status = desk.web.status
    scripts = {name: status.job(*ask) for name, ask in asks.items()}
    scripts |= {f"result, {name}": status.result(*ask) for name, ask in asks.items()}
    scripts |= {f"file, {name}": status.file(ask[0], 0, ask[1]) for name, ask in asks.items()}
    scripts |= {f"cancel, {name}": status.cancel(*ask) for name, ask in asks.items()}
    scripts["cancel without the right"] = status.cancel(mine, desk.ask(mine, may_cancel=False))
    scripts["cancel from another site"] = status.cancel(mine, desk.ask(mine, {"sec-fetch-site": "cross-site"}))
    scripts["result of a job that goes on"] = status.result(mine, desk.ask(mine))
    [first, *others] = scripts.items()
    assert first[1].status == 404
    assert [name for name, answer in others if answer != first[1]] == []
    pages = [status.job(job_id, Ask(PAGE, ask.query)) for job_id, ask in asks.values()]
    assert {page.status for page in pages} == {404}
    assert all(page == pages[0] for page in pages)
    assert desk.document(mine)["state"] == "queued"


def test_ten_thousand_guesses_never_reach_the_backend(tmp_path: Path) -> None:
    nowhere = App("shop", url=f"sqlite:///{tmp_path / 'missing' / 'folder' / 'shop.db'}")
    web = Web(nowhere, key=KEY)
    with pytest.raises(BackendUnavailable):
        nowhere.backend.get([])
    forger = Web(nowhere, key="f" * 40)
    for _ in range(10_000):
        job_id = new_job_id("shop.resize")
        assert web.status.job(job_id, Ask({}, f"token={forger.token(job_id)}")).status == 404


def test_who_may_cancel_can(desk: Desk) -> None:
    job_id = desk.enqueue()
    assert not body(desk.web.status.job(job_id, desk.ask(job_id, may_cancel=False)))["can_cancel"]
    assert body(desk.web.status.job(job_id, desk.ask(job_id)))["can_cancel"]
    answer = desk.web.status.cancel(job_id, desk.ask(job_id))
    assert (answer.status, body(answer)["state"], body(answer)["words"]) == (202, "cancelled", "Cancelled")
    page = desk.web.status.cancel(job_id, desk.ask(job_id, PAGE))
    assert (page.status, str(page.header("location")).partition("?")[0]) == (303, f"/jobs/{job_id}")


def test_a_running_job_that_is_cancelled_says_so(desk: Desk) -> None:
    job_id = desk.enqueue()
    desk.hand.take()
    desk.web.status.cancel(job_id, desk.ask(job_id))
    found = desk.document(job_id)
    assert (found["state"], found["cancelling"], found["words"]) == ("running", True, "Being cancelled")
    assert not found["can_cancel"]


def test_a_dead_job_is_told_kindly_and_without_insides(desk: Desk) -> None:
    failed, crashed = desk.enqueue(), desk.enqueue()
    first, second = desk.hand.take(2)
    desk.hand.fail(first, "password is hunter2")
    desk.hand.fail(second, "SIGKILL", is_crash=True)
    for job_id, words in ((failed, "Something went wrong"), (crashed, "more than we allow")):
        found = desk.document(job_id)
        assert found["words"] == "This could not be done"
        assert words in found["error"]
        assert words in text(desk.page(job_id))
        for answer in (json.dumps(found), text(desk.page(job_id))):
            assert "hunter2" not in answer
            assert "Traceback" not in answer
            assert "hand-" not in answer, "the name of a worker is nobody's business"


def test_an_application_has_words_of_its_own(desk: Desk) -> None:
    def describe(job: Any) -> Shown:
        error = job.record.history[-1].error
        return Shown(title="Your photo", error=error.message, extra={"attempts": job.attempts})

    job_id = desk.enqueue()
    desk.hand.fail(*desk.hand.take(), "This is no picture")
    web = Web(desk.app, key=KEY, describe=describe)
    found = body(web.status.job(job_id, desk.ask(job_id)))
    assert (found["title"], found["error"], found["extra"]) == ("Your photo", "This is no picture", {"attempts": 1})


def test_hostile_texts_stay_texts(desk: Desk) -> None:
    def describe(job: Any) -> Shown:
        history = job.record.history
        return Shown(title=HOSTILE, error=history[-1].error.message if history else None)

    web = Web(desk.app, key=KEY, describe=describe)
    running, done, dead = desk.enqueue(), desk.enqueue(), desk.enqueue()
    first, second, third = desk.hand.take(3)
    desk.hand.report(first, done=1, total=2, message=HOSTILE)
    desk.hand.finish(second, result={"text": HOSTILE})
    desk.hand.fail(third, HOSTILE)
    pages = [web.status.job(job_id, desk.ask(job_id, PAGE)) for job_id in (running, dead)]
    pages.append(web.status.result(done, desk.ask(done, PAGE)))
    for page in pages:
        assert page.status == 200
        assert "<script>alert" not in text(page)
        assert "&lt;script&gt;" in text(page)
        policy = page.header("content-security-policy")
        assert policy is not None
        assert "script-src 'self'" in policy
        assert "unsafe" not in policy
    for job_id in (running, done, dead):
        answer = web.status.job(job_id, desk.ask(job_id))
        assert answer.header("content-type") == "application/json"
        assert answer.header("x-content-type-options") == "nosniff"
    as_json = web.status.result(done, desk.ask(done))
    assert as_json.header("content-type") == "application/json"


def test_a_file_is_served_by_what_it_is(desk: Desk) -> None:
    html = b"<!doctype html><script>alert(1)</script>"
    job_id = desk.enqueue()
    desk.hand.finish(*desk.hand.take(), result=_stored(desk, job_id, html, "page.html"))
    found = desk.document(job_id)
    assert [(file["name"], file["type"], file["size"]) for file in found["files"]] == [
        ("page.html", "text/plain", len(html))
    ]
    for answer in (desk.web.status.result(job_id, desk.ask(job_id)), desk.web.status.file(job_id, 0, desk.ask(job_id))):
        assert not isinstance(answer.body, bytes)
        with answer.body as content:
            assert content.read() == html
        assert answer.header("content-type") == "text/plain"
        assert str(answer.header("content-disposition")).startswith("attachment")
        assert answer.header("x-content-type-options") == "nosniff"
    assert desk.web.status.file(job_id, 1, desk.ask(job_id)).status == 404


def test_a_backend_that_is_away_is_told_and_when_to_come_again(tmp_path: Path) -> None:
    web = Web(App("shop", url=f"sqlite:///{tmp_path / 'missing' / 'shop.db'}"), key=KEY)
    job_id = new_job_id("shop.resize")
    answer = web.status.job(job_id, Ask({}, f"token={web.token(job_id)}"))
    assert (answer.status, answer.header("retry-after")) == (503, "10")


def test_an_element_carries_all_that_it_needs(desk: Desk) -> None:
    job_id = desk.enqueue()
    made = desk.web.element(job_id, label='A "photo" <b>')
    assert made.startswith(f'<job-status job="{job_id}" token="')
    assert 'src="/jobs" label="A &quot;photo&quot; &lt;b&gt;"' in made
    assert f'<a href="/jobs/{job_id}?token=' in made
    assert made.__html__() == made


def _stored(desk: Desk, job_id: str, content: bytes, name: str) -> Any:
    from narrowboat.core import codec
    from narrowboat.core.file import Accept

    return codec.decode(codec.encode(desk.app.putter(job_id)(File.of(content, name=name), Accept())))
