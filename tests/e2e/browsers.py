"""Debian's Chromium, as every test of a page starts it."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Generator

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

expect.set_options(timeout=60_000)  # ms: a page may have to wait for a busy machine; what comes earlier costs nothing
CHROMIUM = shutil.which("chromium")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@contextlib.contextmanager
def launched() -> Generator[Browser]:
    """A browser. Where there is none, and CI does not ask for it, the test is skipped."""
    if CHROMIUM is None and os.environ.get("CI") != "true":
        pytest.skip("chromium is not installed (Debian: apt install chromium)")
    assert CHROMIUM is not None, "CI needs chromium; tests/servers.py installs it"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()
