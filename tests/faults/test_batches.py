"""Batches with real workers: whatever is killed with -9, all jobs are counted, and the final job is there once."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from narrowboat import BatchHandle
from narrowboat.backends.base import Filter
from narrowboat.core.states import State
from tests.support import postgres_server
from tests.support.processes import WorkerProcess, running_worker, wait_for
from tests.support.servers import shared_redis

from .conftest import Harbour, moored

JOBS = 600


@pytest.fixture(params=["sqlite", "redis", "postgres"])
def harbour(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Harbour]:
    server = postgres_server.shared_server() if request.param == "postgres" else None
    schema = postgres_server.new_schema() if server else ""
    urls = {"sqlite": lambda: f"sqlite:///{tmp_path / 'harbour.db'}", "redis": lambda: shared_redis().namespace()}
    yield from moored(tmp_path, monkeypatch, f"{server.url}&schema={schema}" if server else urls[request.param]())
    if server:
        postgres_server.drop(server, [schema])


def finals(harbour: Harbour) -> int:
    return len(harbour.backend.find(Filter(task="harbour.mail")).jobs)


def test_a_batch_is_finished_once_however_often_anything_is_killed(harbour: Harbour) -> None:
    rng = random.Random(20261128)
    ledger = harbour.folder / "ledger"
    ledger.touch()
    ledger.chmod(0o666)
    module = harbour.module
    go = harbour.folder / "go"  # until then one goes on, so that there is an executor at each kill
    jobs = [module.load.job(str(ledger), 0.004) for _ in range(JOBS - 1)]
    batch = harbour.app.batch([module.load_until.job(str(ledger), str(go)), *jobs], then=module.mail.job("-", 1))
    one = module.load.using(then=module.mail.job("-", 2)).enqueue(str(ledger), 0.0)
    worker = WorkerProcess("harbour:app", harbour.url, harbour.folder, "-n", "4").until_ready()
    try:
        for round_ in range(5):
            goal = (round_ + 1) * JOBS // 7
            wait_for(f"{goal} ends", lambda goal=goal: batch.refresh().succeeded >= goal)
            if round_ % 2:
                os.kill(rng.choice(wait_for("an executor", worker.executors)), signal.SIGKILL)
            else:
                worker.kill()
                worker = WorkerProcess("harbour:app", harbour.url, harbour.folder, "-n", "4").until_ready()
        go.touch()
        batch.wait("60s")
        one.wait("60s")
        assert (batch.total, batch.succeeded, batch.is_finished) == (JOBS, JOBS, True)
        assert finals(harbour) == 2
        assert batch.then is not None
        batch.then.wait("30s")
        wait_for("both final jobs", lambda: harbour.backend.find(_ended("harbour.mail")).jobs[1:])
    finally:
        worker.kill()
    assert finals(harbour) == 2


def _ended(task: str) -> Filter:
    return Filter(task=task, states=frozenset({State.SUCCEEDED}))


WRITER = """
import sys
from harbour import app, load, mail

def jobs():
    for n in range(100_000):
        if n == 1600:
            print("written", flush=True)
            sys.stdin.read()
        yield load.job(sys.argv[1], 0.0)

app.batch(jobs(), then=mail.job("-", 1))
"""


def test_a_writer_that_is_killed_in_the_middle_leaves_a_batch_that_shows_it(harbour: Harbour) -> None:
    ledger = harbour.folder / "ledger"
    ledger.touch()
    ledger.chmod(0o666)
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(ledger)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=harbour.folder,
        env={**os.environ, "NARROWBOAT_URL": harbour.url, "PYTHONPATH": str(harbour.folder)},
    )
    assert writer.stdout is not None
    assert writer.stdin is not None
    assert writer.stdout.readline() == b"written\n"
    writer.kill()
    writer.wait(10)
    writer.stdin.close()
    writer.stdout.close()
    [found] = harbour.backend.latest_batches()
    batch = BatchHandle(harbour.app, found.id)
    assert batch.total == 1000  # 1500 were prepared; a part is written when it is known whether more come
    with running_worker("harbour:app", harbour.url, harbour.folder, "-n", "2"):
        wait_for("some ends", lambda: batch.refresh().succeeded > 50)
        batch.cancel()
        wait_for("all ends", lambda: batch.refresh().open == 0)
    assert not batch.has_ended
    assert not batch.record.is_sealed
    assert finals(harbour) == 0
