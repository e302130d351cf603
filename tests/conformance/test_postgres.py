"""What is PostgreSQL's own: its URL, its schema, its migrations, its hints, and what it cannot keep."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from narrowboat.backends.base import Backend, Filter, Step, Want, WorkerInfo
from narrowboat.backends.postgres import Migration, PostgresBackend, health, pool, schema, sleep
from narrowboat.backends.postgres.address import Address
from narrowboat.backends.postgres.bells import Limiter
from narrowboat.backends.postgres.queries import Queries
from narrowboat.backends.urls import open_backend
from narrowboat.core.controls import Controls, LimitSpec
from narrowboat.core.decide import Settlement
from narrowboat.core.errors import BackendUnavailable, ConfigError, SchemaTooNew, UnsupportedByBackend
from narrowboat.core.ids import new_job_id
from narrowboat.core.job import NewJob
from narrowboat.core.states import State
from narrowboat.core.task import Manifest, TaskSpec
from tests.support.postgres_server import PostgresServer, drop, new_schema, shared_server
from tests.support.processes import wait_for

Open = Callable[..., PostgresBackend]
TASK = "t.a"
VERSION_1 = """
INSERT INTO narrowboat.schema_version VALUES (1, 1);
INSERT INTO narrowboat.lane (queue, task, lane_key, rank, turn) VALUES ('default', 't.a', '', 0, 1);
INSERT INTO narrowboat.job (ord, enqueued_at, lane, version, priority, id, task, queue, client, shape, summary, tags,
                            headers, args)
SELECT nextval('narrowboat.ord'), 0, id, 1, 0, 't.a:old', task, queue, '', '', '', '[]', '{}', '{}'
FROM narrowboat.lane;
INSERT INTO narrowboat.queued (ord, queued_at, lane, revision, errors, crashes, snoozes, rank, queue, client, ran_by)
SELECT ord, 0, lane, 1, 0, 0, 0, 0, queue, '', '' FROM narrowboat.job;
INSERT INTO narrowboat.tally (queue, queued) VALUES ('default', 1);
"""  # with one job, which waits


@pytest.fixture
def server() -> PostgresServer:
    return shared_server()


@pytest.fixture
def place(server: PostgresServer) -> Iterator[str]:
    """A URL with a schema of its own."""
    name = new_schema()
    yield f"{server.url}&schema={name}"
    drop(server, [name])


@pytest.fixture
def opened(place: str) -> Iterator[Open]:
    """Opens backends there, and closes them."""
    backends: list[Backend] = []

    def open_one(more: str = "") -> Backend:
        backends.append(open_backend(place + more))
        return backends[-1]

    yield open_one  # type: ignore[misc]
    for backend in backends:
        backend.close()


def new(**fields: object) -> NewJob:
    return NewJob(id=new_job_id(TASK), task=TASK, **fields)  # type: ignore[arg-type]


def publish(backend: Backend, worker: str = "w", controls: Controls = Controls()) -> Want:  # noqa: B008
    backend.publish(
        WorkerInfo(id=worker, host="box", pid=1, queues={"default": 1}, slots=1),
        Manifest(app="a", tasks=(TaskSpec(name=TASK, controls=controls),)),
    )
    return Want("default", frozenset([TASK]), 10)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("schema=Not-so", "small letters"),
        ("schema=pg_mine", "pg_"),
        ("listen=perhaps", "yes or no"),
        ("timeout=soon", "number of seconds"),
        ("timeout=0", "number of seconds"),
    ],
)
def test_a_setting_that_cannot_be_is_refused(server: PostgresServer, query: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        open_backend(f"{server.url}&{query}")


def test_passwords_are_not_shown() -> None:
    for url in ("postgresql://ada:s3cret@db/jobs?schema=x", "postgres:///jobs?user=ada&password=s3cret&listen=no"):
        address = Address.of(url)
        assert "s3cret" not in address.location
        assert "s3cret" in address.conninfo
        assert "listen" not in address.conninfo


def test_what_is_meant_for_libpq_reaches_it_as_it_was_written() -> None:
    query = "options=-c%20synchronous_commit%3Doff&password=a+b%26c"
    address = Address.of(f"postgresql://ada@db/jobs?schema=x&{query}&timeout=%32")
    assert address.conninfo == f"postgresql://ada@db/jobs?{query}"
    assert address.timeout_s == 2


def test_a_server_that_is_not_there_is_said_in_time() -> None:
    began = time.monotonic()
    with pytest.raises(BackendUnavailable):
        open_backend("postgresql://nobody@127.0.0.1:1/jobs?timeout=1")
    assert time.monotonic() - began < 4


def test_a_database_that_is_not_there_is_not_asked_for_again(server: PostgresServer) -> None:
    with pytest.raises(ConfigError, match="nowhere"):
        open_backend(server.url.replace("/postgres?", "/nowhere?"))


def test_a_role_that_may_not_make_the_schema_says_what_to_run(server: PostgresServer, place: str) -> None:
    with server.connect() as connection:
        connection.execute("DROP ROLE IF EXISTS guest")
        connection.execute("CREATE ROLE guest LOGIN")
    with pytest.raises(ConfigError, match="narrowboat migrate"):
        open_backend(place.replace("user=postgres", "user=guest"))


def test_two_schemas_in_one_database_know_nothing_of_each_other(server: PostgresServer, opened: Open) -> None:
    other = new_schema()
    one, two = opened(), open_backend(f"{server.url}&schema={other}")
    one.enqueue([new()])
    assert two.find(Filter()).jobs == ()
    two.close()
    drop(server, [other])


def test_many_that_start_at_once_make_one_schema(place: str) -> None:
    with ThreadPoolExecutor(8) as threads:
        backends = list(threads.map(lambda _: open_backend(f"{place}&timeout=30"), range(8)))
    assert backends[0].enqueue([new()])[0].created
    assert len(backends[7].find(Filter()).jobs) == 1
    for backend in backends:
        backend.close()


def test_the_printed_migration_does_what_the_command_does(server: PostgresServer, place: str) -> None:
    with server.connect() as connection:
        connection.execute(Migration(place).script(0).encode())
    backend = open_backend(place)
    assert Migration(place).run() == (schema.VERSION, schema.VERSION)
    assert backend.audit() == []
    backend.close()


def test_a_migration_while_a_worker_is_at_work_disturbs_nothing(place: str, opened: Open) -> None:
    backend = opened()
    want = publish(backend)
    is_over = threading.Event()

    def work() -> int:
        settled: tuple[Settlement, ...] = ()
        seq = done = 0
        while not is_over.is_set() or settled:
            seq += 1
            reply = backend.step(Step(worker="w", seq=seq, settled=settled, wants=() if is_over.is_set() else (want,)))
            assert reply.refused == ()
            done += len(settled)
            settled = tuple(
                Settlement(id=claim.id, token=claim.token, to=State.SUCCEEDED, outcome="succeeded")
                for claim in reply.claimed
            )
            backend.enqueue([new(), new()])
        return done

    with ThreadPoolExecutor(1) as threads:
        working = threads.submit(work)
        for _ in range(5):
            assert Migration(place).run() == (schema.VERSION, schema.VERSION)
        is_over.set()
        assert working.result(30) > 0
    assert backend.audit() == []


def test_a_newer_schema_is_used_if_it_says_so_and_refused_otherwise(
    server: PostgresServer, place: str, opened: Open
) -> None:
    opened()
    name = Address.of(place).schema
    with server.connect() as connection:
        connection.execute(f"UPDATE {name}.schema_version SET version = 99".encode())
        assert opened().enqueue([new()])[0].created
        assert Migration(place).run() == (99, 99)
        connection.execute(f"UPDATE {name}.schema_version SET oldest = 98".encode())
    with pytest.raises(SchemaTooNew, match="update Narrowboat"):
        opened()
    with pytest.raises(SchemaTooNew):
        Migration(place).run()


def test_an_older_schema_says_what_to_run(server: PostgresServer, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    open_backend(place).close()
    monkeypatch.setattr(schema, "VERSION", schema.VERSION + 1)
    with pytest.raises(ConfigError, match="narrowboat migrate"):
        open_backend(place)


def test_a_schema_of_version_1_keeps_its_jobs_and_whom_it_was_granted_to(server: PostgresServer, place: str) -> None:
    queries = Queries(Address.of(place).schema)
    with server.connect() as connection:
        connection.execute(f"{queries.named('begin')}{queries.migration(1)}".encode())
        connection.execute(VERSION_1.replace("narrowboat.", f"{queries.schema}.").encode())
        connection.execute("DROP ROLE IF EXISTS shop")
        connection.execute("CREATE ROLE shop LOGIN")
        connection.execute(f"GRANT USAGE ON SCHEMA {queries.schema} TO shop".encode())
        connection.execute(f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA {queries.schema} TO shop".encode())
        tables = f"ALL TABLES IN SCHEMA {queries.schema}"
        connection.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {tables} TO shop".encode())
        with pytest.raises(ConfigError, match="narrowboat migrate"):
            open_backend(place)
        assert Migration(place).run() == (1, schema.VERSION)
        backend = open_backend(place.replace("user=postgres", "user=shop"))
        publish(backend, controls=Controls(limit=LimitSpec(key="db", most=1)))
        backend.enqueue([new()])
        [claim] = backend.step(Step(worker="w", seq=1, wants=(Want("default", frozenset([TASK]), 10),))).claimed
        assert (claim.id, backend.meters(["limit:db"])["limit:db"].running) == ("t.a:old", 1)
        assert backend.audit() == []
        backend.close()
        connection.execute("DROP OWNED BY shop")
        connection.execute("DROP ROLE shop")


def test_a_migration_gives_way_to_whoever_has_what_it_wants_and_wants_what_it_has(
    server: PostgresServer, place: str
) -> None:
    queries = Queries(Address.of(place).schema)
    running = f"{queries.schema}.running"
    with server.connect() as connection:
        connection.execute(f"{queries.named('begin')}{queries.migration(1)}".encode())
        connection.execute(f"INSERT INTO {queries.schema}.schema_version VALUES (1, 1)".encode())
        waits = "SELECT 1 FROM pg_locks WHERE NOT granted AND relation = %s::regclass"
        with ThreadPoolExecutor(1) as threads:
            with server.connect() as program, program.transaction():
                program.execute(f"LOCK TABLE {running} IN ROW EXCLUSIVE MODE".encode())
                migrating = threads.submit(Migration(place).run)
                wait_for("it to wait", lambda: connection.execute(waits, [running]).fetchone())
                program.execute(f"LOCK TABLE {queries.schema}.lane IN ROW EXCLUSIVE MODE".encode())
            assert migrating.result(30) == (1, schema.VERSION)


def test_the_command_migrates_and_prints(place: str) -> None:
    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "narrowboat.cli", "migrate", *words], capture_output=True, text=True, check=False
        )

    assert "is new" in run("--url", place).stdout
    printed = run("--url", place, "--sql", "--from", "0").stdout
    assert printed.startswith("BEGIN;")
    assert printed.rstrip().endswith("COMMIT;")
    assert f"CREATE TABLE {Address.of(place).schema}.job" in printed
    assert "CREATE TABLE" not in run("--url", place, "--sql").stdout.replace("CREATE TABLE IF NOT EXISTS", "")
    assert run("--url", "sqlite:///x.db").returncode == 2


def test_text_that_postgresql_cannot_keep_is_refused_or_marked(opened: Open) -> None:
    backend = opened()
    want = publish(backend)
    for field in ("queue", "lane_key", "key", "client"):
        with pytest.raises(UnsupportedByBackend, match="NUL"):
            backend.enqueue([new(**{field: "a\0b"})])
    assert backend.find(Filter()).jobs == ()
    backend.enqueue([new(summary="a\0b", args=b'{"text":"\\u0000"}')])
    [claim] = backend.step(Step(worker="w", seq=1, wants=(want,))).claimed
    assert claim.args == b'{"text":"\\u0000"}'
    end = Settlement(id=claim.id, token=claim.token, to=State.DEAD, outcome="failed", reason="no\0such", logs=("\0",))
    assert backend.step(Step(worker="w", seq=2, settled=(end,))).refused == ()
    [job] = backend.get([claim.id])
    assert job is not None
    assert (job.summary, job.reason, job.history[0].logs) == ("a\ufffdb", "no\ufffdsuch", ("\0",))


def test_a_hint_wakes_a_worker_of_another_process_at_once_and_not_again_and_again(
    server: PostgresServer, opened: Open
) -> None:
    waiting, other = opened(), opened()
    want = publish(waiting)
    with ThreadPoolExecutor(1) as threads:
        sleeping = threads.submit(lambda: waiting.wait("w", [want], 20))
        wait_for("the ear to hear", lambda: waiting._hears())
        began = time.monotonic()
        other.enqueue([new()])
        assert sleeping.result(10).work
        assert time.monotonic() - began < 4  # it looks by itself after 5 s


def test_the_server_tells_of_one_job_itself_once_it_is_written(
    server: PostgresServer, place: str, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = opened("&listen=no")
    tells: list[object] = []
    monkeypatch.setattr(backend, "_tell", tells.append)
    schema = Address.of(place).schema
    with server.connect() as listening, server.connect() as other:
        listening.execute(f"LISTEN {schema}".encode())
        backend.enqueue([new()])
        backend.enqueue([new()])  # its lane has work already
        other.execute(f"NOTIFY {schema}, 'that is all'".encode())  # what was told is heard in its order
        heard = list(listening.notifies(timeout=30, stop_after=2))
        assert [one.payload for one in heard] == ["queue:default", "that is all"]
        assert listening.execute(f"SELECT count(*) FROM {schema}.queued".encode()).fetchone() == (2,)
    assert tells == []


def test_one_job_is_written_once_though_nobody_may_be_told(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = opened("&listen=no")
    monkeypatch.setattr(backend, "_hints", Limiter(60))
    job = new()
    assert [one.created for one in (*backend.enqueue([job]), *backend.enqueue([job]))] == [True, False]
    assert backend.enqueue([new()])[0].created
    assert len(backend.find(Filter()).jobs) == 2


def test_a_hint_that_was_held_back_after_another_is_made_up_for(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    waiting, other = opened(), opened()
    monkeypatch.setattr(other, "_hints", Limiter(0.5))
    monkeypatch.setattr(sleep, "AFTERWARDS_S", 0.6)
    want = publish(waiting)
    waiting.wait("w", [want], 0.05)
    wait_for("the ear to hear", waiting._hears)
    with ThreadPoolExecutor(1) as threads:
        sleeping = threads.submit(lambda: waiting.wait("w", [want], 20))
        other.enqueue([new()])
        assert sleeping.result(10).work
        assert len(waiting.step(Step(worker="w", seq=1, wants=(want,))).claimed) == 1
        began = time.monotonic()
        sleeping = threads.submit(lambda: waiting.wait("w", [want], 20))
        wait_for("it to look in vain", lambda: not waiting._waits._seen["w", True].look.has_work)
        other.enqueue([new()])  # too soon after the first to be said
        assert sleeping.result(30).work
        assert time.monotonic() - began < 4  # it looks by itself after 5 s


def test_without_hints_a_worker_looks_by_itself(opened: Open) -> None:
    waiting, other = opened("&listen=no"), opened("&listen=no")
    want = publish(waiting)
    with ThreadPoolExecutor(1) as threads:
        sleeping = threads.submit(lambda: waiting.wait("w", [want], 20))
        other.enqueue([new()])
        assert sleeping.result(15).work


def test_a_long_transaction_that_enqueues_blocks_nobody_and_is_not_overlooked(
    server: PostgresServer, place: str, opened: Open
) -> None:
    backend = opened()
    want = publish(backend)
    backend.enqueue([new()])
    [first] = backend.step(Step(worker="w", seq=1, wants=(want,))).claimed
    name = Address.of(place).schema
    with psycopg.connect(server.url) as long:
        long.execute(
            f"SELECT * FROM {name}.enqueue(ARRAY['default'], ARRAY['t.a'], ARRAY[''], "
            """'[{"lane": 1, "id": "t.a:long"}]', false, NULL, false)""".encode()
        )
        began = time.monotonic()
        for seq in (2, 3):
            backend.enqueue([new()])
            assert len(backend.step(Step(worker="w", seq=seq, wants=(want,))).claimed) == 1
        assert time.monotonic() - began < 4  # after which who waits for a lock gives up
        long.commit()
    [late] = backend.step(Step(worker="w", seq=4, wants=(want,))).claimed
    assert (late.id, first.id != late.id) == ("t.a:long", True)
    assert backend.audit() == []


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_fork_leaves_the_connections_of_its_parent_alone(opened: Open) -> None:
    backend = opened()
    want = publish(backend)
    backend.wait("w", [want], 0.05)
    mine, theirs = new(), new()
    child = os.fork()
    if child == 0:
        signal.alarm(60)  # a deadlock is a failure, not a hang
        try:
            backend.enqueue([theirs])
            is_well = backend.wait("w", [want], 5).work
            backend.close()
            os._exit(0 if is_well else 1)
        except BaseException:  # noqa: BLE001
            os._exit(2)
    assert os.waitpid(child, 0)[1] == 0
    backend.enqueue([mine])
    assert {job.id for job in backend.find(Filter()).jobs} == {mine.id, theirs.id}


def test_every_statement_has_a_header_and_none_is_forgotten() -> None:
    folder = Path(schema.__file__).parent / "sql"
    source = "".join(path.read_text() for path in folder.parent.glob("*.py"))
    for path in folder.rglob("*.sql"):
        assert path.read_text().startswith("-- "), path
    for path in (folder / "queries").glob("*.sql"):
        assert re.search(rf'"{path.stem}"', source), f"nobody uses {path}"


def run_cli(*words: str, status: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "narrowboat.cli", *words], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


def tables_of(server: PostgresServer, place: str) -> int:
    with server.connect() as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_tables WHERE schemaname = %s", [Address.of(place).schema]
        ).fetchone()
    assert row is not None
    return row[0]


@pytest.mark.parametrize("words", [["jobs"], ["queues"], ["job", "t.a:01J9ZK5Y7RAEKXB0N3TS4M6WCD"], ["resume", "x"]])
def test_to_look_makes_no_schema_and_says_that_there_is_none(
    server: PostgresServer, place: str, words: list[str]
) -> None:
    said = run_cli(*words, "--url", place, status=3)
    assert f"has no schema {Address.of(place).schema}" in said
    assert "no job was enqueued" in said
    assert tables_of(server, place) == 0


def setup_of(backend: Backend) -> dict[str, tuple[str, str]]:
    return {what: (how, means) for what, how, means in backend.setup()}


def test_a_server_as_it_should_be_is_not_doubted(opened: Open) -> None:
    safe = "&options=-c%20synchronous_commit%3Don"
    doubts = [doubt for doubt in opened(safe).doubts() if "fsync" not in doubt and "full_page_writes" not in doubt]
    assert doubts == []


def test_settings_that_forget_jobs_are_doubted(server: PostgresServer, opened: Open) -> None:
    backend = opened("&options=-c%20synchronous_commit%3Doff")
    doubts = " ".join(backend.doubts())
    for setting in ("fsync", "full_page_writes", "synchronous_commit"):  # the tests' own server is quick, not safe
        assert f"{setting} off" in doubts
        assert setup_of(backend)[setting][0] == "OFF"
    assert "autovacuum" not in doubts
    with server.connect() as connection:
        connection.execute("ALTER SYSTEM SET autovacuum = off")
        connection.execute("SELECT pg_reload_conf()")
        try:
            wait_for("the setting", lambda: "autovacuum off" in " ".join(opened().doubts()))
        finally:
            connection.execute("ALTER SYSTEM RESET autovacuum")
            connection.execute("SELECT pg_reload_conf()")


def test_a_transaction_that_stays_open_is_named(
    server: PostgresServer, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = opened()
    backend.enqueue([new()])
    assert not any("VACUUM" in doubt for doubt in backend.doubts())
    assert setup_of(backend)["oldest transaction"] == ("none that is old", "")
    monkeypatch.setattr(health, "LONG_S", 0.0)
    with psycopg.connect(server.url, application_name="report") as long:
        long.execute("SELECT pg_current_xact_id()")
        named = f"process {long.info.backend_pid} of postgres, report"
        # The server itself may just be at work on an older one.
        wait_for("a doubt", lambda: any(named in doubt for doubt in backend.doubts() if "VACUUM" in doubt))
        wait_for("it to be shown", lambda: named in setup_of(backend)["oldest transaction"][0])
    wait_for("it to be over", lambda: not any("report" in doubt for doubt in backend.doubts()))


def test_a_role_that_may_not_look_at_others_says_so(server: PostgresServer, place: str, opened: Open) -> None:
    opened().enqueue([new()])
    name = Address.of(place).schema
    with server.connect() as connection:
        connection.execute("DROP ROLE IF EXISTS modest")
        connection.execute("CREATE ROLE modest LOGIN")
        connection.execute(f"GRANT USAGE ON SCHEMA {name} TO modest".encode())
        connection.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA {name} TO modest".encode())
        modest = open_backend(place.replace("user=postgres", "user=modest"), make=False)
        assert "pg_read_all_stats" in setup_of(modest)["oldest transaction"][1]
        modest.close()
        connection.execute("DROP OWNED BY modest")
        connection.execute("DROP ROLE modest")


def test_doctor_shows_a_database_without_a_schema_and_one_that_is_old(
    server: PostgresServer, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = open_backend(place, make=False)
    assert setup_of(backend)["schema"][0].endswith("NOT THERE")
    assert "narrowboat migrate" in setup_of(backend)["schema"][1]
    assert tables_of(server, place) == 0
    open_backend(place).close()
    assert setup_of(backend)["schema"] == (f"{Address.of(place).schema}, version {schema.VERSION}", "")
    monkeypatch.setattr(schema, "VERSION", schema.VERSION + 1)
    assert "run `narrowboat migrate`" in setup_of(backend)["schema"][1]
    with pytest.raises(ConfigError, match="narrowboat migrate"):
        backend.find(Filter())
    backend.close()


def test_an_old_server_is_refused(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "OLDEST", 99)
    with pytest.raises(ConfigError, match=r"PostgreSQL 99 or newer is needed, this is \d\d\.\d"):
        open_backend(place)


def test_doctor_says_how_the_server_is_set_up(place: str) -> None:
    said = subprocess.run(
        [sys.executable, "-m", "narrowboat.cli", "doctor", "--url", place], capture_output=True, text=True, check=False
    ).stdout
    assert "synchronous_commit  on" in said
    assert "fsync               OFF" in said
    assert "pooler              none" in said
