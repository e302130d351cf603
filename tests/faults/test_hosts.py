"""Two hosts and one backend between them: one host is cut off and comes back, and then both are."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from narrowboat import JobHandle
from narrowboat.core.states import State
from tests.support import postgres_server
from tests.support.hosts import Cabled, network
from tests.support.postgres_server import PostgresServer, require
from tests.support.processes import WorkerProcess, running_worker, wait_for
from tests.support.servers import RedisServer

from .conftest import Harbour, moored

pytestmark = pytest.mark.linux
LEASE_S = 4.0


@dataclass
class Fleet:
    """A backend, two hosts, and whoever works on them."""

    harbour: Harbour
    hosts: list[Cabled]
    ledger: Path

    @contextmanager
    def worker(self, host: int) -> Iterator[WorkerProcess]:
        options = ("-n", "4", "--lease", f"{LEASE_S}s")
        through = self.hosts[host].through
        with running_worker("harbour:app", self.harbour.url, self.harbour.folder, *options, through=through) as worker:
            yield worker

    def enqueue(self, task: str, seconds: float) -> JobHandle[int]:
        return getattr(self.harbour.module, task).enqueue(str(self.ledger), seconds)

    def said(self, job: JobHandle[Any]) -> list[list[float]]:
        """When each attempt of a job said that it was there, in the order of their fences."""
        found: dict[int, list[float]] = {}
        whole, _, _ = self.ledger.read_text().rpartition("\n")  # the last line is perhaps being written
        for line in whole.splitlines():
            moment, id_, fence = line.split()
            if id_ == job.id:
                found.setdefault(int(fence), []).append(float(moment))
        return [moments for _, moments in sorted(found.items())]

    def until_begun(self, *jobs: JobHandle[Any]) -> None:
        wait_for("the jobs to begin", lambda: all(self.said(job) for job in jobs), 20)


@contextmanager
def redis_at(address: str) -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="nb-redis-") as folder:
        server = RedisServer(Path(folder), "--bind", address, "127.0.0.1", "--protected-mode", "no")
        try:
            yield server.url.replace("127.0.0.1", address)
        finally:
            server.stop()


@contextmanager
def postgres_at(address: str) -> Iterator[str]:
    require()
    server = PostgresServer(postgres_server.QUICK, address)
    try:
        yield server.url
    finally:
        server.remove()


SERVERS = {"redis": redis_at, "postgres": postgres_at}


@pytest.fixture(params=SERVERS)
def fleet(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fleet]:
    with network(2) as (address, hosts), SERVERS[request.param](address) as url:
        for harbour in moored(tmp_path, monkeypatch, url):
            ledger = harbour.folder / "ledger"
            ledger.touch()
            ledger.chmod(0o666)
            yield Fleet(harbour, hosts, ledger)


@pytest.mark.timeout(120)
def test_a_host_that_is_cut_off_and_comes_back_settles_nothing_twice(fleet: Fleet) -> None:
    with fleet.worker(0) as cut_off:
        plain, alone = fleet.enqueue("guard", 16.0), fleet.enqueue("guard_alone", 16.0)
        fleet.until_begun(plain, alone)
        with fleet.worker(1):
            fleet.hosts[0].pull()
            taken_over = lambda: len(fleet.said(plain)) == len(fleet.said(alone)) == 2  # noqa: E731
            wait_for("the other host to take over", taken_over, 10 * LEASE_S)
            for job in (plain, alone):
                wait_for("its attempt to be under way", lambda job=job: len(fleet.said(job)[1]) > 20)
            fleet.hosts[0].plug()
            for job in (plain, alone):
                record = job.wait("60s").record
                assert (record.state, record.errors, record.crashes) == (State.SUCCEEDED, 0, 1)
                assert record.history[0].error is not None and "lost worker" in record.history[0].error.message
            wait_for("it to be told", lambda: "another worker took it" in cut_off.output(), 20)
    first, second = fleet.said(plain)
    assert first[-1] > second[0], "an attempt goes on while its worker is cut off, though in vain"
    first, second = fleet.said(alone)
    assert first[-1] < second[0], "attempts of an exclusive task never overlap"
    assert "is stopped before it may run elsewhere" in cut_off.output()


@pytest.mark.timeout(120)
def test_an_outage_for_all_makes_no_job_run_twice(fleet: Fleet) -> None:
    with fleet.worker(0) as one, fleet.worker(1) as other:
        jobs = [fleet.enqueue("guard", 5 * LEASE_S) for _ in range(6)]
        alone = fleet.enqueue("guard_alone", 5 * LEASE_S)
        fleet.until_begun(*jobs, alone)
        for host in fleet.hosts:
            host.pull()
        over = time.monotonic() + 4 * LEASE_S
        wait_for("an outage of four leases", lambda: time.monotonic() > over, 5 * LEASE_S)
        for host in fleet.hosts:
            host.plug()
        for job in jobs:
            record = job.wait("60s").record
            assert (record.state, record.attempts, record.history) == (State.SUCCEEDED, 1, ())
            assert len(fleet.said(job)) == 1
        record = alone.wait("60s").record
        assert (record.state, record.crashes, record.errors) == (State.SUCCEEDED, 0, 0)
        attempts = fleet.said(alone)
        assert all(before[-1] < after[0] for before, after in pairwise(attempts))
        assert "another worker took it" not in one.output() + other.output()
        assert fleet.harbour.backend.audit() == []
