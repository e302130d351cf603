"""Lines of their own, one for each value of an argument: when their jobs are forgotten, nothing of them is left."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest
import redis

from narrowboat.backends.base import Change, Retention
from narrowboat.backends.urls import open_backend
from narrowboat.core.controls import Controls, LimitSpec, RateSpec
from narrowboat.core.job import NewJob
from narrowboat.core.states import State
from narrowboat.testing.conformance.bench import Bench, failed, succeeded
from tests.support import postgres_server
from tests.support.postgres_server import PostgresServer
from tests.support.servers import shared_redis

TENANT = "tenant:{tenant}"
CONTROLS = Controls(rate=RateSpec(key=TENANT, interval_s=1.0, burst=2), limit=LimitSpec(key=TENANT, most=1), per=TENANT)
CONTROLS_OF_MANY = Controls(limit=LimitSpec(key=TENANT, most=5), per=TENANT)
TENANTS = [f"tenant:{n}" for n in range(1000, 1010)]
Dump = Callable[[], str]


def _sqlite(path: Path) -> str:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return "\n".join(connection.iterdump())


def _redis(url: str) -> str:
    with redis.Redis.from_url(url.partition("?")[0]) as client:
        read = {
            b"hash": client.hgetall,
            b"list": lambda key: client.lrange(key, 0, -1),
            b"set": client.smembers,
            b"zset": lambda key: client.zrange(key, 0, -1),
            b"string": client.get,
        }
        keys = client.scan_iter(f"nb:{{{parse_qs(urlsplit(url).query)['namespace'][0]}}}:*")
        return "\n".join(f"{key} {read[client.type(key)](key)}" for key in keys)


def _postgres(server: str, schema: str) -> str:
    with psycopg.connect(server) as connection:
        tables = connection.execute(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = %s AND table_type = 'BASE TABLE'",
            [schema],
        ).fetchall()
        rows = [
            connection.execute(f"SELECT t::text FROM {schema}.{name} AS t".encode()).fetchall() for (name,) in tables
        ]
    return "\n".join(text for table in rows for (text,) in table)


@pytest.fixture
def postgres() -> Iterator[tuple[PostgresServer, str]]:
    """A server, and a schema of its own there."""
    postgres_server.require()
    server, schema = postgres_server.shared_server(), postgres_server.new_schema()
    yield server, schema
    postgres_server.drop(server, [schema])


@pytest.fixture(params=["sqlite", "redis", "postgres"])
def stored(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, Dump]]:
    """A URL, and all that is stored there as text."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'jobs.db'}", lambda: _sqlite(tmp_path / "jobs.db")
    elif request.param == "redis":
        url = shared_redis().namespace()
        yield url, lambda: _redis(url)
    else:
        server, schema = request.getfixturevalue("postgres")
        yield f"{server.url}&schema={schema}", lambda: _postgres(server.url, schema)


def test_of_a_line_whose_jobs_are_forgotten_nothing_is_left(stored: tuple[str, Dump]) -> None:
    url, dump = stored
    with Bench(lambda: open_backend(url)) as bench:
        worker = bench.worker(lease_s=1e9, controls=CONTROLS)
        forget = Retention(keep_s=100, dead_s=100)
        ended = [bench.add(lane_key=tenant) for tenant in TENANTS]
        worker.settle(*(failed(claim, to=State.DEAD) for claim in worker.claim(20)))
        held = [bench.add(lane_key=tenant) for tenant in TENANTS for _ in range(3)]
        running = worker.claim(50)
        assert len(running) == len(TENANTS), "the others wait in their lines"
        bench.backend.cancel(sorted({*held} - {claim.id for claim in running}), now=bench.now)
        worker.settle(*(succeeded(claim) for claim in running))
        assert bench.backend.retry(ended[:3], Change(queue="other"), now=bench.now) == [True] * 3
        bench.later(10)
        worker.settle(*(succeeded(claim) for claim in worker.claim(9, queue="other")))
        assert TENANTS[0] in dump() and TENANTS[-1] in dump()
        bench.later(50)
        late = bench.add(lane_key=TENANTS[5])
        bench.later(80)
        assert worker.claim(1, queue="other") == [], "a step looks after the lines that are due"
        assert bench.backend.purge(forget, now=bench.now) > 0
        assert [tenant for tenant in TENANTS if tenant in dump()] == [TENANTS[5]]
        claim = worker.claim_one()
        assert claim.id == late
        worker.settle(succeeded(claim))
        bench.later(200)
        worker.claim(1)
        assert bench.backend.purge(forget, now=bench.now) == 1
        assert [tenant for tenant in TENANTS if tenant in dump()] == []
        assert bench.backend.audit() == []


def test_a_line_that_comes_and_goes_all_the_time_loses_no_job(stored: tuple[str, Dump]) -> None:
    with Bench(lambda: open_backend(stored[0])) as bench:
        worker = bench.worker(lease_s=1e9, controls=CONTROLS_OF_MANY)
        asked = [[bench.new(lane_key=TENANTS[n % 3]) for n in range(100)] for _ in range(3)]

        def hand_in(jobs: list[NewJob]) -> None:
            for job in jobs:
                bench.backend.enqueue([job], now=bench.now)

        under_way = [bench.meanwhile(lambda jobs=jobs: hand_in(jobs)) for jobs in asked]
        done: list[str] = []
        until = time.monotonic() + 120
        while len(done) < 300 and time.monotonic() < until:
            claims = worker.claim(20)
            worker.settle(*(succeeded(claim) for claim in claims))
            done += [claim.id for claim in claims]
            bench.backend.purge(Retention(keep_s=0), now=bench.now)
        for one in under_way:
            one.result(timeout=10)
        assert sorted(done) == sorted(job.id for jobs in asked for job in jobs)
        assert bench.backend.audit() == []


def test_a_line_into_which_a_transaction_is_writing_stays(postgres: tuple[PostgresServer, str]) -> None:
    server, schema = postgres
    with Bench(lambda: open_backend(f"{server.url}&schema={schema}")) as bench, psycopg.connect(server.url) as mine:
        worker = bench.worker(lease_s=1e9, controls=CONTROLS)
        bench.add(lane_key=TENANTS[0])
        worker.settle(succeeded(worker.claim_one()))
        late, waiting = bench.new(lane_key=TENANTS[0]), bench.new(lane_key=TENANTS[0])
        bench.backend.enqueue([late], mine, now=bench.now)
        assert bench.backend.purge(Retention(keep_s=0), now=bench.now) == 1
        bench.backend.enqueue([waiting], now=bench.now)  # nor does it wait for that transaction
        first = worker.claim_one()
        assert first.id == waiting.id
        worker.settle(succeeded(first))
        mine.commit()
        bench.later(5)
        assert worker.claim_one().id == late.id
        assert bench.backend.audit() == []
