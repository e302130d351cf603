"""The studio as its user sees it: real web, real worker, real browser."""

from __future__ import annotations

import io
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

from examples.studio.demo import free_port, is_up
from examples.studio.samples import samples
from tests.support.processes import ROOT, running_worker, wait_for

CHROMIUM = shutil.which("chromium")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
if CHROMIUM is None and os.environ.get("CI") != "true":
    pytest.skip("chromium is not installed (Debian: apt install chromium)", allow_module_level=True)


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Generator[str]:
    """The address of a studio on a database of its own."""
    folder = tmp_path_factory.mktemp("studio")
    url = f"sqlite:///{folder / 'studio.db'}"
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "uvicorn",
        "examples.studio.web:web",
        "--port",
        str(port),
        "--log-level",
        "warning",
    ]
    with (folder / "web.log").open("wb") as log:
        web = subprocess.Popen(command, cwd=ROOT, env={**os.environ, "NARROWBOAT_URL": url}, stdout=log, stderr=log)
    try:
        with running_worker("examples.studio:app", url, ROOT, "-n", "2", log=folder / "worker.log"):
            wait_for("the web server", lambda: is_up(port))
            yield f"http://127.0.0.1:{port}"
    finally:
        web.send_signal(signal.SIGTERM)
        web.wait(10)


@pytest.fixture(scope="module")
def browser() -> Generator[Browser]:
    assert CHROMIUM is not None, "CI needs chromium; tests/servers.py installs it"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser) -> Generator[Page]:
    """A page on which any error on the console fails the test."""
    page = browser.new_page()
    errors: list[str] = []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    page.close()
    assert [error for error in errors if "415" not in error and "413" not in error] == []


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return samples(ROOT / "examples" / "studio" / "data" / "samples")[0]


def send(page: Page, address: str, *files: Path) -> None:
    page.goto(address)
    page.get_by_label("Choose one or more photos").set_input_files([str(file) for file in files])
    page.get_by_role("button", name="Make thumbnails").click()


def assert_accessible(page: Page) -> None:
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()


def test_a_photo_becomes_four_pictures_while_one_watches(studio: str, page: Page, photo: Path) -> None:
    send(page, studio, photo)
    card = page.get_by_role("listitem").filter(has_text=photo.name)
    expect(card.get_by_role("progressbar")).to_be_visible()
    expect(card).to_contain_text(re.compile(r"Ready [\d.]+ s after"), timeout=30_000)
    expect(card.get_by_role("img")).to_have_count(4)
    for picture in card.get_by_role("img").all():
        picture.scroll_into_view_if_needed()
        expect(picture).to_have_js_property("complete", True)
        assert picture.evaluate("picture => picture.naturalWidth") > 0
    expect(page.get_by_role("status")).to_contain_text(f"{photo.name}: Done.")
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
    expect(page.get_by_text("Ready")).to_be_visible(timeout=30_000)
    expect(page.get_by_role("img", name="WebP")).to_be_visible()
    context.close()


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
    expect(page.get_by_role("listitem").filter(has_text="damaged.jpg")).to_contain_text("damaged", timeout=30_000)
    expect(page.get_by_role("listitem").filter(has_text="bomb.png")).to_contain_text("60 megapixels", timeout=30_000)
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
    assert page.request.get(f"{studio}/photos/no-such-job").status == 404
    assert page.request.post(f"{studio}/photos", multipart={"photo": "text"}).status == 400
    large = {"name": "large.jpg", "mimeType": "image/jpeg", "buffer": b"\xff\xd8\xff" + bytes(26 * 1024 * 1024)}
    assert page.request.post(f"{studio}/photos", multipart={"photo": large}).status == 413  # type: ignore[dict-item]


def test_the_demo_ends_with_zero_when_every_sample_came_back_right() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "examples.studio.demo"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        env={name: value for name, value in os.environ.items() if name != "NARROWBOAT_URL"} | {"ONCE": "1"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "all 3 photos came back right" in done.stdout
    assert done.stdout.count(".webp") == 3
