"""PostgreSQL is shut down, killed, frozen and cut off under real workers, and loses nothing."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial
from math import inf
from pathlib import Path

import pytest
from psycopg import Connection

from narrowboat.backends.postgres.address import Address
from narrowboat.backends.postgres.pool import Pool
from narrowboat.backends.postgres.queries import Queries
from narrowboat.backends.urls import open_backend
from narrowboat.core.errors import BackendUnavailable
from narrowboat.core.ids import new_job_id
from narrowboat.core.job import NewJob
from narrowboat.core.states import FINAL, State
from tests.support.postgres_server import QUICK, PostgresServer, require
from tests.support.processes import WorkerProcess, running_worker, wait_for

from .conftest import Harbour, moored

JOBS = 2000


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    require()
    server = PostgresServer({})  # which may be killed: it writes what it says it has written
    yield server
    server.remove()


@pytest.fixture
def harbour(server: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Harbour]:
    yield from moored(tmp_path, monkeypatch, server.url)


def count_settlements(connection: Connection) -> None:
    """Have the database itself write down every end of a job, whoever makes it."""
    connection.execute(
        """
        CREATE TABLE settled_log (id text, state text);
        CREATE FUNCTION note_the_end() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            INSERT INTO public.settled_log SELECT id, NEW.state FROM narrowboat.job WHERE ord = NEW.ord;
            RETURN NULL;
        END $$;
        CREATE TRIGGER note_the_end AFTER INSERT ON narrowboat.done FOR EACH ROW EXECUTE FUNCTION note_the_end();
        """
    )


def settlements(server: PostgresServer) -> Counter[str]:
    with server.connect() as connection:
        return Counter(row[0] for row in connection.execute("SELECT id FROM public.settled_log"))


def everybodys_executors(workers: list[WorkerProcess]) -> list[int]:
    return [pid for worker in workers for pid in worker.executors()]


def test_two_thousand_jobs_survive_the_ends_of_the_server_and_of_workers(
    harbour: Harbour, server: PostgresServer, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = random.Random(20261125)
    ledger = harbour.folder / "ledger"
    ledger.touch()
    ledger.chmod(0o666)
    assert harbour.backend.audit() == []
    with server.connect() as connection:
        count_settlements(connection)
    accepted: list[str] = []
    more, wanted = threading.Event(), 0

    def enqueue() -> None:
        """One after the other, as web requests do; what is refused is tried anew, and counts once it is accepted."""
        while len(accepted) < JOBS:
            if len(accepted) >= wanted:
                more.wait(60)
                more.clear()
                continue
            prepared = [harbour.module.load.job(str(ledger), 0.003) for _ in range(10)]
            try:
                accepted.extend(job.id for job in harbour.app.enqueue_many(prepared))
            except BackendUnavailable:
                continue

    producer = threading.Thread(target=enqueue)
    producer.start()
    workers = [WorkerProcess("harbour:app", harbour.url, harbour.folder, "-n", "2").until_ready() for _ in range(2)]
    victims = ["server", "worker", "server at once", "executor"] * 2
    try:
        for number, victim in enumerate(victims, 1):
            wanted = number * JOBS // len(victims)  # so that there is work at each end
            more.set()
            goal = wanted - JOBS // len(victims) // 2
            wait_for(f"{goal} finished jobs", lambda goal=goal: len(settlements(server)) >= goal, 60)
            if victim == "server":
                server.kill()
                server.start()
            elif victim == "server at once":
                server.stop(signal.SIGQUIT)
                server.start()
            elif victim == "worker":
                workers[0].kill()
                workers = [
                    workers[1],
                    WorkerProcess("harbour:app", harbour.url, harbour.folder, "-n", "2").until_ready(),
                ]
            else:
                pids = wait_for("an executor", partial(everybodys_executors, workers))
                os.kill(rng.choice(pids), signal.SIGKILL)
        producer.join(60)
        wait_for("all jobs to end", lambda: set(accepted) <= set(settlements(server)), 90)
        assert [worker.stop() for worker in workers] == [0, 0]
    finally:
        for worker in workers:
            if worker.process.poll() is None:
                worker.kill()

    ended = settlements(server)
    records = {record.id: record for record in harbour.backend.get(list(ended)) if record}
    begun = Counter(line.split()[1] for line in ledger.read_text().splitlines() if line.startswith("begin"))
    states = Counter(record.state for record in records.values())
    charged = sum(record.crashes for record in records.values())
    with capsys.disabled():
        print(
            f"\n{len(accepted)} jobs accepted, {len(victims)} ends of servers, workers and executors: {dict(states)}; "
            f"attempts begun {begun.total()}, charged as crashes {charged}, "
            f"settled twice {sum(1 for n in ended.values() if n > 1)}"
        )
    assert set(accepted) <= records.keys()
    assert all(record.state in FINAL for record in records.values())
    assert set(ended.values()) == {1}
    for record in records.values():
        assert record.errors == 0
        if record.state is State.SUCCEEDED:
            assert begun[record.id] >= 1


def test_an_enqueue_waits_out_a_restart_and_is_refused_in_time_while_there_is_no_server(
    server: PostgresServer,
) -> None:
    backend, patient = open_backend(f"{server.url}&timeout=4"), open_backend(f"{server.url}&timeout=60")
    server.stop()
    began = time.monotonic()
    with pytest.raises(BackendUnavailable):
        backend.enqueue([NewJob(id=new_job_id("t.a"), task="t.a")])
    assert time.monotonic() - began < 10
    starting = threading.Timer(1.0, server.start)
    starting.start()
    [answer] = patient.enqueue([NewJob(id=new_job_id("t.a"), task="t.a")])
    starting.join()
    assert answer.created
    assert patient.get([answer.id])[0] is not None
    for each in (backend, patient):
        each.close()


def test_a_server_that_stands_still_is_given_up_in_time(server: PostgresServer) -> None:
    with contextlib.closing(open_backend(f"{server.url}&timeout=60")) as first:
        assert first.audit() == []  # which makes the schema, with time enough
    backend = open_backend(f"{server.url}&timeout=3")
    backend.enqueue([NewJob(id=new_job_id("t.a"), task="t.a")])
    with server.frozen():
        began = time.monotonic()
        with pytest.raises(BackendUnavailable):
            backend.enqueue([NewJob(id=new_job_id("t.a"), task="t.a")])
        assert time.monotonic() - began < 10
    backend.enqueue([NewJob(id=new_job_id("t.a"), task="t.a")])
    assert backend.audit() == []
    backend.close()


@pytest.mark.linux
def test_the_kernel_soon_asks_a_server_that_says_nothing_whether_it_is_there() -> None:
    require()
    server = PostgresServer(QUICK, "127.0.0.1")
    try:
        for url, idle_s in ((server.url, 10), (f"{server.url}&keepalives_idle=77", 77)):
            with (
                contextlib.closing(Pool(Address.of(url), Queries()).connect(inf)) as line,
                socket.socket(fileno=os.dup(line.pgconn.socket)) as ours,
            ):
                assert ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == idle_s
    finally:
        server.remove()


def test_a_worker_waits_for_a_server_that_takes_no_writes_and_goes_on(harbour: Harbour, server: PostgresServer) -> None:
    def set_to(value: str) -> None:
        with server.connect() as connection:
            connection.execute(f"ALTER SYSTEM SET default_transaction_read_only = {value}")
            connection.execute("SELECT pg_reload_conf()")

    harbour.audit()  # which makes the schema, with time enough
    url = f"{harbour.url}&timeout=2"
    with running_worker("harbour:app", url, harbour.folder, "-n", "1", "--lease", "1s") as worker:
        marker = harbour.folder / "go"
        job = harbour.module.wait_for_file.enqueue(str(marker))
        wait_for("the job to run", lambda: job.refresh().progress)
        set_to("on")
        wait_for("the worker to notice", lambda: "trying again until it works" in worker.output())
        marker.touch()
        with pytest.raises(BackendUnavailable, match=r"takes no writes.*nothing was written"):
            harbour.module.nothing.enqueue()
        set_to("off")
        assert job.wait(20).result == "unharmed"
        assert (job.record.crashes, job.record.attempts) == (0, 1)
        assert worker.stop() == 0


def test_a_worker_waits_for_a_server_that_is_away_and_goes_on(harbour: Harbour, server: PostgresServer) -> None:
    with running_worker("harbour:app", harbour.url, harbour.folder, "-n", "1") as worker:
        marker = harbour.folder / "go"
        job = harbour.module.wait_for_file.enqueue(str(marker))
        wait_for("the job to run", lambda: job.refresh().progress)
        server.stop(signal.SIGQUIT)
        marker.touch()
        wait_for("the worker to notice", lambda: "trying again until it works" in worker.output())
        server.start()
        assert job.wait(20).result == "unharmed"
        assert (job.record.crashes, job.record.attempts) == (0, 1)
        assert worker.stop() == 0
