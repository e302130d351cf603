"""Takes the screenshots of the studio, in light, dark and on a telephone: a part of `make pictures`."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

from examples.studio.app import DATA
from examples.studio.demo import free_port, is_up, programs
from examples.studio.samples import samples

HERE = Path(__file__).resolve().parent
LONG = 100_000  # ms
COLOURS = 128  # of a picture: it is text and flat areas, and a quarter as large


class Screen(NamedTuple):
    """One screenshot: what the browser is, and what part of the page is in the picture ("" for all that fits)."""

    name: str
    options: dict[str, Any]
    part: str = ""


SCREENS = (
    Screen("studio-light", {"viewport": {"width": 1180, "height": 1500}, "color_scheme": "light"}),
    Screen("studio-dark", {"viewport": {"width": 1180, "height": 1500}, "color_scheme": "dark"}),
    Screen("studio-phone", {"viewport": {"width": 390, "height": 1000}, "color_scheme": "light"}, "#work"),
)


def take() -> None:
    """Write all of them."""
    with _studio() as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for screen in SCREENS:
            _shoot(browser, screen, address)
        browser.close()


def _shoot(browser: Browser, screen: Screen, address: str) -> None:
    page = browser.new_context(**screen.options).new_page()
    page.goto(address)
    _let_things_happen(page)
    if screen.part:
        page.locator(screen.part).evaluate("part => scrollTo(0, part.offsetTop - 12)")
    else:
        page.evaluate("scrollTo(0, 0)")
    picture = Image.open(io.BytesIO(page.screenshot()))
    place = HERE / "pictures" / f"{screen.name}.png"
    picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(place, optimize=True)
    page.close()


def _let_things_happen(page: Page) -> None:
    """A dozen people at each form, and then some work of one's own, some of it under way when the picture is taken."""
    for form in (1, 2):
        button = page.get_by_role("button", name=f"Send them to Form {form}")
        expect(button).not_to_have_attribute("aria-disabled", "true", timeout=LONG)
        button.click()
        expect(page.locator(f"[data-cell=pictures-{form}]")).to_have_text("12 of 12", timeout=LONG)
        expect(page.locator("#said")).to_contain_text(f"at Form {form}: the last", timeout=LONG)
    page.get_by_role("button", name="Attack").click()
    page.get_by_role("button", name="Make the invoice").click()
    expect(page.locator("#list > :is([data-state=held], [data-state=succeeded])")).to_have_count(2, timeout=LONG)
    photos = [str(photo) for photo in samples(DATA / "samples")]
    upload = page.get_by_label("Choose one or more photos")
    upload.set_input_files(photos[:1])
    page.get_by_role("button", name="Make thumbnails").click()
    expect(page.locator("#list > [data-state=succeeded]")).to_have_count(2, timeout=LONG)
    for picture in page.locator("#list img").all():
        picture.scroll_into_view_if_needed()
        expect(picture).to_have_js_property("complete", True)
    upload.set_input_files(photos)
    page.get_by_role("button", name="Make thumbnails").click()
    expect(page.locator("#list > [data-state=running]").first).to_be_visible(timeout=LONG)


@contextlib.contextmanager
def _studio() -> Generator[str]:
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="studio-") as folder, open(os.devnull, "wb") as nowhere:
        env = {**os.environ, "NARROWBOAT_URL": f"sqlite:///{folder}/studio.db"}
        started = [
            subprocess.Popen([sys.executable, "-m", *words], cwd=HERE.parent, env=env, stdout=nowhere, stderr=nowhere)
            for words in programs(port).values()
        ]
        try:
            while not is_up(port):
                assert started[0].poll() is None, "the web server ended"
            yield f"http://127.0.0.1:{port}"
        finally:
            for program in started:
                program.send_signal(signal.SIGTERM)
            for program in started:
                program.wait(40)


if __name__ == "__main__":
    take()
