"""Enqueue inside Django's `atomic`, by the alias of its database."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.postgres_server import drop, new_schema, shared_server
from tests.support.processes import ROOT


def run(url: str, database: dict[str, object]) -> None:
    """The project of tests/support/django_caller.py, whose assertions are what is claimed here."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "tests.support.django_caller", url, json.dumps(database)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_a_job_is_part_of_atomic_on_postgresql() -> None:
    server = shared_server()
    schema = new_schema()
    database = {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": "postgres",
        "USER": "postgres",
        "HOST": str(server.folder),
        "PORT": server.port,
    }
    run(f"{server.url}&schema={schema}", database)
    drop(server, [schema])


@pytest.mark.parametrize("mode", ["DEFERRED", "IMMEDIATE"])
def test_a_job_is_part_of_atomic_on_sqlite(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "shop.db"
    options = {"transaction_mode": mode}
    run(f"sqlite:///{path}", {"ENGINE": "django.db.backends.sqlite3", "NAME": str(path), "OPTIONS": options})
