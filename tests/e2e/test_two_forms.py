"""The story that the studio tells: Form 1 does the work inside the request, Form 2 puts it on the queue."""

from __future__ import annotations

import contextlib
import http.client
import json
import signal
import time
from collections.abc import Generator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.support.processes import wait_for

from .studio_pages import assert_accessible, send, web_server

LONG = 100_000  # ms: a dozen times 24 megapixels, on a machine that others use, too


def cell(page: Page, name: str) -> Locator:
    return page.locator(f"[data-cell={name}]")


def seconds(page: Page, name: str) -> float:
    number, unit = cell(page, name).inner_text().split()
    return float(number) / {"ms": 1000, "s": 1}[unit]


def send_crowd(page: Page, form: int) -> None:
    button = page.get_by_role("button", name=f"Send them to Form {form}")
    expect(button).not_to_have_attribute("aria-disabled", "true", timeout=LONG)
    button.click()


def asked(page: Page, address: str) -> None:
    """Wait until nobody is under way."""
    wait_for("the crowd to be gone", lambda: page.request.get(f"{address}/crowd").json()["running"] is None, 100)


def test_form_1_makes_everybody_wait_and_form_2_nobody(studio: str, page: Page) -> None:
    page.goto(studio)
    send_crowd(page, 1)
    expect(page.locator("#threads .tile[data-busy]").filter(has_text="thumbnails for Form 1")).to_have_count(4)
    expect(page.locator("#line")).to_contain_text("for a thread")
    expect(page.locator("#beat[data-late]")).to_contain_text("heartbeat")
    assert_accessible(page)
    expect(cell(page, "pictures-1")).to_have_text("12 of 12", timeout=LONG)
    expect(page.locator("#said")).to_contain_text("this page's slowest heartbeat was", timeout=LONG)
    send_crowd(page, 2)
    expect(page.locator("#workers .tile[data-busy]").filter(has_text="Thumbnails of a photo").first).to_be_visible()
    expect(cell(page, "answered-2")).to_have_text("12 of 12", timeout=LONG)
    assert_accessible(page)
    expect(cell(page, "pictures-2")).to_have_text("12 of 12", timeout=LONG)
    expect(page.locator("#said")).to_contain_text("at Form 2", timeout=LONG)
    # The slowest of many, on a machine on which anything may stand still for a moment: were Form 2 like Form 1, they
    # would be about the same.
    assert seconds(page, "beat-1") > 2 * seconds(page, "beat-2"), "everybody else"
    assert seconds(page, "slowest_s-1") > 2 * seconds(page, "slowest_s-2"), "the dozen"
    assert seconds(page, "pictures_s-2") > seconds(page, "slowest_s-2"), "the work itself takes its time there, too"
    expect(page.locator("#chart canvas")).to_have_count(1)


def test_the_view_of_the_threads_has_a_door_of_its_own(studio: str, page: Page) -> None:
    asked(page, studio)
    assert page.request.post(f"{studio}/crowd", form={"form": "1"}).status == 202
    full = lambda: page.request.get(f"{studio}/crowd").json()["waiting"] > 0  # noqa: E731
    wait_for("the threads to be taken", full)
    assert page.request.get(f"{studio}/static/studio.css").ok
    assert full(), "static files came while others still waited for a thread"
    assert page.request.post(f"{studio}/crowd", form={"form": "2"}).status == 409, "one dozen at a time"

    def heartbeat() -> float:
        began = time.monotonic()
        assert page.request.get(f"{studio}/heartbeat", timeout=LONG).ok
        return time.monotonic() - began

    waited = heartbeat()
    asked(page, studio)
    assert waited > 4 * min(heartbeat() for _ in range(5)), "an ordinary route waits in line"
    assert page.request.post(f"{studio}/crowd", form={"form": "3"}).status == 400


def test_form_1_gives_the_same_pictures_to_who_waits(studio: str, page: Page, photo: Path, tmp_path: Path) -> None:
    page.goto(studio)
    page.get_by_label("Choose a photo").set_input_files(str(photo))
    page.get_by_role("button", name="Wait for thumbnails").click()
    card = page.get_by_role("listitem").filter(has_text=photo.name)
    expect(card).to_contain_text("Done, inside the request.")
    for picture in card.get_by_role("img").all():
        picture.scroll_into_view_if_needed()
        expect(picture).to_have_js_property("complete", True)
        assert picture.evaluate("picture => picture.naturalWidth") > 0
    assert card.get_by_role("img").count() == 4
    (tmp_path / "notes.jpg").write_text("not a picture")
    notes = {"name": "notes.jpg", "mimeType": "image/jpeg", "buffer": b"not a picture"}
    answer = page.request.post(f"{studio}/inside", multipart={"photo": notes})  # type: ignore[dict-item]
    assert (answer.status, answer.json()["error"]) == (400, "This file is not a picture that we can read.")
    assert page.request.get(f"{studio}/inside/nothing/0").status == 404


def test_both_forms_and_both_crowds_work_without_javascript(studio: str, browser: Browser, photo: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    asked(page, studio)
    page.goto(studio)
    page.get_by_label("Choose a photo").set_input_files(str(photo))
    page.get_by_role("button", name="Wait for thumbnails").click()
    expect(page.get_by_role("heading", name="Made inside the request")).to_be_visible()
    expect(page.get_by_role("img", name="WebP")).to_be_visible()
    page.get_by_role("link", name="Something else").click()
    page.get_by_role("button", name="Send them to Form 2").click()
    expect(page.get_by_role("heading", name="A dozen people at once")).to_be_visible()
    expect(cell(page, "pictures-2")).to_have_text("12 of 12", timeout=LONG)
    asked(page, studio)
    context.close()


def test_the_keyboard_is_enough_to_send_a_dozen_people(studio: str, page: Page) -> None:
    asked(page, studio)
    page.goto(studio)
    button = page.get_by_role("button", name="Send them to Form 2")
    for _ in range(20):
        page.keyboard.press("Tab")
        if button.evaluate("button => button === document.activeElement"):
            break
    with page.expect_response(lambda answer: answer.request.method == "POST" and answer.url.endswith("/crowd")):
        page.keyboard.press("Enter")  # an earlier dozen may still stand on the page
    expect(cell(page, "answered-2")).to_have_text("12 of 12", timeout=LONG)
    asked(page, studio)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_is_accessible_and_fits_a_telephone_while_a_crowd_is_there(
    studio: str, browser: Browser, scheme: str
) -> None:
    context = browser.new_context(color_scheme=scheme, viewport={"width": 360, "height": 700})  # type: ignore[arg-type]
    page = context.new_page()
    asked(page, studio)
    page.goto(studio)
    send_crowd(page, 2)
    expect(page.locator("#workers .tile[data-busy]").first).to_be_visible(timeout=LONG)
    assert_accessible(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    asked(page, studio)
    context.close()


def test_strangers_see_what_kind_of_work_is_done_and_not_whose(
    studio: str, browser: Browser, page: Page, photo: Path, tmp_path: Path
) -> None:
    asked(page, studio)
    private = [tmp_path / f"our-daughter-{number}.jpg" for number in range(6)]  # so many that one is seen in work
    for path in private:
        path.write_bytes(photo.read_bytes())
    stranger = browser.new_page()
    stranger.goto(studio)
    expect(stranger.locator("#workers")).to_be_visible()  # it listens
    send(page, studio, *private)
    expect(stranger.locator("#workers")).to_contain_text("Thumbnails of a photo")
    assert "daughter" not in stranger.content()
    stranger.close()


def test_open_pages_are_told_goodbye_and_the_server_stops_at_once(folder: Path) -> None:
    cut_after_s = 60  # what still runs then is cut off, and the log says so
    until_cut = ["--timeout-graceful-shutdown", str(cut_after_s)]
    with web_server(folder, "stopping", f"sqlite:///{folder / 'studio.db'}", *until_cut) as (web, address):
        with contextlib.ExitStack() as all_of_them:
            streams = [all_of_them.enter_context(opened(f"{address}/live")) for _ in range(20)]
            began = time.monotonic()
            web.send_signal(signal.SIGTERM)
            assert all(b"event: bye" in stream.read() for stream in streams)
        assert web.wait(2 * cut_after_s) in (0, -signal.SIGTERM)
        assert time.monotonic() - began < cut_after_s / 2
    assert (folder / "stopping.log").read_text() == ""


@contextlib.contextmanager
def opened(url: str) -> Generator[http.client.HTTPResponse]:
    """A stream of which the first documents have come."""
    place = urlsplit(url)
    with contextlib.closing(http.client.HTTPConnection(place.hostname or "", place.port, timeout=60)) as connection:
        connection.request("GET", place.path)
        with connection.getresponse() as stream:
            assert stream.getheader("x-accel-buffering") == "no"
            while not (line := stream.readline()).startswith(b"data:"):
                pass
            assert json.loads(line.removeprefix(b"data:"))["now"] > 0
            yield stream
