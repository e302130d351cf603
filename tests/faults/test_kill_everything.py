"""Promise 1, 2 and 4: kill -9 of anything loses no job, settles none twice, and charges only what had begun."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from narrowboat.core.states import FINAL, State
from tests.support.processes import WorkerProcess, is_alive, running_worker, wait_for

from .conftest import Harbour

JOBS = 1000
KILLS = 10


def count_settlements(database: Path) -> None:
    """Have the database itself write down every end of a job, whoever makes it."""
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.executescript(
            """
            CREATE TABLE settled_log (id TEXT, state);
            CREATE TRIGGER note_the_end AFTER UPDATE OF state ON job
            WHEN NEW.state IN (SELECT value FROM json_each('["succeeded","dead","cancelled"]'))
            BEGIN INSERT INTO settled_log VALUES (NEW.id, NEW.state); END;
            """
        )


def settlements(database: Path) -> Counter[str]:
    with closing(sqlite3.connect(database)) as connection:
        return Counter(row[0] for row in connection.execute("SELECT id FROM settled_log"))


def test_a_thousand_jobs_survive_ten_kills(harbour: Harbour, capsys: pytest.CaptureFixture[str]) -> None:
    rng = random.Random(20261123)
    ledger = harbour.folder / "ledger"
    ledger.touch()
    ledger.chmod(0o666)
    harbour.backend.audit()  # makes the database
    count_settlements(harbour.folder / "harbour.db")
    ids: list[str] = []

    def enqueue(count: int) -> None:
        prepared = [harbour.module.load.job(str(ledger), 0.004) for _ in range(count)]
        ids.extend(job.id for job in harbour.app.enqueue_many(prepared))

    def finished() -> int:
        return len(settlements(harbour.folder / "harbour.db"))

    worker = WorkerProcess("harbour:app", harbour.url, harbour.folder, "-n", "4").until_ready()
    victims = ["executor", "zygote", "worker"] * 4
    killed = 0  # executors
    try:
        for round_number in range(KILLS):
            enqueue(JOBS // KILLS)
            goal = len(ids) - JOBS // KILLS // 2  # so that there is work at each kill
            wait_for(f"{goal} finished jobs", lambda goal=goal: finished() >= goal)
            victim = victims[round_number]
            if victim == "worker":
                executors = worker.executors()
                killed += len(executors)
                worker.kill()
                wait_for("its executors to die with it", lambda pids=executors: not any(map(is_alive, pids)))
                worker = WorkerProcess("harbour:app", harbour.url, harbour.folder, "-n", "4").until_ready()
            elif victim == "zygote":
                zygotes = wait_for("a zygote", worker.zygotes)  # the one that imports, and those that branch off it
                os.kill(rng.choice(zygotes), signal.SIGKILL)
            else:
                pids = wait_for("an executor", worker.executors)
                killed += 1
                os.kill(rng.choice(pids), signal.SIGKILL)
        wait_for("all jobs to end", lambda: finished() == JOBS, 60)
        assert worker.stop() == 0
    finally:
        if worker.process.poll() is None:
            worker.kill()

    records = {record.id: record for record in harbour.backend.get(ids) if record}
    lines = [line.split() for line in ledger.read_text().splitlines()]
    begun = Counter(job_id for word, job_id, _ in lines if word == "begin")
    done = Counter(job_id for word, job_id, _ in lines if word == "end")
    states = Counter(record.state for record in records.values())
    charged = sum(record.crashes for record in records.values())
    with capsys.disabled():
        print(
            f"\n{JOBS} jobs, {KILLS} kills: {dict(states)}; attempts begun {begun.total()}, "
            f"charged as crashes {charged}, settled twice "
            f"{sum(1 for n in settlements(harbour.folder / 'harbour.db').values() if n > 1)}"
        )
    assert len(records) == JOBS
    assert all(record.state in FINAL for record in records.values())
    assert set(settlements(harbour.folder / "harbour.db").values()) == {1}
    # An executor says that it begins a job just before the job's first line; a kill in between leaves no line.
    unbegun = sum(
        max(0, record.crashes - begun[record.id] + (record.state is State.SUCCEEDED)) for record in records.values()
    )
    assert unbegun <= killed, "jobs that had not begun were charged"
    for record in records.values():
        assert record.errors == 0
        if record.state is State.SUCCEEDED:
            assert done[record.id] >= 1


def test_a_killed_zygote_costs_no_attempt(harbour: Harbour) -> None:
    marker = harbour.folder / "go"
    with running_worker("harbour:app", harbour.url, harbour.folder, "-n", "2") as worker:
        job = harbour.module.wait_for_file.enqueue(str(marker))
        wait_for("the job to run", lambda: job.refresh().progress)
        first = worker.zygote()
        os.kill(first, signal.SIGKILL)
        wait_for("another zygote", lambda: worker.zygote() != first)
        assert harbour.module.load.enqueue(str(harbour.folder / "ledger"), 0).wait(20).result == 1
        marker.touch()
        assert job.wait(20).result == "unharmed"
        assert (job.record.crashes, job.record.attempts) == (0, 1)
        assert worker.stop() == 0


@pytest.mark.linux
def test_executors_die_with_their_worker_even_without_a_zygote(harbour: Harbour) -> None:
    with running_worker("harbour:app", harbour.url, harbour.folder, "-n", "1") as worker:
        job = harbour.module.spin_for_long.enqueue(str(harbour.folder / "spins"))
        wait_for("the job to spin", (harbour.folder / "spins").exists)
        wait_for("its start to be reported", lambda: job.refresh().record.started_at)
        [executor] = worker.executors()
        worker.freeze()
        os.kill(worker.zygote(), signal.SIGKILL)
        worker.kill()
        wait_for("the executor to die", lambda: not is_alive(executor))
        assert job.refresh().state is State.RUNNING  # until a worker rescues it
    with running_worker("harbour:app", harbour.url, harbour.folder, "-n", "1"):
        job.wait(20)
        assert job.state is State.DEAD
        assert "lost worker" in job.record.reason


def test_a_worker_frozen_past_its_lease_cannot_settle(harbour: Harbour) -> None:
    ledger, go = harbour.folder / "ledger", harbour.folder / "go"
    options = ("-n", "1", "--lease", "3s")  # the other one must not stand still for so long
    with running_worker("harbour:app", harbour.url, harbour.folder, *options) as frozen:
        job = harbour.module.load_until.enqueue(str(ledger), str(go))
        wait_for("the first attempt", lambda: job.refresh().record.started_at)
        frozen.freeze()
        Path(f"{go}1").touch()
        wait_for("its end, of which its worker does not hear", lambda: ledger.exists() and "end" in ledger.read_text())
        with running_worker("harbour:app", harbour.url, harbour.folder, *options) as other:
            wait_for("the other worker to take the job", lambda: ledger.read_text().count("begin") == 2, 30)
            frozen.signal(signal.SIGCONT)
            wait_for("the refusal", lambda: "refused" in frozen.output() or "another worker took it" in frozen.output())
            Path(f"{go}2").touch()
            assert job.wait(30).result == 1
            assert job.record.crashes == 1
            assert job.record.worker.split(":")[1] == str(other.pid)
            begun = [line.split()[2] for line in ledger.read_text().splitlines() if line.startswith("begin")]
            assert int(begun[0]) < int(begun[1])  # the fence rises
            assert other.stop() == 0
        assert harbour.module.load.enqueue(str(ledger), 0).wait(20).result == 1  # it works on
        assert frozen.stop() == 0


def stands_still(worker: WorkerProcess, harbour: Harbour) -> bool:
    """Stop a worker, unless that would be while it has the lock of the database, which the others need."""
    worker.freeze()
    with closing(sqlite3.connect(harbour.folder / "harbour.db", timeout=0.2)) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            worker.signal(signal.SIGCONT)
            return False
    return True


def test_a_worker_frozen_past_its_lease_begins_nothing_that_it_had_claimed(harbour: Harbour) -> None:
    ledger = harbour.folder / "ledger"
    ledger.touch()
    ledger.chmod(0o666)
    options = ("-n", "1", "--lease", "1s")
    begun = lambda: [line.split()[1] for line in ledger.read_text().splitlines() if line.startswith("begin")]  # noqa: E731
    with running_worker("harbour:app", harbour.url, harbour.folder, *options) as frozen:
        jobs = harbour.app.enqueue_many([harbour.module.load_once.job(str(ledger)) for _ in range(600)])
        wait_for("some of the jobs", lambda: len(begun()) > 100)
        wait_for("it to stand still outside of the database", lambda: stands_still(frozen, harbour))
        with running_worker("harbour:app", harbour.url, harbour.folder, *options) as other:
            wait_for("all to end elsewhere", lambda: all(job.refresh().state in FINAL for job in jobs), 120)
            assert len(set(begun())) == len(jobs)
            assert other.stop() == 0
        before = len(begun())
        frozen.signal(signal.SIGCONT)
        last = harbour.module.load_once.enqueue(str(ledger))
        assert last.wait(20).result == 1
        assert begun()[before:] == [last.id]
        assert frozen.stop() == 0
    assert harbour.backend.audit() == []


def test_a_poison_job_ends_dead_after_two_crashes(harbour: Harbour) -> None:
    with running_worker("harbour:app", harbour.url, harbour.folder, "-n", "1"):
        job = harbour.module.poison.enqueue().wait(20)
        assert (job.state, job.record.crashes, job.record.errors) == (State.DEAD, 2, 0)
        assert [attempt.outcome for attempt in job.record.history] == ["crashed", "crashed"]
        assert "SIGKILL" in job.record.reason
