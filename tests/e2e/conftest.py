"""A studio, and a browser to look at it."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Generator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from examples.studio.demo import free_port, is_up, programs
from examples.studio.samples import samples
from tests.support.processes import ROOT, running_worker, wait_for

from .browsers import launched
from .studio_pages import start


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the examples, with data of its own."""
    folder = tmp_path_factory.mktemp("studio")
    (folder / "pyproject.toml").write_text("")
    shutil.copytree(ROOT / "examples", folder / "examples", ignore=shutil.ignore_patterns("__pycache__"))
    photos = folder / "studio-data" / "samples"
    photos.mkdir(parents=True)
    shutil.copy(
        samples(ROOT / "studio-data" / "samples")[0], photos / "large.jpg"
    )  # half as large: a crowd is sooner done
    return folder


@pytest.fixture(scope="module")
def studio(folder: Path) -> Generator[str]:
    """The address of a studio on a database of its own."""
    url = f"sqlite:///{folder / 'studio.db'}"
    port = free_port()
    web = start(folder, "web", programs(port)["web"], url)
    try:
        with running_worker("examples.studio:app", url, folder, "-n", "2", log=folder / "worker.log"):
            wait_for("the web server", lambda: is_up(port))
            yield f"http://127.0.0.1:{port}"
    finally:
        web.send_signal(signal.SIGTERM)
        web.wait(10)


@pytest.fixture
def mail_server(folder: Path) -> Generator[None]:
    """The practice mail server, for as long as a test."""
    mail = start(folder, "mail", ["examples.studio.inbox"])
    place = folder / "studio-data" / "mail" / "server.json"
    try:
        wait_for("the mail server", place.exists)
        yield
    finally:
        mail.send_signal(signal.SIGTERM)
        assert mail.wait(10) == 0


@pytest.fixture(scope="module")
def browser() -> Generator[Browser]:
    with launched() as browser:
        yield browser


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
def photo() -> Path:
    return samples(ROOT / "studio-data" / "samples")[0]
