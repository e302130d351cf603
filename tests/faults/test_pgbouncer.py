"""PgBouncer in transaction mode before PostgreSQL: nothing is used that a session would have to remember."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from narrowboat.backends.base import Filter, Step, Want, WorkerInfo
from narrowboat.backends.postgres import PostgresBackend
from narrowboat.backends.urls import open_backend
from narrowboat.core.ids import new_job_id
from narrowboat.core.job import NewJob
from narrowboat.core.states import State
from narrowboat.core.task import Manifest, TaskSpec
from tests.support.pgbouncer import PgBouncer
from tests.support.postgres_server import PostgresServer, require
from tests.support.processes import running_worker, wait_for

from .conftest import Harbour, moored

JOBS = 500
SESSIONS = 5


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    require()
    server = PostgresServer()
    yield server
    server.remove()


@pytest.fixture(scope="module")
def pooler(server: PostgresServer) -> Iterator[PgBouncer]:
    pooler = PgBouncer(server, default_pool_size=str(SESSIONS))
    yield pooler
    pooler.stop()


@pytest.fixture
def harbour(pooler: PgBouncer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Harbour]:
    yield from moored(tmp_path, monkeypatch, pooler.url)


def remembered(pooler: PgBouncer) -> Counter[str]:
    """What the server's sessions hold: of all of them, since each transaction comes to the next one."""
    found: Counter[str] = Counter()
    seen: set[int] = set()
    with psycopg.connect(pooler.url, autocommit=True, prepare_threshold=None) as connection:
        for _ in range(4 * SESSIONS):
            row = connection.execute(
                """
                SELECT pg_backend_pid(), (SELECT count(*) FROM pg_prepared_statements),
                       (SELECT count(*) FROM pg_listening_channels())
                """
            ).fetchone()
            assert row is not None
            seen.add(row[0])
            found.update(statements=row[1], channels=row[2])
    assert len(seen) > 1, "this pooler does not hand out sessions in turn"
    return found


def test_a_worker_behind_it_runs_jobs_and_sessions_remember_nothing(harbour: Harbour, pooler: PgBouncer) -> None:
    ledger = harbour.folder / "ledger"
    ledger.touch()
    ledger.chmod(0o666)
    with running_worker("harbour:app", harbour.url, harbour.folder, "-n", "2") as worker:
        began = time.monotonic()
        assert harbour.module.load.enqueue(str(ledger), 0.0).wait(20).result == 1
        assert time.monotonic() - began < 5, "an idle worker that hears no hint looks by itself"
        jobs = harbour.app.enqueue_many([harbour.module.load.job(str(ledger), 0.001) for _ in range(JOBS)])
        held = harbour.module.wait_for_file.enqueue(str(harbour.folder / "never"))
        wait_for("a job to run", lambda: held.refresh().progress)
        held.cancel()
        assert held.wait(20).state is State.CANCELLED
        ends = Counter((job.state, job.errors, job.crashes) for job in (handle.wait(60).record for handle in jobs))
        assert ends == {(State.SUCCEEDED, 0, 0): JOBS}
        assert worker.stop() == 0
        assert "reached through a pooler" in worker.output()
    begun = Counter(line.split()[1] for line in ledger.read_text().splitlines() if line.startswith("begin"))
    assert set(begun.values()) == {1}
    assert remembered(pooler) == {"statements": 0, "channels": 0}
    assert pooler.warnings() == []


def test_statements_that_are_prepared_all_the_same_are_soon_given_up(pooler: PgBouncer, server: PostgresServer) -> None:
    with closing(open_backend(f"{pooler.url}&schema=told&prepare=yes")) as backend:
        assert isinstance(backend, PostgresBackend)
        backend.publish(
            WorkerInfo(id="w", host="box", pid=1, queues={"default": 1}, slots=1),
            Manifest(app="a", tasks=(TaskSpec(name="t.a"),)),
        )
        want = Want("default", frozenset(["t.a"]), 10)
        for seq in range(1, 30):
            job = NewJob(id=new_job_id("t.a"), task="t.a")
            assert backend.enqueue([job])[0].created
            assert [claim.id for claim in backend.step(Step(worker="w", seq=seq, wants=(want,))).claimed] == [job.id]
        assert backend.audit() == []
        assert backend._pool._is_prepared is False, "the server's sessions did not know them"


def test_whoever_enqueues_through_it_is_heard_by_those_who_listen(pooler: PgBouncer, server: PostgresServer) -> None:
    listening = open_backend(f"{server.url}&schema=heard")
    through = open_backend(f"{pooler.url}&schema=heard&listen=no")
    assert isinstance(listening, PostgresBackend)
    listening.publish(
        WorkerInfo(id="w", host="box", pid=1, queues={"default": 1}, slots=1),
        Manifest(app="a", tasks=(TaskSpec(name="t.a"),)),
    )
    with ThreadPoolExecutor(1) as threads:
        sleeping = threads.submit(
            lambda: listening.wait("w", [Want("default", frozenset(["t.a"]), 1)], 20),
        )
        wait_for("it to hear", lambda: listening._hears())
        began = time.monotonic()
        through.enqueue([NewJob(id=new_job_id("t.a"), task="t.a")])
        assert sleeping.result(20).work
        assert time.monotonic() - began < 4, "it looks by itself after five seconds"
    assert len(through.find(Filter()).jobs) == 1
    listening.close()
    through.close()
