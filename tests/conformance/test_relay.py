"""A relay is a backend like any other, whatever its transport does."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from narrowboat.backends.base import Backend
from narrowboat.backends.memory import MemoryBackend
from narrowboat.backends.relay import RelayBackend
from narrowboat.backends.relay import backend as relay
from narrowboat.backends.sqlite import SQLiteBackend
from narrowboat.backends.urls import open_backend
from narrowboat.testing.conformance import BackendConformance
from tests.support import aws_server
from tests.support.aws_server import shared_aws
from tests.support.gearman_server import shared_gearman
from tests.support.loopback import LoopbackTransport, Server
from tests.support.rabbitmq_server import shared_rabbitmq
from tests.support.servers import shared_redis

_places = count()


class OverLoopback(BackendConformance):
    """A fresh service for each store, with these faults."""

    faults: tuple[str, ...] = ()

    @pytest.fixture(autouse=True)
    def _services(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        if not self.faults:  # then it is notices that wake, and no look
            monkeypatch.setattr(relay, "LOOK_S", 60.0)
            monkeypatch.setattr(relay, "CANCELS_S", 60.0)
        self._folder, self._numbers = tmp_path, count()
        self._behind: dict[str, tuple[Server, Backend]] = {}
        yield
        for server, _ in self._behind.values():
            server.stop()

    def make_backend(self) -> Backend:
        number = next(self._numbers)
        server, store = Server(self._folder / f"loopback{number}").start(), self.make_store(number)
        server.service.faults = set(self.faults)
        made = self._relay(server, store)
        self._behind[made.location] = server, store
        return made

    def reopen(self, backend: Backend) -> Backend:
        server, store = self._behind[backend.location]
        return self._relay(server, self.reopen_store(store))

    def _relay(self, server: Server, store: Backend) -> Backend:
        return RelayBackend(LoopbackTransport(server.url.removeprefix("loopback://")), store)

    def make_store(self, number: int) -> Backend:
        raise NotImplementedError

    def reopen_store(self, store: Backend) -> Backend:
        raise NotImplementedError


class Told(OverLoopback):
    """Without a fault. Workers hear of cancels in a wait of their own; the final job of a batch is found by a look."""

    test_a_final_job_wakes_a_worker = None
    test_a_final_job_that_a_cancel_brings_wakes_a_worker = None
    test_a_cancel_wakes_the_worker_that_runs_the_job = None
    test_a_cancel_through_one_handle_wakes_the_worker_on_another = None


class OverMemory(OverLoopback):
    lacks = frozenset({"is_shared"})

    def make_store(self, number: int) -> Backend:
        return MemoryBackend()


class TestRelayOverMemory(Told, OverMemory):
    pass


class OverSQLite(OverLoopback):
    def make_store(self, number: int) -> Backend:
        return SQLiteBackend(self._folder / f"nb{number}.db")

    def reopen_store(self, store: Backend) -> Backend:
        return SQLiteBackend(Path(store.location))


class TestRelayOverSQLite(Told, OverSQLite):
    pass


class TestRelayOverRedis(Told):
    def make_store(self, number: int) -> Backend:
        return open_backend(shared_redis().namespace())

    def reopen_store(self, store: Backend) -> Backend:
        return open_backend(store.url)


class TestWithTheTransportDown(OverSQLite):
    """Jobs flow all the same, and at once."""

    faults = ("down",)


class TestWithAllNoticesLost(OverMemory):
    faults = ("lose",)


class TestWithAllNoticesDoubled(OverMemory):
    faults = ("duplicate",)


class TestWithNoticesToTheWrongOne(OverMemory):
    faults = ("misdeliver",)


class TestWithHeldNoticesForgotten(OverMemory):
    faults = ("forget",)


class Through(BackendConformance):
    """A service of the real world, which all cases share; each store has channels of its own there."""

    test_a_final_job_wakes_a_worker = None  # as for Told
    test_a_final_job_that_a_cancel_brings_wakes_a_worker = None
    test_a_cancel_wakes_the_worker_that_runs_the_job = None
    test_a_cancel_through_one_handle_wakes_the_worker_on_another = None

    @pytest.fixture(autouse=True)
    def _services(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        monkeypatch.setattr(relay, "LOOK_S", 60.0)
        monkeypatch.setattr(relay, "CANCELS_S", 60.0)
        for name, value in aws_server.ENVIRONMENT.items():
            monkeypatch.setenv(name, value)
        self._folder, self._numbers = tmp_path, count()
        self._urls: dict[str, str] = {}
        yield
        for url in self._urls:
            self.clear(url)

    def place(self) -> str:
        """The URL of channels that are not there yet."""
        raise NotImplementedError

    def clear(self, url: str) -> None:
        """There is no more use for these channels."""

    def make_backend(self) -> Backend:
        url, store = self.place(), self.make_store()
        self._urls[url] = store
        return open_backend(url, store)

    def make_store(self) -> str:
        return f"sqlite:///{self._folder / f'nb{next(self._numbers)}.db'}"

    def reopen(self, backend: Backend) -> Backend:
        url = backend.urls[-1]
        return open_backend(url, self._urls[url])


class OverRedis(Through):
    def make_store(self) -> str:
        return shared_redis().namespace()


class ThroughGearman(Through):
    def place(self) -> str:
        return f"{shared_gearman().url}?prefix=c{next(_places)}"


class ThroughRabbitMQ(Through):
    def place(self) -> str:
        return shared_rabbitmq().apart()

    def clear(self, url: str) -> None:
        shared_rabbitmq().clear(url)


class ThroughSQS(Through):
    def place(self) -> str:
        return shared_aws().sqs()


class TestGearmanOverSQLite(ThroughGearman):
    pass


class TestGearmanOverRedis(ThroughGearman, OverRedis):
    pass


class TestRabbitMQOverSQLite(ThroughRabbitMQ):
    pass


class TestRabbitMQOverRedis(ThroughRabbitMQ, OverRedis):
    pass


class TestSQSOverSQLite(ThroughSQS):
    pass


class TestSQSOverRedis(ThroughSQS, OverRedis):
    pass
