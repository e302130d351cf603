"""Workers over a transport that is killed, and killed with it: no job is lost, none settled twice."""

from __future__ import annotations

import random
import re
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable

import pytest

from narrowboat.app.why import why
from narrowboat.backends.base import Filter
from narrowboat.backends.relay.backend import LOOK_S
from narrowboat.core.states import State
from tests.support.carriers import Carrier
from tests.support.processes import Host, WorkerProcess, running_worker, wait_for

from .conftest import Harbour
from .test_kill_everything import count_settlements, settlements

JOBS = 2000
SLOTS = 3
KILLS = ("transport", "worker", "transport and worker") * 2 + ("transport", "worker")


def test_two_thousand_jobs_survive_the_kills_of_transport_and_workers(
    quay: Harbour, carrier: Carrier, host: Host, capsys: pytest.CaptureFixture[str]
) -> None:
    database = quay.folder / "harbour.db"
    quay.backend.stats()  # now there is one
    count_settlements(database)
    survive(quay, carrier, host, lambda: len(settlements(database)), lambda: settlements(database), capsys)


def survive(
    quay: Harbour,
    carrier: Carrier,
    host: Host,
    finished: Callable[[], int],
    settled: Callable[[], Counter[str]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Jobs, with kills of the transport, of workers, and of both at once. settled: how often each job has ended."""
    rng, ledger = random.Random(8), quay.folder / "ledger"
    ledger.touch()
    ledger.chmod(0o666)

    def enqueue(n: int) -> list[str]:
        return [job.id for job in quay.app.enqueue_many([quay.module.load.job(str(ledger), 0.002) for _ in range(n)])]

    def started() -> WorkerProcess:
        return WorkerProcess("harbour:app", carrier.url, quay.folder, "-n", str(SLOTS), host=host)

    ids = enqueue(200)
    workers = [started().until_ready() for _ in range(2)]
    took: list[float] = []
    began = 0.0
    try:
        for number, victims in enumerate(KILLS):
            ids += enqueue((JOBS - 200) // len(KILLS))
            goal = (number + 1) * JOBS // (len(KILLS) + 2)
            wait_for(f"{goal} finished jobs", lambda goal=goal: finished() >= goal, 60)
            victim = rng.randrange(len(workers))
            if "transport" in victims:
                carrier.kill()
            if "worker" in victims:
                workers[victim].kill()
            if "transport" in victims:
                ids += enqueue(1)  # accepted, while nobody can be told
                carrier.start()
                began = time.monotonic()
            if "worker" in victims:
                workers[victim] = started().until_ready()
            if "transport" in victims:
                wait_for("the job of the outage", lambda last=ids[-1]: quay.job(last).state is State.SUCCEEDED)
                took.append(time.monotonic() - began)
        wait_for("all jobs to end", lambda: finished() == len(ids), 60)
        for worker in workers:
            assert worker.stop() == 0, worker.output()[-3000:]
    finally:
        for worker in workers:
            if worker.process.poll() is None:
                worker.kill()
    records = [record for record in quay.backend.get(ids) if record]
    states = Counter(record.state for record in records)
    ends = settled()
    killed = Counter(KILLS)
    with capsys.disabled():
        print(
            f"\n{len(ids)} jobs, kills {dict(killed)}: {dict(states)}; charged as crashes "
            f"{sum(record.crashes for record in records)}, settled twice {sum(1 for n in ends.values() if n > 1)}; "
            f"from the start of the transport to the end of what was enqueued while it was away: "
            f"{', '.join(f'{s:.1f}' for s in took)} s"
        )
    assert len(records) == len(ids) >= JOBS
    assert all(record.state is State.SUCCEEDED for record in records)
    assert ends == dict.fromkeys(ids, 1)
    could_run = SLOTS * sum("worker" in victims for victims in KILLS)
    assert sum(record.crashes for record in records) <= could_run, "more was charged than could have run"
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
        assert sorted(took)[4] < LOOK_S / 2, took  # after as long as LOOK_S it looks by itself
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


@pytest.mark.parametrize("carrier", ["gearman", "rabbitmq", "sqs"], indirect=True)
def test_what_was_written_by_one_who_is_killed_before_he_tells_is_found_by_a_look(
    quay: Harbour, carrier: Carrier, host: Host
) -> None:
    """The outbox: his transport takes connections and says nothing, so that he hangs between record and notice."""
    with (
        socket.create_server(("127.0.0.1", 0)) as mute,
        running_worker("harbour:app", carrier.url, quay.folder, "-n", "1", host=host) as worker,
    ):
        before = quay.module.nothing.enqueue().wait(20)
        wait_for("the worker to sleep", lambda: carrier.counted("queue:default") == (0, 0))
        url = re.sub(r"127\.0\.0\.1:\d+", f"127.0.0.1:{mute.getsockname()[1]}", carrier.url)
        words = [sys.executable, "-c", "import harbour; print(harbour.nothing.enqueue().id)"]
        caller = subprocess.Popen(
            words, cwd=quay.folder, stdout=subprocess.PIPE, **host.options({"NARROWBOAT_URL": url})
        )
        try:
            mute.settimeout(60)
            with mute.accept()[0] as line:
                assert line.recv(1), "he did not begin to tell"
                [job] = [quay.job(job.id) for job in quay.backend.find(Filter()).jobs if job.id != before.id]
                is_hanging = caller.poll() is None
                caller.kill()
        finally:
            caller.kill()
        assert is_hanging
        assert caller.communicate(timeout=20) == (b"", None), "his enqueue returned"
        wait_for("a look", lambda: quay.job(job.id).state is State.SUCCEEDED)
        ended = quay.job(job.id).finished_at
        assert ended is not None
        assert ended - job.enqueued_at < 2 * LOOK_S
        assert [record.state for record in quay.backend.find(Filter()).jobs] == [State.SUCCEEDED] * 2
        assert worker.stop() == 0


def test_a_worker_that_is_frozen_while_it_holds_a_notice_holds_up_nothing(
    quay: Harbour, carrier: Carrier, host: Host
) -> None:
    with (
        running_worker("harbour:app", carrier.url, quay.folder, "-n", "1", host=host) as frozen,
        running_worker("harbour:app", carrier.url, quay.folder, "-n", "1", host=host) as other,
    ):
        quay.module.nothing.enqueue().wait(20)
        frozen.freeze()
        for _ in range(4):
            assert quay.module.nothing.enqueue().wait(20).state is State.SUCCEEDED
        frozen.signal(signal.SIGCONT)
        assert (frozen.stop(), other.stop()) == (0, 0)
