"""The element in a real browser, against a server that does what it is told: what it shows, and what it does."""

from __future__ import annotations

import gzip
import re

import pytest
from playwright.sync_api import Page, expect

from narrowboat.web import Ask
from narrowboat.web.static import asset
from tests.e2e.element.elements import (
    JOB,
    LISTEN,
    element,
    heard,
    part,
    polls,
    said,
    show,
    show_on_a_stopped_clock,
    streams,
    words,
)
from tests.support.jobs_server import Stage, token_of
from tests.support.processes import wait_for

HOSTILE = '<img src=x onerror="document.title=`run`"><script>document.title="run"</script>\x1b[31m\x07\u202e&amp;'


def test_progress_is_seen_to_move_and_then_the_result(stage: Stage, page: Page) -> None:
    stage.put(JOB)
    show_on_a_stopped_clock(page, stage)
    bar = page.get_by_role("progressbar", name="Your photo")
    expect(words(page)).to_have_text("Waiting, 3 before this one")
    expect(bar).not_to_have_attribute("value", re.compile(""))
    for done in range(5):
        stage.put(JOB, state="running", words=f"Resizing, {done} of 4", progress={"done": done, "total": 4})
        expect(words(page)).to_have_text(f"Resizing, {done} of 4")
        expect(bar).to_have_js_property("value", done / 4)
    expect(part(page, "result")).to_be_hidden()
    stage.put(JOB, state="succeeded", words="Ready", result="/jobs/x/result?token=a")
    link = page.get_by_role("link", name="See the result")
    expect(link).to_have_attribute("href", f"{stage.address}/jobs/x/result?token=a")
    expect(bar).to_have_js_property("value", 1)
    expect(said(page)).to_have_text("Your photo: Ready")
    assert (streams(stage), polls(stage)) == (1, 0)


def test_what_comes_from_the_far_side_is_text(stage: Stage, page: Page) -> None:
    stage.put(
        JOB,
        state="running",
        title=HOSTILE,
        words=HOSTILE,
        error=HOSTILE,
        progress={"done": HOSTILE, "total": HOSTILE, "message": HOSTILE},
        result=HOSTILE,
        extra={"x": HOSTILE},
    )
    show(page, stage, element(label=None))
    for name in ("label", "words", "error"):
        expect(part(page, name)).to_have_js_property("textContent", HOSTILE)
    expect(said(page)).to_contain_text("<script>")
    stage.put(JOB, state="dead", can_cancel=True)
    expect(page.locator("job-status[state=dead]")).to_be_visible()
    assert page.title() == "Jobs"
    assert page.locator("job-status img, job-status script").count() == 0


@pytest.mark.parametrize(
    "place",
    [
        "javascript:document.title='run'",
        " java\tscript:document.title='run'",
        "data:text/html,x",
        "blob:{here}/f81d4fae",
        "https://elsewhere.example/x",
        "//elsewhere.example/x",
        "/\\elsewhere.example/x",
        "http://[",
        "",
    ],
)
def test_a_result_elsewhere_is_no_link(stage: Stage, page: Page, place: str) -> None:
    stage.put(JOB, state="succeeded", words="Ready", result=place.format(here=stage.address))
    show(page, stage)
    expect(words(page)).to_have_text("Ready")
    expect(part(page, "result")).to_be_hidden()
    expect(part(page, "result")).not_to_have_attribute("href", re.compile(""))


def test_cancelling_is_asked_for_with_the_token_and_shown(stage: Stage, page: Page) -> None:
    stage.put(JOB, state="running", words="Working")
    show(page, stage)
    expect(words(page)).to_have_text("Working")
    expect(part(page, "cancel")).to_be_hidden()
    stage.put(JOB, can_cancel=True)
    page.get_by_role("button", name="Cancel").click()
    button = page.get_by_role("button", name="Cancelling")
    expect(button).to_have_attribute("aria-disabled", "true")
    button.click(force=True)
    wait_for("the server to be asked", lambda: stage.jobs[JOB]["cancelling"])
    stage.put(JOB, state="cancelled", words="Cancelled")
    expect(words(page)).to_have_text("Cancelled")
    expect(part(page, "cancel")).to_be_hidden()
    expect(part(page, "bar")).to_be_hidden()
    expect(said(page)).to_have_text("Your photo: Cancelled")
    (asked,) = stage.asked_for("/cancel", "POST")
    assert asked.headers["authorization"] == f"Bearer {token_of(JOB)}"
    assert asked.tokens == []


def test_a_cancel_that_is_refused_says_so_and_can_be_tried_again(stage: Stage, page: Page) -> None:
    stage.put(JOB, state="running", can_cancel=True)
    stage.cancel = 404
    show(page, stage)
    page.get_by_role("button", name="Cancel").click()
    expect(part(page, "error")).to_have_text("It could not be cancelled. Please try again.")
    expect(said(page)).to_contain_text("It could not be cancelled.")
    stage.cancel = 202
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("button", name="Cancelling")).to_be_visible()
    expect(part(page, "error")).to_be_hidden()


def test_an_error_is_shown_without_a_bar(stage: Stage, page: Page) -> None:
    stage.put(JOB, state="dead", words="This did not work", error="The photo is damaged.")
    show(page, stage)
    expect(part(page, "error")).to_have_text("The photo is damaged.")
    expect(part(page, "bar")).to_be_hidden()
    expect(said(page)).to_have_text("Your photo: This did not work The photo is damaged.")


@pytest.mark.parametrize("state", ["succeeded", "dead", "cancelled"])
def test_scripts_hear_of_each_change_once_and_of_the_end(stage: Stage, page: Page, state: str) -> None:
    stage.put(JOB)
    show_on_a_stopped_clock(page, stage)
    expect(words(page)).to_be_visible()
    page.evaluate(LISTEN)
    document = stage.put(JOB, state="running", words="Working")
    stage.send("job", document)
    stage.put(JOB, state=state, words="The end")
    expect(words(page)).to_have_text("The end")
    assert heard(page) == [["job-changed", JOB, "running"], ["job-changed", JOB, state], [f"job-{state}", JOB, state]]
    assert page.locator("job-status").evaluate("element => element.latest.words") == "The end"


def test_its_words_can_be_those_of_another_language(stage: Stage, page: Page) -> None:
    stage.put(JOB, state="succeeded", words="Fertig", result="/x")
    show(page, stage, element(text_result="Ergebnis ansehen"))
    expect(page.get_by_role("link", name="Ergebnis ansehen")).to_be_visible()


def test_the_element_is_small_on_its_way_and_has_nothing_that_runs_text() -> None:
    sent = asset("job-status.js", Ask({"accept-encoding": "gzip, br"}))
    assert isinstance(sent.body, bytes) and sent.header("content-encoding") == "gzip"
    assert len(sent.body) <= 4_300
    script = gzip.decompress(sent.body)
    assert script == asset("job-status.js", Ask()).body
    assert asset("job-status.js", Ask({"if-none-match": sent.header("etag") or ""})).status == 304
    assert not re.search(rb"innerHTML|insertAdjacentHTML|\beval\b|new Function|\bimport\b", script)
