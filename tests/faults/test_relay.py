"""Workers over a transport that is killed, and killed with it: no job is lost, none settled twice."""

from __future__ import annotations

import random
import signal
import time
from collections import Counter

import pytest

from narrowboat.app.why import why
from narrowboat.core.states import State
from tests.support.carriers import Carrier
from tests.support.processes import Host, WorkerProcess, running_worker, wait_for

from .conftest import Harbour
from .test_kill_everything import count_settlements, settlements

JOBS = 2000
KILLS = 8
WHO = "harbour.load"


@pytest.mark.timeout(180)
def test_two_thousand_jobs_survive_the_kills_of_transport_and_workers(
    quay: Harbour, carrier: Carrier, host: Host, capsys: pytest.CaptureFixture[str]
) -> None:
    rng, ledger, database = random.Random(8), quay.folder / "ledger", quay.folder / "harbour.db"
    ledger.touch()
    ledger.chmod(0o666)

    def enqueue(n: int) -> list[str]:
        return [job.id for job in quay.app.enqueue_many([quay.module.load.job(str(ledger), 0.002) for _ in range(n)])]

    ids = enqueue(200)
    count_settlements(database)

    def finished() -> int:
        return len(settlements(database))

    def started() -> WorkerProcess:
        return WorkerProcess("harbour:app", carrier.url, quay.folder, "-n", "3", host=host)

    workers = [started().until_ready() for _ in range(2)]
    took: list[float] = []
    try:
        for number in range(KILLS):
            ids += enqueue((JOBS - 200) // KILLS)
            goal = (number + 1) * JOBS // (KILLS + 2)
            wait_for(f"{goal} finished jobs", lambda goal=goal: finished() >= goal, 60)
            if number % 2 == 0:
                carrier.kill()
                ids += enqueue(1)  # accepted, while nobody can be told
                carrier.start()
                began = time.monotonic()
                wait_for("the job of the outage", lambda last=ids[-1]: quay.job(last).state is State.SUCCEEDED)
                took.append(time.monotonic() - began)
            else:
                victim = rng.randrange(len(workers))
                workers[victim].kill()
                workers[victim] = started().until_ready()
        wait_for("all jobs to end", lambda: finished() == len(ids), 60)
        assert [worker.stop() for worker in workers] == [0, 0]
    finally:
        for worker in workers:
            if worker.process.poll() is None:
                worker.kill()
    records = [record for record in quay.backend.get(ids) if record]
    states = Counter(record.state for record in records)
    twice = sum(1 for n in settlements(database).values() if n > 1)
    with capsys.disabled():
        print(
            f"\n{len(ids)} jobs, {KILLS} kills: {dict(states)}; charged as crashes "
            f"{sum(record.crashes for record in records)}, settled twice {twice}; "
            f"from the start of the transport to the end of what was enqueued while it was away: "
            f"{', '.join(f'{s:.1f}' for s in took)} s"
        )
    assert len(records) == len(ids) >= JOBS
    assert all(record.state is State.SUCCEEDED for record in records)
    assert set(settlements(database).values()) == {1}
    assert sum(record.crashes for record in records) <= 3 * KILLS // 2, "more was charged than could have run"
    assert all(record.errors == 0 for record in records)


def test_a_job_waits_no_longer_than_its_notice_travels(quay: Harbour, carrier: Carrier, host: Host) -> None:
    with running_worker("harbour:app", carrier.url, quay.folder, "-n", "1", host=host) as worker:
        quay.module.nothing.enqueue().wait(20)
        took = []
        for _ in range(9):
            time.sleep(0.05)  # so that the worker sleeps again
            began = time.monotonic()
            assert quay.module.nothing.enqueue().wait(20).state is State.SUCCEEDED
            took.append(time.monotonic() - began)
        assert sorted(took)[4] < 0.5, took
        assert worker.stop() == 0


def test_without_the_transport_jobs_are_accepted_and_run(quay: Harbour, carrier: Carrier, host: Host) -> None:
    quay.module.nothing.enqueue()
    carrier.kill()
    job = quay.module.nothing.enqueue()
    assert why(quay.backend, job.id).code == "no workers"
    with running_worker("harbour:app", carrier.url, quay.folder, "-n", "1", host=host) as worker:
        assert job.wait(20).state is State.SUCCEEDED
        wait_for("word that it is away", lambda: "out of reach; jobs are accepted" in worker.output())
        quay.app.pause(queue="default")
        held = quay.module.nothing.enqueue()
        quay.app.resume(queue="default")
        assert held.wait(20).state is State.SUCCEEDED
        carrier.start()
        wait_for("word that it is back", lambda: ' is back"' in worker.output())
        assert worker.stop() == 0


def test_a_worker_that_is_frozen_while_it_holds_a_notice_holds_up_nothing(
    quay: Harbour, carrier: Carrier, host: Host
) -> None:
    with (
        running_worker("harbour:app", carrier.url, quay.folder, "-n", "1", host=host) as frozen,
        running_worker("harbour:app", carrier.url, quay.folder, "-n", "1", host=host) as other,
    ):
        quay.module.nothing.enqueue().wait(20)
        frozen.signal(signal.SIGSTOP)
        for _ in range(4):
            assert quay.module.nothing.enqueue().wait(20).state is State.SUCCEEDED
        frozen.signal(signal.SIGCONT)
        assert (frozen.stop(), other.stop()) == (0, 0)
