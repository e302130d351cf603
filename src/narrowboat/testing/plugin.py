"""The pytest plugin: fixtures for testing an application's own tasks.

Tell it which app with `app = "module:attribute"` in [tool.narrowboat] of pyproject.toml, with
`narrowboat_app = ...` in pytest's own settings, or with a fixture `narrowboat_app` of your own.
"""

from __future__ import annotations

import importlib
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from ..app import App
    from ..app.rehearsal import Rehearsal
    from .workers import RunningWorker


def pytest_addoption(parser: pytest.Parser) -> None:
    """Make the setting known."""
    parser.addini("narrowboat_app", "the Narrowboat app under test, as module:attribute", default="")


@pytest.fixture(scope="session")
def narrowboat_reference(pytestconfig: pytest.Config) -> str:
    """Where the app is, as module:attribute."""
    from ..backends.urls import project_settings

    found = pytestconfig.getini("narrowboat_app")
    if not found and (pytestconfig.rootpath / "pyproject.toml").is_file():
        found = project_settings(pytestconfig.rootpath).get("app", "")
    if not found or ":" not in str(found):
        raise pytest.UsageError(
            'which app? set app = "module:attribute" in [tool.narrowboat] of pyproject.toml, '
            "or narrowboat_app in pytest's settings"
        )
    return str(found)


@pytest.fixture(scope="session")
def narrowboat_app(narrowboat_reference: str) -> App:
    """The app under test."""
    module, _, attribute = narrowboat_reference.partition(":")
    app: App = getattr(importlib.import_module(module), attribute)
    return app


@pytest.fixture
def narrowboat_jobs(narrowboat_app: App) -> Generator[Rehearsal]:
    """`app.testing()` around the test: jobs wait in memory until `narrowboat_jobs.drain()`."""
    with narrowboat_app.testing() as jobs:
        yield jobs


@pytest.fixture
def narrowboat_worker(narrowboat_app: App, narrowboat_reference: str, tmp_path: Path) -> Generator[RunningWorker]:
    """A real worker process, on a database of this test's own."""
    from .workers import running_worker

    with running_worker(narrowboat_app, narrowboat_reference, tmp_path) as worker:
        yield worker
