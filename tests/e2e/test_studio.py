"""The studio as its user sees it: real web, real worker, real browser."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from examples.studio.hostile import ATTACKS
from examples.studio.sketches import HAS_MAGICK
from narrowboat import App, State, kernel
from narrowboat.backends.base import Filter
from narrowboat.backends.urls import open_backend
from tests.support.processes import ROOT, wait_for

from .studio_pages import assert_accessible, send

SEEN = """
window.seen = {};
addEventListener("job-changed", ({ detail: job }) => job.progress && (seen[job.id] ??= []).push(job.progress.done));
"""


def test_a_photo_becomes_four_pictures_while_one_watches(studio: str, page: Page, photo: Path, tmp_path: Path) -> None:
    page.add_init_script(SEEN)
    others = [tmp_path / f"other-{number}.jpg" for number in range(3)]
    for other in others:
        other.write_bytes(photo.read_bytes())
    send(page, studio, photo, *others)
    card = page.get_by_role("listitem").filter(has_text=photo.name)
    expect(card.get_by_role("progressbar")).to_be_visible()
    expect(card).to_contain_text(re.compile(r"Ready [\d.]+ s after"))
    expect(page.locator("#list > [data-state=succeeded]")).to_have_count(4)
    seen = page.evaluate("seen").values()
    assert all(steps == sorted(steps) for steps in seen), "the progress moved only forwards"
    # A page is told the latest only: while a busy machine lets the web server wait, a whole photo may be done.
    assert any(len(set(steps)) >= 3 for steps in seen), "the progress moved"
    expect(card.get_by_role("img")).to_have_count(4)
    for picture in card.get_by_role("img").all():
        picture.scroll_into_view_if_needed()
        expect(picture).to_have_js_property("complete", True)
        assert picture.evaluate("picture => picture.naturalWidth") > 0
    expect(card.get_by_role("status")).to_contain_text(f"{photo.name}: Done")
    assert_accessible(page)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_form_is_accessible_in_both_colour_schemes_and_narrow(studio: str, browser: Browser, scheme: str) -> None:
    context = browser.new_context(color_scheme=scheme, viewport={"width": 360, "height": 700})  # type: ignore[arg-type]
    page = context.new_page()
    page.goto(studio)
    assert_accessible(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    context.close()


def test_it_works_without_javascript(studio: str, browser: Browser, photo: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    send(page, studio, photo)
    expect(page.get_by_role("heading", name="Your photo")).to_be_visible()
    expect(page.get_by_text("Done", exact=True)).to_be_visible()
    expect(page.get_by_role("img", name="1600.webp")).to_be_visible()
    expect(page.get_by_role("img")).to_have_count(4)
    page.get_by_role("link", name="Back").click()
    page.get_by_role("button", name="Make the invoice").click()
    expect(page.get_by_role("heading", name="Your invoice")).to_be_visible()
    expect(page.get_by_role("link", name=re.compile("invoice-.*pdf"))).to_be_visible()
    context.close()


def fill(page: Page, **fields: str) -> None:
    for label, value in fields.items():
        page.get_by_label(label, exact=True).fill(value)


def test_an_order_becomes_an_accessible_pdf(studio: str, folder: Path, page: Page) -> None:
    page.goto(studio)
    fill(page, Customer="Grace #strong[Hopper] $x$", What='Nanoseconds "by the foot"', Quantity="3")
    page.get_by_role("button", name="Make the invoice").click()
    card = page.get_by_role("listitem").filter(has_text="Invoice for Grace #strong[Hopper]")
    link = card.get_by_role("link", name=re.compile(r"Invoice \d{4}"))
    expect(link).to_be_visible()
    expect(card).to_contain_text(re.compile(r"PDF, \d+ KB"))
    answer = page.request.get(f"{studio}{link.get_attribute('href')}")
    assert answer.headers["content-type"] == "application/pdf"
    assert answer.headers["content-disposition"].startswith("attachment")
    content = answer.body()
    assert content.startswith(b"%PDF-") and b"pdfuaid:part" in content
    assert link.inner_text().encode() in content, "its title"
    assert_accessible(page)
    order = {"customer": "x", "what": "y", "quantity": "1", "price": "1"}
    place = page.request.post(f"{studio}/invoices", form=order).json()["status"]  # type: ignore[arg-type]
    page.goto(f"{studio}{place}")  # the plain page, with the element in it, which goes on to the result
    expect(page.get_by_role("heading", name="Your invoice")).to_be_visible()
    assert_accessible(page)


def test_what_a_stranger_orders_is_data_and_never_a_part_of_the_template(tmp_path: Path) -> None:
    import typst

    items = [{"text": '#read("/etc/passwd")', "quantity": 1, "price": 5}]
    order = json.dumps({"number": 1, "customer": "#panic(1) = *x*", "items": items})
    template = ROOT / "examples" / "studio" / "invoice.typ"
    assert typst.compile(template, sys_inputs={"order": order}, pdf_standards=["ua-1"]).startswith(b"%PDF-")
    (tmp_path / "naive.typ").write_text("= Invoice\n#panic(1)")
    with pytest.raises(typst.TypstError):  # as it would be, were the order pasted into the template
        typst.compile(tmp_path / "naive.typ")


@pytest.mark.usefixtures("mail_server")
def test_a_newsletter_fills_the_inbox_with_a_letter_for_each_reader(studio: str, folder: Path, page: Page) -> None:
    page.goto(studio)
    fill(page, Subject="Low water", Readers="25")
    page.get_by_role("button", name="Send it to a practice inbox").click()
    card = page.get_by_role("listitem").filter(has_text="Newsletter: Low water")
    expect(card).to_contain_text("25 letters are on their way")
    expect(page.get_by_role("heading", name="The practice inbox: 25 letters")).to_be_visible()
    expect(page.get_by_role("listitem").filter(has_text="@example.com")).to_have_count(5)
    assert_accessible(page)
    letters = [json.loads(line) for line in (folder / "studio-data/inbox.jsonl").read_text().splitlines()]
    assert sorted(letter["to"] for letter in letters) == [[f"reader-{n:03}@example.com"] for n in range(1, 26)]
    assert len({letter["id"] for letter in letters}) == 25
    assert all("Dear reader" in letter["text"] and letter["subject"] == "Low water" for letter in letters)
    page.goto(f"{studio}/inbox")
    expect(page.get_by_role("heading", name="The practice inbox: 25 letters")).to_be_visible()
    assert_accessible(page)


def test_letters_wait_for_a_mail_server_that_is_away(
    studio: str, folder: Path, page: Page, request: pytest.FixtureRequest
) -> None:
    job = page.request.post(f"{studio}/newsletters", form={"subject": "Away", "text": "x", "readers": "2"}).json()
    wait_for("it", lambda: page.request.get(f"{studio}{job['status']}").json()["finished"])
    app = App("studio", url=f"sqlite:///{folder / 'studio.db'}")
    page_of = lambda: app.backend.find(Filter(task="examples.studio.letters.letter"), limit=2).jobs  # noqa: E731
    wait_for("two letters to be tried in vain", lambda: [letter.errors > 0 for letter in page_of()] == [True, True])
    request.getfixturevalue("mail_server")
    inbox = folder / "studio-data/inbox.jsonl"
    wait_for("the letters", lambda: len(inbox.read_text().splitlines()) == 2, 120)
    assert all(app.get(letter.id).wait("60s").state is State.SUCCEEDED for letter in page_of())
    app.close()


@pytest.mark.usefixtures("mail_server")
def test_a_switch_takes_the_mail_server_down_and_no_letter_loses_an_attempt(
    studio: str, folder: Path, page: Page
) -> None:
    page.goto(studio)
    words = page.locator("#mail-words")
    expect(words).to_have_text("The mail server is up.")
    page.get_by_role("button", name="Take it down").click()
    expect(words).to_contain_text("down")
    page.get_by_label("Subject").fill("While it is down")
    page.get_by_label("Readers").fill("60")
    page.get_by_role("button", name="Send it to a practice inbox").click()
    expect(words).to_contain_text("the breaker is open")
    expect(words).to_contain_text("none loses an attempt")
    assert_accessible(page)
    page.get_by_role("button", name="Bring it back").click()
    inbox = folder / "studio-data/inbox.jsonl"

    def arrived() -> list[str]:
        letters = [json.loads(line) for line in inbox.read_text().splitlines()]
        return [letter["to"][0] for letter in letters if letter["subject"] == "While it is down"]

    wait_for("every letter", lambda: len(arrived()) == 60, 120)
    assert len(set(arrived())) == 60
    expect(words).to_have_text("The mail server is up.")
    with contextlib.closing(open_backend(f"sqlite:///{folder / 'studio.db'}")) as backend:
        letters = Filter(task="examples.studio.letters.letter")
        find = lambda: backend.find(letters, limit=60).jobs  # noqa: E731
        wait_for("their jobs to end", lambda: {job.state for job in find()} == {"succeeded"})
        found = find()
    assert sum(job.errors for job in found) <= 2 * 5, "more attempts were spent than it took to see that it is down"


@pytest.mark.usefixtures("mail_server")
def test_the_switch_works_without_javascript(studio: str, browser: Browser) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(studio)
    page.get_by_role("button", name="Take it down").click()
    expect(page.locator("#mail-words")).to_contain_text("down")
    page.get_by_role("button", name="Bring it back").click()
    expect(page.locator("#mail-words")).to_contain_text("up")
    context.close()


@pytest.mark.parametrize(
    ("path", "form", "said"),
    [
        ("/invoices", {"customer": " ", "what": "x", "quantity": "1", "price": "1"}, "“customer”"),
        ("/invoices", {"customer": "x", "what": "x", "quantity": "0", "price": "1"}, "a number from 1 to 1,000"),
        ("/invoices", {"customer": "x", "what": "x", "quantity": "1", "price": "9" * 40}, "a number from 1 to 100,000"),
        ("/newsletters", {"subject": "a\u0007b", "readers": "1"}, "“subject”"),
        ("/newsletters", {"subject": "x", "readers": "501"}, "a number from 1 to 500"),
        ("/newsletters", {"subject": "x", "readers": "ten"}, "a number from 1 to 500"),
    ],
)
def test_a_form_that_is_filled_in_wrongly_is_refused_kindly(
    studio: str, page: Page, path: str, form: dict[str, str], said: str
) -> None:
    answer = page.request.post(f"{studio}{path}", form=form)  # type: ignore[arg-type]
    assert answer.status == 400
    assert said in answer.json()["error"]


@pytest.mark.linux
def test_an_attack_is_held_back_and_the_page_says_why(studio: str, page: Page) -> None:
    page.goto(studio)
    page.get_by_label("What it tries").select_option("Ask the cloud for its passwords")
    page.get_by_role("button", name="Attack").click()
    card = page.get_by_role("listitem").filter(has_text="Ask the cloud for its passwords")
    expect(card).to_contain_text("held back")
    expect(card).to_contain_text("tried to connect to 169.254.169.254:80")
    expect(card.get_by_role("status")).to_contain_text("tried to connect")
    assert_accessible(page)
    assert page.request.post(f"{studio}/attacks", form={"attack": "nonsense"}).status == 400


@pytest.mark.skipif(not HAS_MAGICK and os.environ.get("CI") != "true", reason="libmagickwand is not installed")
def test_imagemagick_draws_a_photo(studio: str, page: Page, photo: Path) -> None:
    page.goto(studio)
    page.get_by_label("Choose one or more photos").set_input_files(str(photo))
    page.get_by_role("button", name="Draw with charcoal").click()
    card = page.get_by_role("listitem").filter(has_text=photo.name)
    expect(card.get_by_role("img", name="Charcoal")).to_be_visible()
    assert_accessible(page)


def test_a_result_is_served_so_that_a_browser_runs_nothing(studio: str, page: Page, photo: Path) -> None:
    file = {"name": "a.jpg", "mimeType": "image/jpeg", "buffer": photo.read_bytes()}
    place = page.request.post(f"{studio}/photos", multipart={"photo": file}).json()["status"]  # type: ignore[dict-item]
    wait_for("its end", lambda: page.request.get(f"{studio}{place}").json()["finished"])
    url = page.request.get(f"{studio}{place}").json()["files"][0]["url"]
    answer = page.request.get(f"{studio}{url}")
    assert (answer.status, answer.headers["content-type"]) == (200, "image/jpeg")
    assert answer.headers["content-security-policy"] == "default-src 'none'; sandbox"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert len(answer.body()) == int(answer.headers["content-length"])
    assert page.request.get(f"{studio}{url.replace('/files/0', '/files/9')}").status == 404
    assert page.request.get(f"{studio}{url.partition('?')[0]}").status == 404, "without a token"


def test_a_text_file_is_refused_kindly(studio: str, page: Page, tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("not a picture")
    send(page, studio, text)
    expect(page.get_by_role("listitem").filter(has_text="notes.txt")).to_contain_text("This file is not a picture.")


def test_a_damaged_photo_and_a_pixel_bomb_end_with_a_kind_sentence(
    studio: str, page: Page, photo: Path, tmp_path: Path
) -> None:
    damaged = tmp_path / "damaged.jpg"
    damaged.write_bytes(photo.read_bytes()[:200_000])
    bomb = tmp_path / "bomb.png"
    data = io.BytesIO()
    Image.new("1", (12_000, 12_000)).save(data, "PNG")
    bomb.write_bytes(data.getvalue())
    send(page, studio, damaged, bomb)
    expect(page.get_by_role("listitem").filter(has_text="damaged.jpg")).to_contain_text("damaged")
    expect(page.get_by_role("listitem").filter(has_text="bomb.png")).to_contain_text("60 megapixels")
    assert_accessible(page)


def test_the_answer_to_a_submission_is_202_with_a_location(studio: str, page: Page, photo: Path) -> None:
    file = {"name": "../../evil.jpg", "mimeType": "image/jpeg", "buffer": photo.read_bytes()}
    answer = page.request.post(f"{studio}/photos", multipart={"photo": file})  # type: ignore[dict-item]
    assert answer.status == 202
    assert answer.headers["location"] == answer.json()["status"]
    assert page.request.get(f"{studio}{answer.headers['location']}").json()["state"] in (
        "queued",
        "running",
        "succeeded",
    )
    assert page.request.get(f"{studio}/jobs/no-such-job").status == 404
    assert page.request.post(f"{studio}/photos", multipart={"photo": "text"}).status == 400
    large = {"name": "large.jpg", "mimeType": "image/jpeg", "buffer": b"\xff\xd8\xff" + bytes(26 * 1024 * 1024)}
    assert page.request.post(f"{studio}/photos", multipart={"photo": large}).status == 413  # type: ignore[dict-item]


def test_the_demo_ends_with_zero_when_every_sample_came_back_right() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "examples.studio.demo"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        env={name: value for name, value in os.environ.items() if name != "NARROWBOAT_URL"} | {"ONCE": "1"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "all came back right" in done.stdout
    assert done.stdout.count(".webp") == 3 and done.stdout.count(".pdf") == 1
    assert "40 letters in the practice inbox" in done.stdout
    assert done.stdout.count("    held back ") == len(ATTACKS) or not kernel.HAS_WALLS
