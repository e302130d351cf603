"""examples/transfer: whatever is killed and when, the accounts balance, and each transfer has one receipt."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text

from examples.transfer import bank
from examples.transfer.__main__ import PEOPLE, order
from examples.transfer.receipts import app, receipt
from narrowboat.backends.base import Backend, Filter
from narrowboat.backends.urls import open_backend
from narrowboat.core.job import Job
from narrowboat.core.states import State
from tests.support.postgres_server import PostgresServer, require
from tests.support.processes import ROOT, WorkerProcess, wait_for

ORDERS = 150
IN_ALL = sum(PEOPLE.values())


@dataclass
class Bank:
    """The database of accounts and jobs, and who looks at it from outside."""

    url: str
    backend: Backend
    engine: Engine
    folder: Path
    server: PostgresServer | None = None

    def program(self, *words: str) -> list[str]:
        return [sys.executable, "-m", *words]

    @property
    def options(self) -> dict[str, Any]:
        env = {**os.environ, "NARROWBOAT_URL": self.url, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'src'}"}
        return {"cwd": self.folder, "env": env}

    def worker(self) -> WorkerProcess:
        log = self.folder / f"worker-{time.monotonic_ns()}.log"
        return WorkerProcess("examples.transfer.receipts:app", self.url, ROOT, "-n", "2", log=log).until_ready()

    def receipts(self) -> list[Job]:
        jobs, after = [], None
        while True:
            page = self.backend.find(Filter(task=receipt.name), after, 500)
            jobs += page.jobs
            after = page.next
            if after is None:
                return [job for job in self.backend.get([job.id for job in jobs]) if job]

    def counts_agree(self) -> None:
        """At this very moment, whatever is under way. Raises AssertionError."""
        jobs = "narrowboat.job" if self.server else "job"
        look = (
            f"SELECT (SELECT sum(cents) FROM account), (SELECT count(*) FROM transfer), (SELECT count(*) FROM {jobs})"
        )
        with self.engine.connect() as connection:
            in_all, made, receipts = connection.execute(text(look)).one()
        assert (in_all, made) == (IN_ALL, receipts)

    def made(self) -> int:
        """How many transfers there are."""
        return len(bank.done(self.engine))

    def balances(self) -> bool:
        """No cent was lost or made, and transfers and receipts are the same, if all is quiet. Raises AssertionError."""
        held = bank.balances(self.engine)
        assert sum(held.values()) == IN_ALL, held
        numbers = sorted(json.loads(job.args)["number"] for job in self.receipts())
        assert numbers == bank.done(self.engine)
        return True


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bank]:
    server = None
    url = f"sqlite:///{tmp_path / 'bank.db'}"
    if request.param == "postgresql":
        require()
        server = PostgresServer({})  # which may be killed
        url = server.url
    monkeypatch.setenv("NARROWBOAT_URL", url)
    engine = bank.opened(url)
    bank.open_accounts(engine, PEOPLE)
    backend = open_backend(url)
    yield Bank(url, backend, engine, tmp_path, server)
    assert backend.audit() == []
    backend.close()
    engine.dispose()
    app.close()
    if server is not None:
        server.remove()


def test_a_transfer_that_is_killed_at_any_line_is_there_with_its_receipt_or_not_at_all(place: Bank) -> None:
    command = place.program("tests.support.killed_transfer", place.url)
    done = subprocess.run(command, **place.options, capture_output=True, text=True, timeout=350, check=False)
    assert done.returncode == 0, done.stderr
    kills = json.loads(done.stdout)
    assert place.balances()
    ends = {is_made: {where.rsplit(":", 1)[0] for where, made in kills if made is is_made} for is_made in (False, True)}
    reached = {"bank:transfer", "foreign:unwrap", "app:enqueue_many", "into:run" if place.server else "callers:write"}
    assert reached <= ends[False]
    assert ends[True] == {"bank:transfer"}, "only after the commit"
    made = bank.done(place.engine)
    for number in range(1, len(kills) + 1):  # those who got no answer ask again
        assert bank.transfer(place.engine, number, "ann", "bob", 1) is (number not in made)
    assert place.balances()
    assert len(bank.done(place.engine)) == len(kills) + 1


def test_it_balances_through_kills_of_everybody(place: Bank) -> None:
    rng = random.Random(20261127)

    def teller() -> subprocess.Popen[bytes]:
        command = place.program("examples.transfer", str(ORDERS))
        return subprocess.Popen(command, **place.options, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    worker = place.worker()
    tellers = [teller() for _ in range(3)]
    killed = 0
    try:
        for round_number in range(12):
            goal = min(ORDERS - 30, (round_number + 1) * ORDERS // 14)
            wait_for(f"{goal} transfers", lambda goal=goal: place.made() >= goal)
            victim = rng.randrange(3)
            killed += tellers[victim].poll() is None
            tellers[victim].kill()
            tellers[victim].wait()
            tellers[victim] = teller()
            if round_number % 4 == 1:
                worker.kill()
                worker = place.worker()
            if place.server is not None and round_number % 4 == 3:
                place.server.kill()
                place.server.start()
                place.engine.dispose()
                tellers = [one if one.poll() is None else teller() for one in tellers]
            place.counts_agree()
        assert killed > 3
        for one in tellers:
            one.wait(60)
        last = teller()  # whoever got no answer asks again
        assert last.wait(60) == 0
        assert place.balances()
        wait_for("all receipts", lambda: all(job.is_finished for job in place.receipts()), 60)
        assert worker.stop() == 0
    finally:
        for one in tellers:
            one.kill()
            one.wait()
        if worker.process.poll() is None:
            worker.kill()
    jobs = place.receipts()
    assert {job.state for job in jobs} == {State.SUCCEEDED}
    said = {json.loads(job.result) for job in jobs}
    assert len(said) == len(jobs) >= ORDERS - 5
    for number in bank.done(place.engine):
        source, target, cents = order(number)
        assert f"Receipt {number}: {cents / 100:.2f} from {source} to {target}" in said
