"""Pages with `<job-status>` on them, and what to look at there."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Locator, Page, Request, Response

from tests.support.jobs_server import Stage, token_of
from tests.support.processes import wait_for

JOB = "shop.thumbnail:01J9"


def element(job: str = JOB, label: str | None = "Your photo", fallback: str = "", **attributes: str) -> str:
    given: dict[str, Any] = {"job": job, "token": token_of(job), "label": label, **attributes}
    words = " ".join(
        f'{name.replace("_", "-")}="{escape(value)}"' for name, value in given.items() if value is not None
    )
    return f"<job-status {words}>{fallback}</job-status>"


def show(page: Page, stage: Stage, *elements: str) -> None:
    stage.body = f"<main><h1>Jobs</h1>{''.join(elements or [element()])}</main>"
    page.goto(stage.address)


def part(page: Page, name: str, job: str = JOB) -> Locator:
    return page.locator(f'job-status[job="{job}"] [part={name}]')


def words(page: Page, job: str = JOB) -> Locator:
    return part(page, "words", job)


def said(page: Page) -> Locator:
    return page.locator("job-status [role=status]")


def hide(page: Page, hidden: bool) -> None:
    """As if the person had gone to another tab, or come back."""
    page.evaluate(
        """hidden => {
            Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
            document.dispatchEvent(new Event("visibilitychange"));
        }""",
        hidden,
    )


def stop_the_clock(page: Page) -> None:
    """For the page, before it is opened. From then on its time goes by with `page.clock.run_for` only."""
    page.clock.install(time=0)
    page.clock.pause_at(1)


def show_on_a_stopped_clock(page: Page, stage: Stage, *elements: str) -> None:
    """What is seen then comes by the stream: however long that takes, no time passes after which a page would poll."""
    stop_the_clock(page)
    show(page, stage, *elements)
    let_elements_gather(page)


def let_elements_gather(page: Page) -> None:
    """On a stopped clock: those that come or go together have one stream, a moment later."""
    page.clock.run_for(100)


def let_time_pass(page: Page, what: str, condition: Callable[[], object], step_ms: int = 10) -> None:
    """On a stopped clock, until something has happened. In steps of 10 ms it goes by no faster than the real one, so
    that a server that takes its time is not taken for one that says nothing."""
    wait_for(what, lambda: page.clock.run_for(step_ms) or condition())


class Polls:
    """How many of one job a page has begun, and how many were answered."""

    def __init__(self, page: Page) -> None:
        self.page, self.begun, self.answered = page, 0, 0
        page.on("request", lambda request: self._count(request, begun=1))
        page.on("response", lambda answer: self._count(answer, answered=1))  # a 304 has no body whose end would be told

    def end(self) -> int:
        """Wait for what is under way; how many there were."""
        wait_for("the answers", lambda: self.page.title() and self.answered == self.begun)
        return self.begun

    def _count(self, request: Request | Response, begun: int = 0, answered: int = 0) -> None:
        if "/jobs/shop." in request.url:
            self.begun += begun
            self.answered += answered


def polls(stage: Stage, job: str = JOB) -> int:
    return len(stage.asked_for(f"/{job}"))


def streams(stage: Stage) -> int:
    return len(stage.asked_for("/events"))


def assert_accessible(page: Page) -> None:
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()


STATES: dict[str, dict[str, Any]] = {
    "queued": {"can_cancel": True},
    "scheduled": {"state": "scheduled", "words": "Trying again in 20 s: the mail server is away"},
    "running": {
        "state": "running",
        "words": "Resizing, 3 of 5, about 20 s left",
        "progress": {"done": 3, "total": 5, "message": "resizing"},
        "can_cancel": True,
    },
    "cancelling": {"state": "running", "words": "Cancelling", "can_cancel": True, "cancelling": True},
    "succeeded": {"state": "succeeded", "words": "Ready, 4 s after it was sent", "result": "/jobs/x/result"},
    "dead": {"state": "dead", "words": "This did not work", "error": "The photo is damaged, and cannot be read."},
    "cancelled": {"state": "cancelled", "words": "Cancelled"},
}


def status_page(job: str) -> str:
    """The plain page of a job, which the element enhances."""
    fallback = (
        '<progress max="5" value="3" aria-label="Progress">3 of 5</progress>'
        '<p class="words">Resizing, 3 of 5</p><p class="error">It is slow today.</p>'
        '<p class="place">Nobody is before you.</p><p><a href="/jobs/x/result">See the result</a></p>'
        '<form method="post" action="/jobs/x/cancel"><button>Cancel</button></form>'
    )
    shown = element(job, label=None, fallback=fallback)
    return f'<main><article class="job"><h1>A photo of {"Llanfairpwllgwyngyll" * 4}</h1>{shown}</article></main>'


LISTEN = """() => {
    window.heard = [];
    const hear = ({ type, detail }) => window.heard.push([type, detail.id ?? null, detail.state]);
    for (const name of ["changed", "succeeded", "dead", "cancelled", "lost"])
        document.addEventListener(`job-${name}`, hear);
}"""


def heard(page: Page) -> list[list[str]]:
    return page.evaluate("window.heard")
