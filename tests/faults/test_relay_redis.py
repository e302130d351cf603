"""A transport over Redis: the store is killed under it, and what nobody published is found."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from narrowboat.backends import urls
from narrowboat.backends.base import Filter
from narrowboat.core.errors import BackendUnavailable
from narrowboat.core.states import State
from tests.support.carriers import Carrier
from tests.support.processes import Host, running_worker, wait_for
from tests.support.servers import RedisServer

from .conftest import Harbour, moored
from .test_redis import KEEPS_ALL
from .test_redis import settlements as settlements_in
from .test_relay import survive

WHO = "harbour.load"
QUEUE, INBOX = "queue:default", f"task:{WHO}"


@pytest.fixture
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    store = RedisServer(tmp_path_factory.mktemp("redis"), *KEEPS_ALL)
    yield store
    store.stop()


@pytest.fixture
def quay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, carrier: Carrier, store: RedisServer) -> Iterator[Harbour]:
    """The app, with its jobs in Redis and the news of them by the carrier."""
    monkeypatch.setitem(urls.TRANSPORTS, "loopback", "tests.support.loopback")
    monkeypatch.setenv("NARROWBOAT_STORE", store.url)
    yield from moored(tmp_path, monkeypatch, carrier.url)


@pytest.mark.parametrize("carrier", ["rabbitmq"], indirect=True)
def test_two_thousand_jobs_in_redis_survive_the_kills_of_transport_and_workers(
    quay: Harbour, carrier: Carrier, store: RedisServer, host: Host, capsys: pytest.CaptureFixture[str]
) -> None:
    def finished() -> int:
        return sum(queue.counts.get(State.SUCCEEDED, 0) for queue in quay.backend.stats())

    survive(quay, carrier, host, finished, lambda: settlements_in(store), capsys)


@pytest.mark.parametrize("carrier", ["gearman", "rabbitmq", "sqs"], indirect=True)
def test_while_the_store_is_killed_nothing_is_published_and_what_others_send_waits(
    quay: Harbour, carrier: Carrier, store: RedisServer, host: Host
) -> None:
    ledger = quay.folder / "ledger"
    ledger.touch()
    ledger.chmod(0o666)
    arguments = {"ledger": str(ledger), "seconds": 0}
    programs = carrier.programs()
    carrier.prepare([QUEUE, INBOX])
    with running_worker("harbour:app", carrier.url, quay.folder, "-n", "2", host=host) as worker:
        before = quay.app.enqueue_many([quay.module.load.job(**arguments) for _ in range(20)])
        assert {job.wait(20).state for job in before} == {State.SUCCEEDED}
        wait_for("an idle worker to take away old news", lambda: carrier.counted(QUEUE) == (0, 0))
        store.kill()
        with pytest.raises(BackendUnavailable, match=f"127.0.0.1:{store.port}"):
            quay.module.load.enqueue(**arguments)
        assert carrier.counted(QUEUE) == (0, 0), "it was published, and not written"
        for send in programs:
            send(QUEUE, json.dumps({"v": 1, "task": WHO, "args": arguments}).encode())
            send(INBOX, json.dumps(arguments).encode())
        kept = (len(programs), 0)
        wait_for("them to be back", lambda: (carrier.counted(QUEUE), carrier.counted(INBOX)) == (kept, kept))
        store.start()
        n = len(before) + 2 * len(programs)
        wait_for("them to run", lambda: ledger.read_text().count("end ") >= n)
        assert quay.module.load.enqueue(**arguments).wait(20).state is State.SUCCEEDED
        wait_for("nothing to be left", lambda: (carrier.counted(QUEUE), carrier.counted(INBOX)) == ((0, 0), (0, 0)))
        assert worker.stop() == 0
    states = Counter(job.state for job in quay.backend.find(Filter()).jobs)
    assert states == {State.SUCCEEDED: n + 1}
    assert ledger.read_text().count("end ") == n + 1, "one of them ran twice"
