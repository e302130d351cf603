"""Every backend of this package, put through the shipped suite."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import ClassVar

import pytest

from narrowboat.backends.base import Backend
from narrowboat.backends.memory import MemoryBackend
from narrowboat.backends.urls import open_backend
from narrowboat.core.errors import ConfigError
from narrowboat.core.job import NewJob
from narrowboat.testing.conformance import BackendConformance, run
from tests.support import postgres_server
from tests.support.pgbouncer import shared_pooler
from tests.support.servers import shared_redis


class TestMemory(BackendConformance):
    lacks = frozenset({"is_shared"})

    def make_backend(self) -> Backend:
        return MemoryBackend()


class TestSQLite(BackendConformance):
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self._paths = (tmp_path / f"nb{n}.db" for n in count())

    def make_backend(self) -> Backend:
        return self._open(next(self._paths))

    def reopen(self, backend: Backend) -> Backend:
        return self._open(Path(backend.location))

    def _open(self, path: Path) -> Backend:
        from narrowboat.backends.sqlite import SQLiteBackend

        return SQLiteBackend(path)


class TestPostgres(BackendConformance):
    """Schemas are emptied and used again: making one takes as long as a case."""

    _idle: ClassVar[list[str]] = []

    @pytest.fixture(autouse=True)
    def _server(self) -> Iterator[None]:
        self._server = postgres_server.shared_server()
        self._used: list[str] = []
        yield
        for schema in self._used:
            postgres_server.empty(self._server, schema)
        self._idle.extend(self._used)

    def make_backend(self) -> Backend:
        return open_backend(f"{self._server.url}&schema={self._schema()}")

    def _schema(self) -> str:
        self._used.append(self._idle.pop() if self._idle else postgres_server.new_schema())
        return self._used[-1]

    def reopen(self, backend: Backend) -> Backend:
        return open_backend(backend.location)


class TestPostgresThroughPgBouncer(TestPostgres):
    """Whose every transaction is in another session of the server than the one before."""

    def make_backend(self) -> Backend:
        return open_backend(f"{shared_pooler().url}&schema={self._schema()}")


class TestRedis(BackendConformance):
    def make_backend(self) -> Backend:
        return open_backend(shared_redis().namespace())

    def reopen(self, backend: Backend) -> Backend:
        return open_backend(backend.url)


def test_one_call_puts_a_backend_through_the_suite_and_names_what_it_skips() -> None:
    report = run(MemoryBackend)
    assert report.failed == {}
    assert len(report.passed) > 100
    assert "test_a_second_handle_sees_the_same_jobs" in report.skipped
    assert "is_shared" in report.skipped["test_a_second_handle_sees_the_same_jobs"]
    assert str(report).endswith(f"{len(report.passed)} passed, 0 failed, {len(report.skipped)} skipped")


def test_one_call_reports_a_backend_that_breaks_a_promise() -> None:
    class Forgetful(MemoryBackend):
        def find_key(self, task: str, key: str) -> str | None:
            return None

    report = run(Forgetful)
    assert "test_find_key_names_the_latest_job_of_the_key_in_any_state" in report.failed
    assert "AssertionError" in str(report)


def test_a_memory_url_has_nothing_but_its_scheme() -> None:
    assert open_backend("memory://").capabilities.name == "memory"
    with pytest.raises(ConfigError, match="memory://"):
        open_backend("memory://jobs?durability=full")


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_memory_store_can_be_used_after_a_fork_while_its_lock_was_held() -> None:
    backend = MemoryBackend()
    is_waiting = threading.Event()

    def hold() -> None:
        with backend._changed:
            is_waiting.set()
            is_over.wait(30)

    is_over = threading.Event()
    holder = threading.Thread(target=hold)
    holder.start()
    assert is_waiting.wait(30)
    child = os.fork()
    if child == 0:
        signal.alarm(60)  # a deadlock is a failure, not a hang
        backend.enqueue([NewJob(id="t:1", task="t")])
        os._exit(0 if backend.get(["t:1"])[0] is not None else 1)
    is_over.set()
    holder.join()
    assert os.waitpid(child, 0)[1] == 0
