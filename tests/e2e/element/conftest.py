"""A page before a server that says what the test wants."""

from __future__ import annotations

from collections.abc import Generator

import pytest
from playwright.sync_api import Browser, Page

from tests.support.jobs_server import Stage, running_stage


@pytest.fixture
def stage() -> Generator[Stage]:
    with running_stage() as stage:
        yield stage


@pytest.fixture
def page(browser: Browser, stage: Stage) -> Generator[Page]:
    """A page on which any error on the console fails the test, but for the refusals that the test asks for."""
    page = browser.new_page()
    errors: list[str] = []
    refusals = []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("response", lambda response: refusals.append(response.url) if response.status >= 400 else None)
    yield page
    page.close()
    assert all(url.startswith(f"{stage.address}/jobs/") for url in refusals)
    assert [error for error in errors if not (refusals and "Failed to load resource" in error)] == []
