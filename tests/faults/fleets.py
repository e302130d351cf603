"""Two hosts and one backend between them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from narrowboat import JobHandle
from tests.support import postgres_server
from tests.support.hosts import Cabled, network
from tests.support.postgres_server import PostgresServer, require
from tests.support.processes import WorkerProcess, running_worker, wait_for
from tests.support.servers import RedisServer

from .conftest import Harbour, moored

LEASE_S = 4.0


@dataclass
class Fleet:
    """A backend, two hosts, and whoever works on them."""

    harbour: Harbour
    hosts: list[Cabled]
    ledger: Path

    @contextmanager
    def worker(self, host: int, lease_s: float = LEASE_S) -> Iterator[WorkerProcess]:
        options = ("-n", "4", "--lease", f"{lease_s}s")
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


@contextmanager
def fleet_on(store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fleet]:
    """Two hosts without workers yet, and a store of this kind that both can reach."""
    with network(2) as (address, hosts), SERVERS[store](address) as url:
        for harbour in moored(tmp_path, monkeypatch, url):
            ledger = harbour.folder / "ledger"
            ledger.touch()
            ledger.chmod(0o666)
            yield Fleet(harbour, hosts, ledger)
