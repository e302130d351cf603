"""`make demo` comes right on every backend that is a server: the same application, another URL."""

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
from tests.support.servers import shared_redis


@contextmanager
def on_redis() -> Iterator[str]:
    yield shared_redis().namespace()


@contextmanager
def on_postgres() -> Iterator[str]:
    server, schema = postgres_server.shared_server(), postgres_server.new_schema()
    yield f"{server.url}&schema={schema}"
    postgres_server.drop(server, [schema])


@pytest.mark.parametrize("place", [on_redis, on_postgres])
def test_the_demo_comes_right(folder: Path, place: Callable[[], AbstractContextManager[str]]) -> None:
    with place() as url:
        done = subprocess.run(
            [sys.executable, "-m", "examples.studio.demo"],
            cwd=folder,
            env={**os.environ, "NARROWBOAT_URL": url, "ONCE": "1"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=150,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "all came back right" in done.stdout
        assert "40 letters in the practice inbox" in done.stdout
        backend = open_backend(url)
        counts = [queue.counts for queue in backend.stats()]
        assert sum(count.get(State.SUCCEEDED, 0) for count in counts) > 40, "it was this server that kept the jobs"
        assert backend.audit() == []
        backend.close()
