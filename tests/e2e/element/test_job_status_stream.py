"""How elements hear of their jobs: one stream for all, and what happens when it does not come."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.element.elements import (
    JOB,
    LISTEN,
    Polls,
    element,
    heard,
    hide,
    let_elements_gather,
    let_time_pass,
    part,
    polls,
    show,
    show_on_a_stopped_clock,
    stop_the_clock,
    streams,
    words,
)
from tests.support.jobs_server import Stage, token_of
from tests.support.processes import wait_for


def test_a_stream_that_is_cut_four_times_ends_with_the_right_count(stage: Stage, page: Page) -> None:
    stage.put(JOB, state="running")
    show(page, stage)
    for cut in range(1, 5):
        wait_for("a stream", lambda: stage.streams)
        stage.cut()
        stage.put(JOB, words=f"{cut * 10} of 50", progress={"done": cut * 10, "total": 50})
        expect(words(page)).to_have_text(f"{cut * 10} of 50")
    stage.put(JOB, state="succeeded", words="50 of 50")
    expect(words(page)).to_have_text("50 of 50")
    assert streams(stage) == 5
    wait_for("the end of the stream", lambda: not stage.streams)


def test_many_elements_use_one_connection_and_close_it_when_all_have_ended(stage: Stage, page: Page) -> None:
    jobs = [f"shop.thumbnail:{n}" for n in range(30)]
    for job in jobs:
        stage.put(job, words=f"This is {job}")
    show_on_a_stopped_clock(page, stage, *(element(job) for job in jobs))
    for job in jobs:
        expect(words(page, job)).to_have_text(f"This is {job}")
    assert [asked.tokens for asked in stage.asked] == [[token_of(job) for job in jobs]]
    for job in jobs:
        stage.put(job, state="succeeded", words="Ready")
    expect(page.locator("job-status[state=succeeded]")).to_have_count(30)
    wait_for("the end of the stream", lambda: not stage.streams)
    assert [(asked.path, len(asked.tokens)) for asked in stage.asked] == [("/jobs/events", 30)]


def test_two_elements_of_one_job_ask_for_it_once(stage: Stage, page: Page) -> None:
    stage.put(JOB, words="Seen twice")
    show_on_a_stopped_clock(page, stage, element(), element())
    expect(words(page)).to_have_text(["Seen twice", "Seen twice"])
    assert [asked.tokens for asked in stage.asked] == [[token_of(JOB)]]


def test_elements_that_come_together_reopen_the_stream_once_and_without_what_has_ended(
    stage: Stage, page: Page
) -> None:
    for job in ("a", "b", "c", "d"):
        stage.put(job)
    show_on_a_stopped_clock(page, stage, element("a"), element("b"))
    expect(words(page, "b")).to_be_visible()
    stage.put("a", state="succeeded", words="Ready")
    expect(words(page, "a")).to_have_text("Ready")
    let_elements_gather(page)
    page.evaluate(
        """() => {
            for (const job of ["c", "d"]) {
                const element = document.createElement("job-status");
                element.setAttribute("job", job);
                element.setAttribute("token", `${job}+a/b=&c`);
                document.querySelector("main").append(element);
            }
        }"""
    )
    let_elements_gather(page)
    expect(words(page, "d")).to_be_visible()
    assert [asked.tokens for asked in stage.asked] == [
        [token_of("a"), token_of("b")],
        [token_of("b"), token_of("c"), token_of("d")],
    ]
    wait_for("the end of the first stream", lambda: len(stage.streams) == 1)


def test_jobs_for_which_an_address_has_no_room_are_polled(stage: Stage, page: Page) -> None:
    jobs = [f"{n}-{'x' * 400}" for n in range(20)]
    for job in jobs:
        stage.put(job)
    show_on_a_stopped_clock(page, stage, *(element(job) for job in jobs))
    wait_for("the stream", lambda: stage.asked_for("/events"))
    (asked,) = stage.asked_for("/events")
    assert 10 < len(asked.tokens) < 20
    expect(page.locator("job-status[state=queued]")).to_have_count(len(asked.tokens))
    page.clock.run_for(5000)
    expect(page.locator("job-status[state=queued]")).to_have_count(20)
    assert all(polls(stage, job) == 0 for job in jobs if token_of(job) in asked.tokens)


@pytest.mark.parametrize("refusal", [404, 503, "broken"])
def test_it_polls_when_the_stream_is_refused_or_breaks_three_times(
    stage: Stage, page: Page, refusal: str | int
) -> None:
    stage.events = refusal
    stage.put(JOB, state="running", words="1 of 2")
    show(page, stage)
    expect(words(page)).to_have_text("1 of 2")
    times = 3 if refusal == "broken" else 1
    wait_for("the streams", lambda: streams(stage) == times)
    wait_for("a conditional request", lambda: polls(stage) > 1)
    assert stage.asked_for(f"/{JOB}")[1].headers["if-none-match"] == '"1"'
    stage.put(JOB, state="succeeded", words="2 of 2")
    expect(words(page)).to_have_text("2 of 2")


def test_it_polls_when_a_proxy_holds_the_stream_back(stage: Stage, page: Page) -> None:
    stage.events = "held"
    stage.put(JOB, words="Waiting")
    show(page, stage)
    expect(words(page)).to_have_text("Waiting")
    stage.put(JOB, state="succeeded", words="Ready")
    expect(words(page)).to_have_text("Ready")


def test_after_a_while_the_stream_is_tried_again_and_polling_ends(stage: Stage, page: Page) -> None:
    stop_the_clock(page)
    asked = Polls(page)
    stage.events = 503
    stage.put(JOB, words="Polled")
    show(page, stage)
    let_time_pass(page, "a poll", words(page).is_visible)
    expect(words(page)).to_have_text("Polled")
    stage.events = "open"
    let_time_pass(page, "a second stream", lambda: stage.streams, step_ms=100)
    stage.put(JOB, words="Streamed")
    expect(words(page)).to_have_text("Streamed")
    page.clock.run_for(5000)  # a poll may have been under way
    before = asked.end()
    page.clock.run_for(60_000)
    stage.put(JOB, words="Still streamed")
    expect(words(page)).to_have_text("Still streamed")
    assert (asked.end(), streams(stage)) == (before, 2)


def test_a_stream_that_died_without_an_error_is_found_out_and_one_that_works_is_left_alone(
    stage: Stage, page: Page
) -> None:
    asked = Polls(page)
    stage.put(JOB, words="Before")
    show_on_a_stopped_clock(page, stage)
    expect(words(page)).to_be_visible()

    def seconds_to_the_next_poll() -> int:
        before = asked.end()
        for second in range(400):
            if asked.begun > before:
                asked.end()  # while it is under way, the clock stands
                return second
            page.clock.run_for(1000)
        raise AssertionError("there was no poll")

    assert seconds_to_the_next_poll() >= 119
    assert seconds_to_the_next_poll() >= 119
    stage.events = "held"
    stage.put(JOB, words="After")
    assert seconds_to_the_next_poll() >= 119
    expect(words(page)).to_have_text("After")
    assert seconds_to_the_next_poll() < 30
    assert seconds_to_the_next_poll() < 30
    assert streams(stage) == 1


def test_a_server_in_need_is_left_alone_for_as_long_as_it_asks(stage: Stage, page: Page) -> None:
    stage.events, stage.poll, stage.retry_after = "held", 503, "40"
    stage.put(JOB, words="Ready soon")
    show_on_a_stopped_clock(page, stage)
    wait_for("a stream that says nothing", lambda: stage.streams)
    with page.expect_response(lambda answer: answer.status == 503):
        page.clock.run_for(5000)
    expect(words(page)).to_be_hidden()
    page.clock.run_for(38_000)
    assert polls(stage) == 1
    stage.poll = 200
    let_time_pass(page, "an answer", words(page).is_visible, step_ms=1000)
    expect(words(page)).to_have_text("Ready soon")


def test_a_refused_stream_is_no_reason_to_ask_a_server_in_need_earlier(stage: Stage, page: Page) -> None:
    stage.events, stage.poll, stage.retry_after = 503, 503, "60"
    stage.put(JOB, words="Ready soon")
    refused = list[int]()
    page.on("response", lambda answer: refused.append(answer.status) if "/events" in answer.url else None)
    show_on_a_stopped_clock(page, stage)
    let_time_pass(page, "a poll", lambda: polls(stage) == 1, step_ms=100)
    let_time_pass(page, "the stream to be refused again", lambda: len(refused) == 2, step_ms=1000)
    page.clock.run_for(20_000)
    assert polls(stage) == 1
    stage.poll = 200
    let_time_pass(page, "an answer", words(page).is_visible, step_ms=1000)


def test_a_server_that_restarts_says_bye_and_is_found_again(stage: Stage, page: Page) -> None:
    page.add_init_script("Math.random = () => 0.5")  # pages come back at random times, and some poll before
    stage.put(JOB, words="Before")
    show_on_a_stopped_clock(page, stage)
    expect(words(page)).to_have_text("Before")
    stage.send("bye")
    wait_for("the end of the stream", lambda: not stage.streams)
    stage.put(JOB, words="After")
    page.clock.run_for(2000)
    expect(words(page)).to_have_text("After")
    assert (streams(stage), polls(stage)) == (2, 0)


def test_nobody_is_watched_while_the_tab_is_hidden(stage: Stage, page: Page) -> None:
    stage.put(JOB, words="Before")
    show_on_a_stopped_clock(page, stage)
    expect(words(page)).to_have_text("Before")
    hide(page, True)
    wait_for("the end of the stream", lambda: not stage.streams)
    stage.put(JOB, words="Meanwhile")
    expect(words(page)).to_have_text("Before")
    hide(page, False)
    expect(words(page)).to_have_text("Meanwhile")
    assert (streams(stage), polls(stage)) == (2, 0)


def test_polling_pauses_while_the_tab_is_hidden(stage: Stage, page: Page) -> None:
    stop_the_clock(page)
    stage.events = 503
    stage.put(JOB)
    show(page, stage)
    let_time_pass(page, "a poll", words(page).is_visible)
    hide(page, True)
    before = len(stage.asked)
    page.clock.run_for(400_000)
    page.request.get(stage.address)
    assert len(stage.asked) == before
    stage.put(JOB, words="Back")
    stage.events = "open"
    hide(page, False)
    expect(words(page)).to_have_text("Back")


def test_an_older_document_is_ignored_and_one_of_the_same_revision_is_not(stage: Stage, page: Page) -> None:
    stage.put(JOB, revision=7, words="Seven")
    show_on_a_stopped_clock(page, stage)
    expect(words(page)).to_have_text("Seven")
    page.evaluate("document.addEventListener('job-changed', ({ detail }) => (document.title += `, ${detail.words}`))")
    stage.send("job", stage.jobs[JOB] | {"revision": 6, "words": "Six"})
    stage.send("job", stage.jobs[JOB] | {"id": "another", "revision": 9, "words": "Nine"})
    stage.send("job", stage.jobs[JOB] | {"words": "Two before this one"})
    stage.send("job", stage.jobs[JOB] | {"revision": 6, "words": "Six"})
    stage.put(JOB, state="dead", words="Did not work", error="Too large.")
    expect(words(page)).to_have_text("Did not work")
    assert page.title() == "Jobs, Two before this one, Did not work"


def test_a_job_that_may_not_be_seen_is_lost_and_the_others_are_not(stage: Stage, page: Page) -> None:
    page.add_init_script(f"({LISTEN})()")
    stage.put(JOB, words="Working")
    show(page, stage, element(), element("gone", fallback="<p>Waiting</p>"))
    expect(words(page)).to_have_text("Working")
    expect(words(page, "gone")).to_have_text("This job cannot be shown any more.")
    expect(page.get_by_text("Waiting")).to_be_hidden()
    assert ["job-lost", "gone", "lost"] in heard(page)
    stage.put(JOB, words="Still here")
    expect(words(page)).to_have_text("Still here")
    assert polls(stage, "gone") == 1
    stage.put("gone", words="Found")
    page.locator("job-status").last.evaluate("element => element.setAttribute('token', 'gone+a/b=&c&')")
    page.locator("job-status").last.evaluate("element => element.setAttribute('token', 'gone+a/b=&c')")
    expect(words(page, "gone")).to_have_text("Found")


def test_an_element_follows_its_attributes_and_leaves_with_its_page(stage: Stage, page: Page) -> None:
    stage.put("a", words="This is a")
    stage.put("b", words="This is b")
    show_on_a_stopped_clock(page, stage, element("a", fallback="Nothing yet"), element("b"))
    expect(words(page, "a")).to_have_text("This is a")
    first = page.locator("job-status").first
    first.evaluate("element => element.setAttribute('label', 'Another name')")
    expect(part(page, "label", "a")).to_have_text("Another name")
    first.evaluate("element => document.body.append(element)")
    let_elements_gather(page)
    stage.put("a", words="Moved")
    expect(words(page, "a")).to_have_text("Moved")
    assert streams(stage) == 1, "moving it about costs nothing"
    moved = page.locator("job-status").last
    moved.evaluate("element => { element.setAttribute('job', 'c'); element.setAttribute('token', 'c+a/b=&c'); }")
    expect(page.get_by_text("Nothing yet")).to_be_visible()
    let_elements_gather(page)
    wait_for("a stream without a", lambda: stage.asked[-1].tokens == [token_of("b"), token_of("c")])
    page.evaluate("document.querySelectorAll('job-status').forEach(element => element.remove())")
    let_elements_gather(page)
    wait_for("the end of the streams", lambda: not stage.streams)


def test_ids_are_written_into_addresses_safely(stage: Stage, page: Page) -> None:
    job = "shop.é&b?c#d:1 2"
    stage.events = 503
    stage.put(job, words="Found", can_cancel=True)
    show(page, stage, element(job))
    expect(words(page, job)).to_have_text("Found")
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("button", name="Cancelling")).to_be_visible()
    wait_for("the server to be asked", lambda: stage.jobs[job]["cancelling"])
