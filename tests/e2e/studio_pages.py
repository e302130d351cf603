"""What several tests of the studio do on its page."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from tests.support.processes import ROOT


def start(folder: Path, name: str, words: list[str], url: str = "") -> subprocess.Popen[bytes]:
    """One of the studio's programs; what it says is in NAME.log."""
    env = {**os.environ, "NARROWBOAT_URL": url, "PYTHONPATH": str(ROOT / "src")}
    with (folder / f"{name}.log").open("ab") as log:
        return subprocess.Popen([sys.executable, "-m", *words], cwd=folder, env=env, stdout=log, stderr=log)


def send(page: Page, address: str, *files: Path) -> None:
    """Send photos to Form 2."""
    page.goto(address)
    page.get_by_label("Choose one or more photos").set_input_files([str(file) for file in files])
    page.get_by_role("button", name="Make thumbnails").click()


def assert_accessible(page: Page) -> None:
    """axe finds nothing."""
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
