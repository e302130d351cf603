"""What several tests of the studio do on its page."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Generator, Sequence
from pathlib import Path

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from examples.studio.demo import programs
from tests.support.processes import ROOT


def start(folder: Path, name: str, words: list[str], url: str = "", fds: Sequence[int] = ()) -> subprocess.Popen[bytes]:
    """One of the studio's programs; what it says is in NAME.log. fds: open files that it is given."""
    env = {**os.environ, "NARROWBOAT_URL": url, "PYTHONPATH": str(ROOT / "src")}
    with (folder / f"{name}.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", *words], cwd=folder, env=env, stdout=log, stderr=log, pass_fds=fds
        )


@contextlib.contextmanager
def web_server(folder: Path, name: str, url: str, *options: str) -> Generator[tuple[subprocess.Popen[bytes], str]]:
    """The studio's web server until the block ends, and its address. It is given a socket that listens already: a port
    that is only known to be free may be taken until the server is there."""
    with socket.create_server(("127.0.0.1", 0), backlog=2048) as listening:
        address = f"http://127.0.0.1:{listening.getsockname()[1]}"
        words = [*programs(0)["web"], "--fd", str(listening.fileno()), *options]
        web = start(folder, name, words, url, fds=[listening.fileno()])
    try:
        with urllib.request.urlopen(f"{address}/health", timeout=60):  # the answer comes when it is up
            pass
        yield web, address
    finally:
        web.send_signal(signal.SIGTERM)
        try:
            web.wait(60)
        finally:
            web.kill()
            web.wait()


def send(page: Page, address: str, *files: Path) -> None:
    """Send photos to Form 2."""
    page.goto(address)
    page.get_by_label("Choose one or more photos").set_input_files([str(file) for file in files])
    page.get_by_role("button", name="Make thumbnails").click()


def assert_accessible(page: Page) -> None:
    """axe finds nothing."""
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
