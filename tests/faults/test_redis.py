"""Redis: killed, restarted, made to forget its scripts, filled up, stopped; with real workers on it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from narrowboat.backends.base import Retention, WorkerInfo
from narrowboat.backends.redis import RedisBackend, address_of
from narrowboat.core.errors import BackendUnavailable
from narrowboat.core.job import Job, NewJob
from narrowboat.core.states import FINAL, State
from narrowboat.core.task import Manifest
from tests.support.processes import WorkerProcess, running_worker, wait_for
from tests.support.servers import RedisServer

from .conftest import Harbour, moored

JOBS = 2000
KEEPS_ALL = ("--appendonly", "yes", "--auto-aof-rewrite-percentage", "0")  # its log has every change ever made


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis"), *KEEPS_ALL)
    yield server
    server.stop()


@pytest.fixture
def harbour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: RedisServer) -> Iterator[Harbour]:
    yield from moored(tmp_path, monkeypatch, server.url)


def settlements(server: RedisServer) -> Counter[str]:
    """How often each job came to an end, by the server's own log."""
    found: Counter[str] = Counter()
    for log in sorted((server.folder / "appendonlydir").glob("*.incr.aof")):
        words = log.read_bytes().split(b"\r\n")
        for at, word in enumerate(words):
            if word == b"state" and words[at + 2] in (b"succeeded", b"dead", b"cancelled"):
                found[words[at - 2].decode().partition(":job:")[2]] += 1
    return found


def jobs_of(harbour: Harbour, ids: list[str]) -> list[Job]:
    found = harbour.backend.get(ids)
    assert None not in found, "an accepted job is gone"
    return [job for job in found if job is not None]


def test_two_thousand_jobs_survive_kills_of_the_server_and_of_workers(
    harbour: Harbour, server: RedisServer, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger = harbour.folder / "ledger"
    ledger.touch()
    ledger.chmod(0o666)
    load, ids = harbour.module.load, list[str]()

    def produce() -> None:
        """Half of the jobs at once, the others one by one through all that happens: what was accepted counts."""
        ids.extend(job.id for job in harbour.app.enqueue_many([load.job(str(ledger), 0.002) for _ in range(JOBS // 2)]))
        while len(ids) < JOBS:
            with contextlib.suppress(BackendUnavailable):  # it was perhaps written all the same
                ids.append(load.enqueue(str(ledger), 0.002).id)

    producer = threading.Thread(target=produce)
    producer.start()
    workers = [WorkerProcess("harbour:app", harbour.url, harbour.folder, "-n", "2", "--lease", "3s") for _ in range(2)]

    def begun() -> int:
        return ledger.read_text().count("end ")

    try:
        for n, victim in enumerate(("server", "worker", "server", "worker", "server"), start=1):
            wait_for(f"{n} sixths of the jobs", lambda goal=n * JOBS // 6: begun() >= goal, 60)
            if victim == "server":
                server.kill()
                server.start()
            else:
                workers.pop(0).kill()
                workers.append(
                    WorkerProcess("harbour:app", harbour.url, harbour.folder, "-n", "2", "--lease", "3s").until_ready()
                )
        producer.join(60)
        assert len(ids) == JOBS
        wait_for("all jobs to end", lambda: all(job.state in FINAL for job in jobs_of(harbour, ids)), 90)
        assert [worker.stop() for worker in workers] == [0, 0]
    finally:
        for worker in workers:
            if worker.process.poll() is None:
                worker.kill()
    jobs, ends = jobs_of(harbour, ids), settlements(server)
    attempts = Counter(line.split()[1] for line in ledger.read_text().splitlines() if line.startswith("end "))
    with capsys.disabled():
        states = Counter(job.state.value for job in jobs)
        print(
            f"\n{JOBS} jobs, 3 kills of redis-server, 2 of workers: {dict(states)}; attempts that ended "
            f"{attempts.total()}, charged as crashes {sum(job.crashes for job in jobs)}, "
            f"settled twice {sum(n > 1 for n in ends.values())}"
        )
    assert {job.state for job in jobs} == {State.SUCCEEDED}
    assert set(ids) <= set(attempts)
    assert set(ids) <= set(ends)
    assert set(ends.values()) == {1}
    assert sum(job.errors for job in jobs) == 0


def test_a_restart_and_forgotten_scripts_lose_nothing(harbour: Harbour, server: RedisServer) -> None:
    ledger = harbour.folder / "ledger"
    ledger.touch()
    ledger.chmod(0o666)
    with running_worker("harbour:app", harbour.url, harbour.folder, "-n", "2") as worker:
        jobs = harbour.app.enqueue_many([harbour.module.load.job(str(ledger), 0.005) for _ in range(300)])
        for share in (0.2, 0.4):
            wait_for("some jobs", lambda share=share: ledger.read_text().count("end") >= share * 300)
            assert server.says("SCRIPT", "FLUSH") == "+OK"
        server.stop()
        server.start()
        assert harbour.module.load.enqueue(str(ledger), 0).wait(20).result == 1
        found = [job.wait(30).record for job in jobs]
        assert Counter((job.state, job.crashes, job.attempts) for job in found) == {(State.SUCCEEDED, 0, 1): 300}
        assert worker.stop() == 0
    assert set(settlements(server).values()) == {1}


def test_an_idle_worker_wakes_after_its_server_was_killed(harbour: Harbour, server: RedisServer) -> None:
    with running_worker("harbour:app", harbour.url, harbour.folder, "-n", "1") as worker:
        assert harbour.module.who.enqueue().wait(20).state is State.SUCCEEDED
        for _ in range(3):
            wait_for("the worker to sleep", lambda: "blpop" in everything_it_says(server, "CLIENT", "LIST"))
            server.kill()
            server.start()
            wait_for("it to sleep again", lambda: "blpop" in everything_it_says(server, "CLIENT", "LIST"))
            began = time.monotonic()
            assert harbour.module.who.enqueue().wait(20).state is State.SUCCEEDED
            assert time.monotonic() - began < 4.0, "it was found by a look only, not by the bell"
        assert worker.stop() == 0


def everything_it_says(server: RedisServer, *words: str) -> str:
    """All of a long answer."""
    try:
        with socket.create_connection(("127.0.0.1", server.port), 5) as connection:
            connection.sendall((" ".join(words) + "\r\nQUIT\r\n").encode())
            with connection.makefile() as answer:
                return answer.read()
    except OSError:
        return ""


def test_a_worker_outlives_a_long_outage_and_settles_what_ran_meanwhile(harbour: Harbour, server: RedisServer) -> None:
    marker = harbour.folder / "go"
    with running_worker("harbour:app", harbour.url, harbour.folder, "-n", "1", "--lease", "1s") as worker:
        job = harbour.module.wait_for_file.enqueue(str(marker))
        wait_for("the job to run", lambda: job.refresh().progress)
        server.kill()
        wait_for("the worker to notice", lambda: "trying again" in worker.output(), 20)
        marker.touch()
        time.sleep(2)  # longer than the lease
        server.start()
        assert job.wait(20).result == "unharmed"
        assert (job.record.crashes, job.record.attempts) == (0, 1)
        assert worker.stop() == 0
    assert settlements(server)[job.id] == 1


def test_a_full_server_says_so_and_keeps_no_half_of_anything(harbour: Harbour, server: RedisServer) -> None:
    server.says("CONFIG", "SET", "maxmemory", "6mb")
    accepted: list[str] = []
    for size in (100, 1):  # a large call is refused before a small one
        with pytest.raises(BackendUnavailable, match=r"memory is full.*nothing was written"):
            while True:
                batch = [harbour.module.who.job(0.0) for _ in range(size)]
                harbour.app.enqueue_many(batch)
                accepted += [prepared.new.id for prepared in batch]
        refused = [prepared.new.id for prepared in batch]
        assert harbour.backend.get(refused) == [None] * size
    assert {job.state for job in jobs_of(harbour, accepted)} == {State.QUEUED}
    assert harbour.backend.audit() == []
    # What is there can be worked off all the same, and that makes room.
    with running_worker("harbour:app", harbour.url, harbour.folder, "-n", "2") as worker:
        wait_for("all of them", lambda: all(job.state is State.SUCCEEDED for job in jobs_of(harbour, accepted)), 60)
        while harbour.backend.purge(Retention(keep_max=0)):
            pass
        assert harbour.module.who.enqueue().wait(20).state is State.SUCCEEDED
        assert worker.stop() == 0


def test_a_worker_outlives_a_server_that_cannot_save(harbour: Harbour, server: RedisServer) -> None:
    marker = harbour.folder / "go"
    with running_worker("harbour:app", harbour.url, harbour.folder, "-n", "1", "--lease", "1s") as worker:
        job = harbour.module.wait_for_file.enqueue(str(marker))
        wait_for("the job to run", lambda: job.refresh().progress)
        (server.folder / "dump.rdb").mkdir()  # in the way
        server.says("CONFIG", "SET", "save", "3600 1")
        has_failed = lambda: server.says("BGSAVE") and server.says("SET", "x", "1").startswith("-MISCONF")  # noqa: E731
        wait_for("a save to fail", has_failed)
        with pytest.raises(BackendUnavailable, match=r"cannot save to its disk.*nothing was written"):
            harbour.module.nothing.enqueue()
        wait_for("the worker to notice", lambda: "trying again" in worker.output(), 20)
        marker.touch()
        server.says("CONFIG", "SET", "stop-writes-on-bgsave-error", "no")
        assert job.wait(20).result == "unharmed"
        assert (job.record.crashes, job.record.attempts) == (0, 1)
        assert worker.stop() == 0
    assert settlements(server)[job.id] == 1


def test_a_server_that_stands_still_is_unavailable_within_a_bounded_time(server: RedisServer) -> None:
    backend = RedisBackend(address_of(server.url), timeout_s=2.0)
    backend.publish(WorkerInfo(id="w", host="box", pid=1), Manifest(app="a", tasks=()))
    failed: list[float] = []

    def wait() -> None:
        began = time.monotonic()
        with pytest.raises(BackendUnavailable):
            backend.wait("w", (), 30.0)
        failed.append(time.monotonic() - began)

    sleeper = threading.Thread(target=wait)
    sleeper.start()
    wait_for("it to sleep", lambda: "blpop" in everything_it_says(server, "CLIENT", "LIST"))
    os.kill(server.process.pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        with pytest.raises(BackendUnavailable, match="no answer"):
            backend.enqueue([NewJob(id="t:1", task="t")])
        assert time.monotonic() - began < 8.0
        sleeper.join(25)  # less than it was to sleep
        assert len(failed) == 1
    finally:
        os.kill(server.process.pid, signal.SIGCONT)
    assert backend.get(["t:2"]) == [None]
    backend.close()


def test_a_wait_goes_on_when_the_server_comes_back(server: RedisServer) -> None:
    backend = RedisBackend(address_of(server.url))
    backend.publish(WorkerInfo(id="w", host="box", pid=1), Manifest(app="a", tasks=()))
    woken: list[int] = []
    sleeper = threading.Thread(target=lambda: woken.append(backend.wait("w", (), 60.0).cancels))
    sleeper.start()
    wait_for("it to sleep", lambda: "blpop" in everything_it_says(server, "CLIENT", "LIST"))
    server.kill()
    server.start()
    wait_for("it to sleep again", lambda: "blpop" in everything_it_says(server, "CLIENT", "LIST"))
    assert woken == []
    backend.close()
    sleeper.join(20)
    assert woken == [0]
