"""Enqueue in the caller's own transaction: a job exists exactly when that is committed, whatever the connection is."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from narrowboat import App, BackendUnavailable, ConfigError, File, Queue, QueueFull, State, UnknownJob
from narrowboat.backends.base import Backend, Filter, Want, WorkerInfo
from narrowboat.backends.urls import open_backend
from narrowboat.core.errors import UnsupportedByBackend
from narrowboat.core.task import Manifest, TaskSpec
from narrowboat.files.store import SHARDS
from tests.support.callers import (
    ASYNC_POSTGRES,
    POSTGRES,
    SQLITE,
    AsyncCaller,
    Caller,
    of_async_psycopg,
    of_async_session,
    of_psycopg,
    of_session,
    of_sqlite,
    of_sqlite_begun_by_hand,
)
from tests.support.postgres_server import PostgresServer, drop, new_schema, require, shared_server
from tests.support.processes import wait_for

TASK = "shop.receipt"


@dataclass
class Place:
    """A backend, what an app has to do with it, and where callers connect to."""

    app: App
    where: str
    url: str

    @property
    def backend(self) -> Backend:
        return self.app.backend

    def ids(self) -> list[str]:
        return [job.id for job in self.backend.find(Filter(), limit=1000).jobs]

    def receipt(self, given: Any, number: int = 1, **options: Any) -> Any:
        return self.app.runnables()[TASK].using(connection=given, **options).enqueue(number)  # type: ignore[attr-defined]


def app_at(url: str, folder: Path) -> App:
    app = App("shop", url=url, files=f"file://{folder}/files", queues=[Queue("few", waiting=2)])

    @app.task(name=TASK)
    def receipt(number: int) -> int:
        return number

    @app.task(name="shop.keep")
    def keep(scan: File) -> None:
        pass

    return app


@pytest.fixture
def server() -> PostgresServer:
    return shared_server()


@pytest.fixture
def postgres(server: PostgresServer, tmp_path: Path) -> Iterator[Place]:
    schema = new_schema()
    url = f"{server.url}&schema={schema}"
    app = app_at(url, tmp_path)
    with server.connect() as connection:
        connection.execute("DROP TABLE IF EXISTS orders")
        connection.execute("CREATE TABLE orders (number integer)")
    yield Place(app, server.url, url)
    assert app.backend.audit() == []
    app.close()
    drop(server, [schema])


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[Place]:
    path = tmp_path / "shop.db"
    app = app_at(f"sqlite:///{path}", tmp_path)
    assert app.backend.audit() == []  # which makes the file
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE orders (number integer)")
    yield Place(app, str(path), f"sqlite:///{path}")
    assert app.backend.audit() == []
    app.close()


PLACES = [("postgres", kind) for kind in POSTGRES] + [("sqlite", kind) for kind in SQLITE]


@pytest.fixture(params=PLACES, ids=lambda param: f"{param[0]}-{param[1].__name__}")
def at(request: pytest.FixtureRequest) -> Iterator[tuple[Place, Caller]]:
    """Each backend with each kind of connection to it."""
    name, kind = request.param
    place: Place = request.getfixturevalue(name)
    caller = kind(place.where)
    yield place, caller
    caller.rollback()
    caller.close()


@contextlib.asynccontextmanager
async def calling(kind: Callable[[str], Any], place: Place) -> AsyncGenerator[AsyncCaller]:
    caller = await kind(place.where)
    try:
        yield caller
        await caller.rollback()
    finally:
        await caller.close()


def orders(place: Place) -> int:
    with closing(
        sqlite3.connect(place.where) if place.url.startswith("sqlite") else psycopg.connect(place.where)
    ) as db:
        return db.execute("SELECT count(*) FROM orders").fetchone()[0]  # type: ignore[index]


def publish(backend: Backend, worker: str) -> Want:
    backend.publish(
        WorkerInfo(id=worker, host="box", pid=1, queues={"default": 1}, slots=1),
        Manifest(app="shop", tasks=(TaskSpec(name=TASK),)),
    )
    return Want("default", frozenset([TASK]), 10)


def test_a_job_exists_exactly_when_the_transaction_is_committed(at: tuple[Place, Caller]) -> None:
    place, caller = at
    for is_first in (True, False):  # the job is the first thing in the transaction, or the order is
        for end, expected in ((caller.rollback, False), (caller.commit, True)):
            before = orders(place), len(place.ids())
            if not is_first:
                caller.execute("INSERT INTO orders VALUES (1)")
            job = place.receipt(caller.given)
            if is_first:
                caller.execute("INSERT INTO orders VALUES (1)")
            assert (orders(place), len(place.ids())) == before, "not committed yet"
            with pytest.raises(UnknownJob):
                job.refresh()
            end()
            assert (orders(place), len(place.ids())) == (before[0] + expected, before[1] + expected)
            assert (job.id in place.ids()) is expected


def test_a_job_alone_is_committed_and_rolled_back_too(at: tuple[Place, Caller]) -> None:
    place, caller = at
    place.receipt(caller.given)
    caller.rollback()
    job = place.receipt(caller.given)
    caller.commit()
    assert place.ids() == [job.id]


def test_many_jobs_are_one_call_and_one_transaction(at: tuple[Place, Caller]) -> None:
    place, caller = at
    receipt = place.app.runnables()[TASK].using(connection=caller.given, queue="bulk")  # type: ignore[attr-defined]
    for end, expected in ((caller.rollback, 0), (caller.commit, 100)):
        handles = place.app.enqueue_many([receipt.job(number) for number in range(100)])
        end()
        assert len(place.ids()) == expected
    assert place.ids()[::-1] == [handle.id for handle in handles]


def test_a_key_is_held_by_what_the_transaction_itself_has_enqueued(at: tuple[Place, Caller]) -> None:
    place, caller = at
    first = place.receipt(caller.given, 1, key="order-1")
    again = place.receipt(caller.given, 2, key="order-1")
    assert (first.created, again.created, again.id) == (True, False, first.id)
    caller.rollback()
    third = place.receipt(caller.given, 3, key="order-1")
    assert third.created
    caller.commit()
    assert not place.receipt(caller.given, 4, key="order-1").created
    caller.commit()
    assert place.ids() == [third.id]


def test_delays_priorities_and_the_rest_are_as_always(at: tuple[Place, Caller]) -> None:
    place, caller = at
    job = place.receipt(caller.given, run_after="10m", priority=7, tags=["x"], summary="for {number}")
    caller.commit()
    record = job.refresh().record
    assert (record.state, record.priority, record.tags, record.summary) == (State.SCHEDULED, 7, ("x",), "for 1")


def test_a_full_queue_leaves_the_transaction_as_it_was(at: tuple[Place, Caller]) -> None:
    place, caller = at
    caller.execute("INSERT INTO orders VALUES (1)")
    kept = [place.receipt(caller.given, number, queue="few").id for number in range(2)]
    with pytest.raises(QueueFull):
        place.receipt(caller.given, 3, queue="few")
    caller.execute("INSERT INTO orders VALUES (2)")
    place.receipt(caller.given, 4)
    caller.commit()
    assert (orders(place), len(place.ids())) == (2, 3)
    assert set(kept) <= set(place.ids())


def test_a_full_queue_refuses_the_first_statement_of_a_transaction_too(at: tuple[Place, Caller]) -> None:
    place, caller = at
    for number in range(2):
        place.receipt(caller.given, number, queue="few")
        caller.commit()
    with pytest.raises(QueueFull):
        place.receipt(caller.given, 3, queue="few")
    caller.execute("INSERT INTO orders VALUES (1)")
    caller.commit()
    assert (orders(place), len(place.ids())) == (1, 2)


def test_the_room_that_a_rollback_gives_back_is_there_again(at: tuple[Place, Caller]) -> None:
    place, caller = at
    for _ in range(3):
        for number in range(2):
            place.receipt(caller.given, number, queue="few")
        caller.rollback()
    assert place.ids() == []


def test_files_of_a_refused_job_are_not_kept(at: tuple[Place, Caller], tmp_path: Path) -> None:
    place, caller = at
    keep = place.app.runnables()["shop.keep"].using(connection=caller.given, queue="few")  # type: ignore[attr-defined]
    jobs = [keep.enqueue(File.of(b"scan", "scan.txt")).id for _ in range(2)]
    with pytest.raises(QueueFull):
        keep.enqueue(File.of(b"scan", "scan.txt"))
    caller.commit()
    assert sorted(place.ids()) == sorted(jobs)
    kept = [found for shard in SHARDS for found, _ in place.app.files.jobs(shard)]
    assert sorted(kept) == sorted(jobs)


def test_an_idle_worker_hears_of_the_job_when_it_is_committed(at: tuple[Place, Caller]) -> None:
    place, caller = at
    with closing(open_backend(place.url)) as other:
        want = publish(other, "w")
        woken: list[float] = []

        def sleep() -> None:
            assert other.wait("w", [want], 30.0).work
            woken.append(time.monotonic())

        assert not other.wait("w", [want], 0.0).work
        sleeper = threading.Thread(target=sleep)
        sleeper.start()
        if place.url.startswith("postgresql"):
            wait_for("the worker to listen", lambda: other._ear.hears)  # type: ignore[attr-defined]
        place.receipt(caller.given)
        assert not other.wait("w", [], 0.05).work
        assert not woken
        began = time.monotonic()
        caller.commit()
        sleeper.join(40)
        assert woken
        assert woken[0] - began < 4.0  # in PostgreSQL it looks by itself after 5 s


@pytest.mark.parametrize("kind", ASYNC_POSTGRES, ids=lambda kind: kind.__name__)
def test_async_code_awaits_the_same(postgres: Place, kind: Callable[[str], Any]) -> None:
    receipt: Any = postgres.app.runnables()[TASK]

    async def main() -> None:
        async with calling(kind, postgres) as caller:
            for end, expected in ((caller.rollback, 0), (caller.commit, 1)):
                await receipt.using(connection=caller.given).aenqueue(1)
                await caller.execute("INSERT INTO orders VALUES (1)")
                assert postgres.ids() == []
                await end()
                assert (orders(postgres), len(postgres.ids())) == (expected, expected)
            many = receipt.using(connection=caller.given)
            handles = await postgres.app.aenqueue_many([many.job(number) for number in range(50)])
            await caller.commit()
            assert postgres.ids()[:50] == [handle.id for handle in handles][::-1]

    asyncio.run(main())


@pytest.mark.parametrize("kind", ASYNC_POSTGRES, ids=lambda kind: kind.__name__)
def test_a_full_queue_leaves_an_async_transaction_as_it_was(postgres: Place, kind: Callable[[str], Any]) -> None:
    receipt: Any = postgres.app.runnables()[TASK]

    async def main() -> None:
        async with calling(kind, postgres) as caller:
            few = receipt.using(connection=caller.given, queue="few")
            await few.aenqueue(1)
            await caller.rollback()
            await few.aenqueue(2)
            await few.aenqueue(3)
            with pytest.raises(QueueFull):
                await few.aenqueue(4)
            await caller.execute("INSERT INTO orders VALUES (1)")
            await caller.commit()

    asyncio.run(main())
    assert (orders(postgres), len(postgres.ids())) == (1, 2)


def test_files_of_a_refused_job_are_not_kept_in_async_code_either(postgres: Place) -> None:
    keep: Any = postgres.app.runnables()["shop.keep"]

    async def main() -> None:
        async with calling(of_async_psycopg, postgres) as caller:
            few = keep.using(connection=caller.given, queue="few")
            for _ in range(2):
                await few.aenqueue(File.of(b"scan", "scan.txt"))
            with pytest.raises(QueueFull):
                await few.aenqueue(File.of(b"scan", "scan.txt"))
            await caller.commit()

    asyncio.run(main())
    kept = [found for shard in SHARDS for found, _ in postgres.app.files.jobs(shard)]
    assert sorted(kept) == sorted(postgres.ids())


def test_an_async_caller_may_have_a_connection_that_is_not_async(at: tuple[Place, Caller]) -> None:
    place, caller = at
    receipt: Any = place.app.runnables()[TASK]
    job = asyncio.run(receipt.using(connection=caller.given).aenqueue(1))
    assert place.ids() == []
    caller.commit()
    assert place.ids() == [job.id]


@pytest.mark.parametrize("kind", ASYNC_POSTGRES, ids=lambda kind: kind.__name__)
def test_sync_code_is_told_to_await_an_async_connection(postgres: Place, kind: Callable[[str], Any]) -> None:
    async def main() -> None:
        async with calling(kind, postgres) as caller:
            with pytest.raises(ConfigError, match="aenqueue"):
                postgres.receipt(caller.given)

    asyncio.run(main())
    assert postgres.ids() == []


def test_in_autocommit_the_job_is_there_at_once(postgres: Place, sqlite: Place) -> None:
    with psycopg.connect(postgres.where, autocommit=True) as mine:
        for queue in ("default", "few"):
            assert postgres.receipt(mine, queue=queue).id in postgres.ids()
    with closing(sqlite3.connect(sqlite.where, isolation_level=None)) as mine:
        for queue in ("default", "few"):
            assert sqlite.receipt(mine, queue=queue).id in sqlite.ids()
            assert not mine.in_transaction


def test_a_savepoint_that_is_rolled_back_takes_its_jobs_with_it(postgres: Place) -> None:
    with psycopg.connect(postgres.where) as mine:
        kept = postgres.receipt(mine, 1)
        with contextlib.suppress(ZeroDivisionError), mine.transaction():
            postgres.receipt(mine, 2, queue="few")
            postgres.receipt(mine, 3)
            raise ZeroDivisionError
        mine.commit()
    assert postgres.ids() == [kept.id]
    session = of_session(postgres.where)
    with session.given.begin_nested() as nested:
        postgres.receipt(session.given, 4)
        nested.rollback()
    session.commit()
    session.close()
    assert postgres.ids() == [kept.id]


def test_jobs_of_one_call_take_one_connection(postgres: Place) -> None:
    receipt: Any = postgres.app.runnables()[TASK]
    with psycopg.connect(postgres.where) as mine, psycopg.connect(postgres.where) as other:
        one, two, none = receipt.using(connection=mine).job(1), receipt.using(connection=other).job(2), receipt.job(3)
        for jobs in ([one, two], [one, none], [none, one]):
            with pytest.raises(ConfigError, match="one connection="):
                postgres.app.enqueue_many(jobs)
    assert postgres.ids() == []


def test_two_transactions_with_the_first_jobs_of_a_task_do_not_wait_for_one_another(postgres: Place) -> None:
    one, two = of_psycopg(postgres.where), of_psycopg(postgres.where)
    began = time.monotonic()
    postgres.receipt(one.given)
    postgres.receipt(two.given)
    postgres.receipt(None)  # without a transaction
    assert time.monotonic() - began < 4.0  # after which who waits for a lock gives up
    for caller in (two, one):
        caller.commit()
        caller.close()
    assert len(postgres.ids()) == 3


def test_a_key_that_another_transaction_has_asked_for_waits_for_its_end(postgres: Place) -> None:
    one, two = of_psycopg(postgres.where), of_psycopg(postgres.where)
    first = postgres.receipt(one.given, key="order-1")
    with pytest.raises(BackendUnavailable, match="locked for seconds"):
        postgres.receipt(two.given, key="order-1")
    two.rollback()
    one.commit()
    assert not postgres.receipt(two.given, key="order-1").created
    two.commit()
    assert postgres.ids() == [first.id]
    for caller in (one, two):
        caller.close()


def test_a_worker_hears_also_where_its_lane_was_not_empty_when_the_job_was_enqueued(postgres: Place) -> None:
    with closing(open_backend(postgres.url)) as other:
        want = publish(other, "w")
        there = postgres.receipt(None)
        caller = of_psycopg(postgres.where)
        job = postgres.receipt(caller.given)
        assert [claim.id for claim in _claimed(other, want, 1)] == [there.id]
        ears = threading.Thread(target=other.wait, args=("w", [want], 0.2))
        ears.start()
        wait_for("the worker to listen", lambda: other._ear.hears)  # type: ignore[attr-defined]
        ears.join()
        woken: list[float] = []

        def sleep() -> None:
            assert other.wait("w", [want], 30.0).work
            woken.append(time.monotonic())

        sleeper = threading.Thread(target=sleep)
        sleeper.start()
        began = time.monotonic()
        caller.commit()
        sleeper.join(40)
        assert woken
        assert woken[0] - began < 4.0  # in PostgreSQL it looks by itself after 5 s
        assert [claim.id for claim in _claimed(other, want, 2)] == [job.id]
        caller.close()


def _claimed(backend: Backend, want: Want, seq: int) -> Any:
    from narrowboat.backends.base import Step

    return backend.step(Step(worker="w", seq=seq, wants=(want,))).claimed


@pytest.mark.parametrize("isolation", [psycopg.IsolationLevel.REPEATABLE_READ, psycopg.IsolationLevel.SERIALIZABLE])
def test_stricter_isolation_is_fine_but_for_queues_with_limits(
    postgres: Place, isolation: psycopg.IsolationLevel
) -> None:
    postgres.receipt(None)
    with closing(psycopg.connect(postgres.where)) as mine:
        mine.isolation_level = isolation
        mine.execute("SELECT count(*) FROM orders")
        postgres.receipt(mine)
        with pytest.raises(UnsupportedByBackend, match="read committed"):
            postgres.receipt(mine, queue="few")
        mine.commit()
    assert len(postgres.ids()) == 2


def test_what_a_transaction_is_to_be_tried_again_for_stays_the_drivers_error(postgres: Place) -> None:
    with closing(psycopg.connect(postgres.where)) as mine:
        mine.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        mine.execute("SELECT count(*) FROM orders")
        postgres.receipt(None, key="order-1")
        with pytest.raises(psycopg.errors.SerializationFailure):
            postgres.receipt(mine, key="order-1")


def test_the_first_job_of_a_task_in_an_older_snapshot_is_to_be_tried_again(postgres: Place) -> None:
    with closing(psycopg.connect(postgres.where)) as mine:
        mine.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        mine.execute("SELECT count(*) FROM orders")
        with pytest.raises(psycopg.errors.SerializationFailure):
            postgres.receipt(mine)
        mine.rollback()
        postgres.receipt(mine)
        mine.commit()
    assert len(postgres.ids()) == 1


def test_a_connection_to_another_database_is_refused_and_its_transaction_lives_on(
    postgres: Place, server: PostgresServer
) -> None:
    with server.connect() as connection:
        connection.execute("CREATE DATABASE elsewhere")
    try:
        with closing(psycopg.connect(postgres.where.replace("/postgres?", "/elsewhere?"))) as mine:
            mine.execute("CREATE TABLE orders (number integer)")
            with pytest.raises(ConfigError, match=r"the database elsewhere .* has no schema"):
                postgres.receipt(mine)
            mine.execute("INSERT INTO orders VALUES (1)")
            mine.commit()
    finally:
        with server.connect() as connection:
            connection.execute("DROP DATABASE elsewhere WITH (FORCE)")
    assert postgres.ids() == []


def test_a_role_that_may_not_enqueue_is_told_so_and_its_transaction_lives_on(
    postgres: Place, server: PostgresServer
) -> None:
    assert postgres.ids() == []
    with server.connect() as connection:
        connection.execute("DROP ROLE IF EXISTS teller")
        connection.execute("CREATE ROLE teller LOGIN")
    with closing(psycopg.connect(postgres.where.replace("user=postgres", "user=teller"))) as mine:
        with pytest.raises(ConfigError, match="role teller"):
            postgres.receipt(mine)
        assert mine.execute("SELECT 1").fetchone() == (1,)


def test_a_transaction_that_has_failed_is_told_apart(postgres: Place) -> None:
    with closing(psycopg.connect(postgres.where)) as mine:
        with pytest.raises(psycopg.errors.UndefinedTable):
            mine.execute("SELECT * FROM nowhere")
        with pytest.raises(ConfigError, match="roll it back"):
            postgres.receipt(mine)
    with pytest.raises(ConfigError, match="closed"):
        postgres.receipt(mine)


def test_a_server_that_was_restarted_is_still_the_same(tmp_path: Path) -> None:
    require()
    server = PostgresServer()
    try:
        app = app_at(server.url, tmp_path)
        place = Place(app, server.url, server.url)
        with psycopg.connect(server.url) as mine:
            place.receipt(mine)
        server.stop()
        server.start()
        with psycopg.connect(server.url) as mine:
            place.receipt(mine)
        assert len(place.ids()) == 2
        app.close()
    finally:
        server.remove()


def test_what_is_no_connection_is_named(postgres: Place, sqlite: Place, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"an object; where jobs are in PostgreSQL.*psycopg"):
        postgres.receipt(object())
    with pytest.raises(ConfigError, match=r"an object; where jobs are in SQLite.*sqlite3"):
        sqlite.receipt(object())
    wanted = r"sqlite3\.Connection; where jobs are in PostgreSQL"
    with closing(sqlite3.connect(sqlite.where)) as mine, pytest.raises(ConfigError, match=wanted):
        postgres.receipt(mine)
    session = of_session(sqlite.where)
    with pytest.raises(ConfigError, match=r"Session on a sqlite3\.Connection; where jobs are in PostgreSQL"):
        postgres.receipt(session.given)
    session.close()

    async def wrong() -> None:
        async with calling(of_async_session, postgres) as caller:
            with pytest.raises(ConfigError, match="where jobs are in SQLite"):
                receipt: Any = sqlite.app.runnables()[TASK]
                await receipt.using(connection=caller.given).aenqueue(1)

    asyncio.run(wrong())
    for elsewhere in (tmp_path / "other.db", ":memory:"):
        with closing(sqlite3.connect(elsewhere)) as mine, pytest.raises(ConfigError, match="but the jobs are in"):
            sqlite.receipt(mine)


def test_an_attached_file_is_not_the_transactions_own(sqlite: Place, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "other.db")) as mine:
        mine.execute("ATTACH ? AS jobs", [sqlite.where])
        with pytest.raises(ConfigError, match=r"other\.db"):
            sqlite.receipt(mine)


def test_a_file_may_be_known_by_another_name(sqlite: Place, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path, target_is_directory=True)
    with closing(sqlite3.connect(tmp_path / "link" / "shop.db")) as mine:
        job = sqlite.receipt(mine)
        mine.commit()
    assert sqlite.ids() == [job.id]


def test_a_transaction_that_has_read_what_is_no_longer_so_is_told_to_begin_otherwise(sqlite: Place) -> None:
    caller = of_sqlite_begun_by_hand(sqlite.where)
    caller.execute("SELECT count(*) FROM orders").fetchall()
    sqlite.receipt(None)
    with pytest.raises(BackendUnavailable, match="BEGIN IMMEDIATE"):
        sqlite.receipt(caller.given)
    caller.rollback()
    sqlite.receipt(caller.given)
    caller.commit()
    caller.close()
    assert len(sqlite.ids()) == 2


def test_what_fails_in_the_middle_leaves_a_callers_transaction_as_it_was(sqlite: Place) -> None:
    caller = of_sqlite(sqlite.where)
    caller.execute("INSERT INTO orders VALUES (1)")
    caller.execute("CREATE TEMP TRIGGER refuse BEFORE INSERT ON payload BEGIN SELECT RAISE(ABORT, 'no'); END")
    with pytest.raises(BackendUnavailable, match="no"):
        sqlite.receipt(caller.given)
    caller.execute("DROP TRIGGER refuse")
    caller.commit()
    assert (orders(sqlite), sqlite.ids()) == (1, [])
    caller.close()
