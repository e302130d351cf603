"""<job-status> on the real thing: a web server, a worker, and a browser that is cut off, or is somebody else's."""

from __future__ import annotations

import re
from collections.abc import Generator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from narrowboat import App, State
from narrowboat.backends.urls import open_backend
from tests.support.processes import wait_for
from tests.support.proxy import proxy
from tests.web.hand import Hand, Server, running_server

from .studio_pages import assert_accessible, send

COUNTED = """
window.counted = []; // each state and count, but not how long it still takes, which changes by itself
addEventListener("job-changed", ({ detail: job }) => {
  const now = [job.state, job.progress?.done ?? 0];
  if (String(now) !== String(counted.at(-1))) counted.push(now);
});
window.heard = 0; // streams that have said something of a job
window.EventSource = class extends EventSource {
  constructor(...given) {
    super(...given);
    let isNew = true;
    this.addEventListener("open", () => (isNew = true));
    this.addEventListener("job", () => {
      heard += isNew;
      isNew = false;
    });
  }
};
"""


def write(page: Page, subject: str, readers: int) -> Locator:
    """Send a newsletter; its card."""
    page.get_by_label("Subject").fill(subject)
    page.get_by_label("Readers").fill(str(readers))
    page.get_by_role("button", name="Send it to a practice inbox").click()
    return page.get_by_role("listitem").filter(has_text=f"Newsletter: {subject}")


@pytest.fixture
def shop(tmp_path: Path) -> Generator[tuple[Server, App]]:
    """A shop whose worker the test plays."""
    url = f"sqlite:///{tmp_path / 'shop.db'}"
    app = App("shop", url=url)
    with running_server("tests.web.shop:site", tmp_path, url) as server:
        yield server, app
    assert server.errors() == []
    app.close()


def test_a_stream_that_is_cut_four_times_still_counts_right(shop: tuple[Server, App], browser: Browser) -> None:
    server, app = shop
    hand, page, streams = Hand(app.backend), browser.new_page(), list[str]()
    page.on("request", lambda request: streams.append(request.url) if "/events" in request.url else None)
    sent = page.request.post(f"{server.address}/photos", data={"photo": "cat.jpg"}).json()
    [claim] = hand.take()
    page.add_init_script(COUNTED)
    with proxy(server.port) as network:
        page.goto(f"http://127.0.0.1:{network.port}/?job={sent['id']},{sent['token']}")
        bar = page.get_by_role("progressbar")
        wait_for("a stream", lambda: page.evaluate("heard") == 1)
        for times in range(1, 5):
            hand.report(claim, done=times * 20 - 5, total=100, message="counting")
            expect(bar).to_have_js_property("value", (times * 20 - 5) / 100)
            assert network.cut() >= 1
            hand.report(claim, done=times * 20, total=100, message="counting")  # while nobody hears it
            expect(bar).to_have_js_property("value", times * 20 / 100)
            # What a page is not told for a while it asks for: so it may know this before its stream is back.
            wait_for("another stream", lambda times=times: page.evaluate("heard") == times + 1)
        hand.finish(claim, result="cat.jpg at 320")
        expect(page.get_by_text("Done", exact=True)).to_be_visible()
        expect(bar).to_have_js_property("value", 1)
    *running, end = page.evaluate("counted")
    assert end == ["succeeded", 80], "the last is on how it ended"
    assert {state for state, _ in running} == {"running"}
    counted = [done for _, done in running]
    assert counted == sorted(set(counted)), "each count once, in order"
    assert len(streams) == 5, "one, and another after each cut"
    page.close()
    assert {15, 20, 35, 40, 55, 60, 75, 80} <= set(counted)


def test_two_browsers_cannot_see_each_others_jobs(studio: str, browser: Browser, photo: Path) -> None:
    one, other = browser.new_context(), browser.new_context()
    ours, theirs = one.new_page(), other.new_page()
    for page in (ours, theirs):
        send(page, studio, photo)
        expect(page.locator("#list > [data-state=succeeded]")).to_have_count(1)
    mine, yours = (page.locator("job-status").evaluate("it => it.latest") for page in (ours, theirs))
    assert mine["id"] != yours["id"]
    assert yours["id"] not in ours.content() and mine["id"] not in theirs.content()
    token = urlsplit(mine["files"][0]["url"]).query
    there = {"job": f"/jobs/{yours['id']}", "file": urlsplit(yours["files"][0]["url"]).path}
    for place in there.values():
        assert ours.request.get(f"{studio}{place}").status == 404
        assert ours.request.get(f"{studio}{place}?{token}").status == 404, "with a token for another job"
    assert ours.request.post(f"{studio}{there['job']}/cancel?{token}").status == 404
    no_such = ours.request.get(f"{studio}/jobs/no-such-job?{token}")
    assert no_such.body() == ours.request.get(f"{studio}{there['job']}?{token}").body(), "one cannot tell"
    assert theirs.request.get(f"{studio}{yours['files'][0]['url']}").ok
    one.close()
    other.close()


def test_a_queue_that_is_full_takes_nothing_more_and_says_when(folder: Path, busy_studio: str, page: Page) -> None:
    page.goto(busy_studio)
    form = {"customer": "x", "what": "y", "quantity": "1", "price": "1"}
    answers = [page.request.post(f"{busy_studio}/invoices", form=form) for _ in range(41)]  # type: ignore[arg-type]
    assert [answer.status for answer in answers] == [202] * 40 + [429]
    refused = answers[-1]
    assert int(refused.headers["retry-after"]) >= 1
    page.get_by_role("button", name="Make the invoice").click()
    card = page.get_by_role("listitem").filter(has_text="Invoice for Ada Lovelace")
    expect(card).to_contain_text(re.compile("You have much waiting already. Please try again in about .+"))
    expect(card).to_contain_text("not taken")
    assert_accessible(page)


def test_a_full_queue_is_told_to_a_browser_without_scripts(busy_studio: str, browser: Browser) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(busy_studio)
    form = {"customer": "x", "what": "y", "quantity": "1", "price": "1"}
    while page.request.post(f"{busy_studio}/invoices", form=form).status == 202:  # type: ignore[arg-type]
        pass
    page.get_by_role("button", name="Make the invoice").click()
    expect(page.get_by_text("You have much waiting already.")).to_be_visible()
    page.get_by_role("link", name="Back").click()
    expect(page.get_by_role("heading", name="Slow work, done elsewhere")).to_be_visible()
    context.close()


def test_a_job_is_cancelled_from_its_card(folder: Path, busy_studio: str, page: Page) -> None:
    page.goto(busy_studio)
    card = write(page, "Not this one", 3)
    expect(card).to_contain_text("Waiting, ")
    card.get_by_role("button", name="Cancel").click()
    expect(card).to_contain_text("cancelled")
    job = card.locator("job-status").get_attribute("job") or ""
    backend = open_backend(f"sqlite:///{folder / 'busy.db'}")
    [record] = backend.get([job])
    assert record is not None and record.state is State.CANCELLED
    backend.close()


def test_who_wants_less_motion_gets_none(busy_studio: str, browser: Browser) -> None:
    for wish, moves in (("no-preference", True), ("reduce", False)):
        context = browser.new_context(reduced_motion=wish)  # type: ignore[arg-type]
        page = context.new_page()
        page.goto(busy_studio)
        card = write(page, f"Calm {wish}", 3)
        bar = card.get_by_role("progressbar")
        expect(bar).to_be_visible()
        assert (bar.evaluate("bar => getComputedStyle(bar).animationName") != "none") is moves
        context.close()
