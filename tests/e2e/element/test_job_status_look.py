"""The element and the plain page of a job: for eyes, ears and hands of every kind."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e.element.elements import (
    JOB,
    STATES,
    assert_accessible,
    element,
    part,
    polls,
    said,
    show,
    show_on_a_stopped_clock,
    status_page,
    words,
)
from tests.support.jobs_server import Stage
from tests.support.processes import wait_for


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_state_is_accessible_in_both_colour_schemes(stage: Stage, browser: Browser, scheme: str) -> None:
    for job, changes in STATES.items():
        stage.put(job, **changes)
    context = browser.new_context(color_scheme=scheme, viewport={"width": 390, "height": 844})  # type: ignore[arg-type]
    page = context.new_page()
    show(page, stage, *(element(job, label=f"Photo {n}") for n, job in enumerate([*STATES, "lost"])))
    expect(page.locator("job-status[state]")).to_have_count(len(STATES) + 1)
    assert_accessible(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("script", [True, False])
def test_the_status_page_is_accessible_and_fits_a_telephone(
    stage: Stage, browser: Browser, scheme: str, script: bool
) -> None:
    stage.put(JOB, **STATES["running"])
    context = browser.new_context(color_scheme=scheme, viewport={"width": 320, "height": 640}, bypass_csp=not script)  # type: ignore[arg-type]
    page = context.new_page()
    if not script:
        page.route("**/*.js", lambda route: route.fulfill(body="", content_type="text/javascript"))
    stage.body = status_page(JOB)
    page.goto(stage.address)
    expect(words(page) if script else page.locator("p.words")).to_be_visible()
    expect(page.get_by_role("progressbar")).to_have_count(1)
    expect(page.get_by_role("button", name="Cancel")).to_have_count(1)
    assert_accessible(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    context.close()


def test_nothing_moves_for_those_who_ask_for_that_and_forced_colours_are_respected(
    stage: Stage, browser: Browser
) -> None:
    stage.put(JOB)
    style = "bar => [getComputedStyle(bar).animationName, getComputedStyle(bar).borderStyle]"
    found = []
    for motion, colours in (("no-preference", "none"), ("reduce", "none"), ("reduce", "active")):
        context = browser.new_context(reduced_motion=motion, forced_colors=colours)  # type: ignore[arg-type]
        page = context.new_page()
        show(page, stage)
        expect(part(page, "bar")).to_be_visible()
        found.append(part(page, "bar").evaluate(style))
        context.close()
    assert found == [["drift", "none"], ["none", "none"], ["none", "solid"]]


def test_it_takes_the_colours_of_its_page(stage: Stage, page: Page) -> None:
    stage.put(JOB, state="succeeded", words="Ready", result="/x")
    show(page, stage)
    page.evaluate("document.documentElement.style.setProperty('--job-status-accent', 'rgb(1, 2, 3)')")
    expect(part(page, "result")).to_have_css("color", "rgb(1, 2, 3)")


def test_the_fallback_is_there_without_javascript_and_until_there_is_news(stage: Stage, browser: Browser) -> None:
    stage.put(JOB, words="Working")
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    show(page, stage, element(fallback='<a href="/jobs/x">Watch it</a>'))
    expect(page.get_by_role("link", name="Watch it")).to_be_visible()
    context.close()
    context = browser.new_context()
    page = context.new_page()
    stage.events, stage.poll = 503, 503
    show(page, stage, element(fallback='<a href="/jobs/x">Watch it</a>'))
    wait_for("a poll", lambda: polls(stage))
    expect(page.get_by_role("link", name="Watch it")).to_be_visible()
    stage.poll = 200
    expect(words(page)).to_have_text("Working")
    expect(page.get_by_role("link", name="Watch it")).to_be_hidden()
    context.close()


def test_the_keyboard_is_enough_and_the_focus_stays(stage: Stage, page: Page) -> None:
    stage.put(JOB, state="running", can_cancel=True, result="/jobs/x/result")
    show(page, stage)
    expect(part(page, "cancel")).to_be_visible()
    page.keyboard.press("Tab")
    expect(part(page, "result")).to_be_focused()
    page.keyboard.press("Tab")
    expect(part(page, "cancel")).to_be_focused()
    assert part(page, "cancel").evaluate("button => getComputedStyle(button).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    expect(part(page, "cancel")).to_have_text("Cancelling")
    wait_for("the server to be asked", lambda: stage.jobs[JOB]["cancelling"])
    stage.put(JOB, words="Stopping")
    expect(words(page)).to_have_text("Stopping")
    expect(part(page, "cancel")).to_be_focused()


def test_it_is_said_aloud_now_and_then_and_always_at_the_end(stage: Stage, page: Page) -> None:
    stage.put(JOB, state="running", words="0 of 100", progress={"done": 0, "total": 100})
    show_on_a_stopped_clock(page, stage)
    expect(said(page)).to_have_text("Your photo: 0 of 100")

    def progress(done: int) -> None:
        stage.put(JOB, words=f"{done} of 100", progress={"done": done, "total": 100})
        expect(words(page)).to_have_text(f"{done} of 100")

    progress(50)
    expect(said(page)).to_have_text("Your photo: 0 of 100")
    page.clock.run_for(1500)
    progress(51)
    expect(said(page)).to_have_text("Your photo: 51 of 100")
    page.clock.run_for(1500)
    progress(52)
    expect(said(page)).to_have_text("Your photo: 51 of 100")
    page.clock.run_for(3600)
    expect(said(page)).to_have_text("Your photo: 52 of 100")
    stage.put(JOB, state="succeeded", words="Ready")
    expect(said(page)).to_have_text("Your photo: Ready")
