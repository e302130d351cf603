"""`make demo` comes right on every service: the same application, other environment variables."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from narrowboat.backends.urls import open_backend
from narrowboat.core.states import State
from tests.support import postgres_server
from tests.support.carriers import CARRIERS
from tests.support.servers import shared_redis

Place = Callable[[Path], AbstractContextManager[dict[str, str]]]


@contextmanager
def on_redis(_: Path) -> Iterator[dict[str, str]]:
    yield {"NARROWBOAT_URL": shared_redis().namespace()}


@contextmanager
def on_postgres(_: Path) -> Iterator[dict[str, str]]:
    server, schema = postgres_server.shared_server(), postgres_server.new_schema()
    yield {"NARROWBOAT_URL": f"{server.url}&schema={schema}"}
    postgres_server.drop(server, [schema])


def through(name: str) -> Place:
    """A transport, with the record in SQLite."""

    @contextmanager
    def place(folder: Path) -> Iterator[dict[str, str]]:
        carrier = CARRIERS[name](folder)
        try:
            store = f"sqlite:///{folder / 'store.db'}"
            yield {**carrier.environment, "NARROWBOAT_URL": carrier.url, "NARROWBOAT_STORE": store}
        finally:
            carrier.stop()

    return place


PLACES: dict[str, Place] = {
    "redis": on_redis,
    "postgres": on_postgres,
    "gearman": through("gearman"),
    "rabbitmq": through("rabbitmq"),
    "sqs": through("sqs"),
}


@pytest.mark.parametrize("name", PLACES)
def test_the_demo_comes_right(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    with PLACES[name](tmp_path) as environment:
        for variable, value in environment.items():
            monkeypatch.setenv(variable, value)
        done = subprocess.run(
            [sys.executable, "-m", "examples.studio.demo"],
            cwd=folder,
            env={**os.environ, "ONCE": "1"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "all came back right" in done.stdout
        assert "40 letters in the practice inbox" in done.stdout
        backend = open_backend(environment["NARROWBOAT_URL"])
        counts = [queue.counts for queue in backend.stats()]
        assert sum(count.get(State.SUCCEEDED, 0) for count in counts) > 40, "it was this server that kept the jobs"
        assert backend.audit() == []
        backend.close()
