"""A studio, and a browser to look at it."""

from __future__ import annotations

import contextlib
import re
import shutil
import signal
from collections.abc import Generator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from examples.studio.samples import samples
from tests.support.processes import ROOT, running_worker, wait_for

from .browsers import launched
from .studio_pages import start, web_server


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


@contextlib.contextmanager
def web_of(folder: Path, database: str) -> Generator[tuple[str, str]]:
    """A web server of the studio with a database of its own: its address, and the database's URL."""
    url = f"sqlite:///{folder / database}.db"
    with web_server(folder, database, url) as (_, address):
        yield address, url


@pytest.fixture(scope="module")
def studio(folder: Path) -> Generator[str]:
    """The address of a studio with a worker."""
    with (
        web_of(folder, "studio") as (address, url),
        running_worker("examples.studio:app", url, folder, "-n", "2", log=folder / "worker.log"),
    ):
        yield address


@pytest.fixture
def busy_studio(folder: Path) -> Generator[str]:
    """The address of a studio whose worker is away, where nothing waits yet."""
    for path in folder.glob("busy.db*"):
        path.unlink() if path.is_file() else shutil.rmtree(path)
    with web_of(folder, "busy") as (address, _):
        yield address


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
        assert mail.wait(60) == 0


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
    refused = re.compile(r"status of (413|415|429)\b")  # what a browser says of an answer that a test asked for
    assert [error for error in errors if not refused.search(error)] == []


@pytest.fixture(scope="module")
def photo() -> Path:
    return samples(ROOT / "studio-data" / "samples")[0]
