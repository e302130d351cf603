"""Workers over two gearmands, of which each is gone for a while."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from narrowboat.core.states import State
from tests.support.gearman_server import GearmanServer
from tests.support.processes import HERE, running_worker, wait_for

from .conftest import Harbour, moored
from .test_kill_everything import count_settlements, settlements
from .test_relay_told import says

FUNCTION = "nb:queue:default"
Pair = tuple[GearmanServer, GearmanServer]


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    servers = GearmanServer(tmp_path), GearmanServer(tmp_path)
    yield servers
    for server in servers:
        server.kill()


@pytest.fixture
def quay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pair: Pair) -> Iterator[Harbour]:
    """The app, with its jobs in SQLite and the news of them by both."""
    monkeypatch.setenv("NARROWBOAT_STORE", f"sqlite:///{tmp_path / 'harbour.db'}")
    yield from moored(tmp_path, monkeypatch, f"gearman://{pair[0].place},{pair[1].place}")


def test_each_of_two_gearmands_is_killed_and_every_job_ends_once(quay: Harbour, pair: Pair) -> None:
    ledger, database = quay.folder / "ledger", quay.folder / "harbour.db"
    ledger.touch()
    ledger.chmod(0o666)

    def enqueue(n: int) -> list[str]:
        return [job.id for job in quay.app.enqueue_many([quay.module.load.job(str(ledger), 0.002) for _ in range(n)])]

    def until(n: int) -> None:
        wait_for(f"{n} ended jobs", lambda: len(settlements(database)) >= n)

    ids = enqueue(100)
    count_settlements(database)
    told = [server.status(FUNCTION)[0] for server in pair]
    assert sum(told) == 100
    assert all(told), "one of them is told of nothing"
    with running_worker("harbour:app", quay.url, quay.folder, "-n", "2") as worker:
        for server in pair:
            until(len(ids) // 2)
            server.kill()
            ids += enqueue(100)
            until(len(ids))
            server.start()
            wait_for("the worker to be back there", lambda server=server: server.status(FUNCTION)[2] == 1)
            ids += enqueue(100)
        until(len(ids))
        assert "is out of reach" not in worker.output(), "one of them was there all the time"
        assert worker.stop() == 0
    assert Counter(record.state for record in quay.backend.get(ids) if record) == {State.SUCCEEDED: 500}
    assert settlements(database) == dict.fromkeys(ids, 1)


def test_doctor_and_the_start_of_a_worker_name_both(quay: Harbour, pair: Pair) -> None:
    opens = [f"can reach the backend at {server.place}, which asks for no password" for server in pair]
    with running_worker("harbour:app", quay.url, quay.folder, "-n", "1") as worker:
        wait_for("its warnings", lambda: all(words in worker.output() for words in opens))
        assert worker.stop() == 0
    told = says(quay, HERE, "doctor", "harbour:app", "--url", quay.url)
    assert all(words in told for words in opens)
    pair[0].kill()
    told = says(quay, HERE, "doctor", "harbour:app", "--url", quay.url)
    rows = {line.split()[0]: line.split()[1] for line in told.splitlines() if line.startswith("127.0.0.1:")}
    assert rows[pair[0].place] == "away"
    assert rows[pair[1].place] != "away"
    assert f"warning: Gearman, {pair[0].place}" in told
