"""Any language can speak to a worker on Redis: messages pushed onto lists become jobs, whole or not at all."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from narrowboat.backends.base import Filter
from narrowboat.core.states import State
from tests.support.processes import running_worker, wait_for
from tests.support.servers import RedisServer, shared_redis

from .conftest import Harbour, moored

WHO = "harbour.who"


@pytest.fixture
def server() -> RedisServer:
    return shared_redis()


@pytest.fixture
def harbour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: RedisServer) -> Iterator[Harbour]:
    yield from moored(tmp_path, monkeypatch, server.namespace())


def key(harbour: Harbour, name: str) -> str:
    return f"nb:{{{harbour.url.rpartition('=')[2]}}}:{name}"


def ulid(n: int) -> str:
    return f"{n:026}"


def test_a_message_becomes_a_job_within_a_second_and_at_once_when_the_bell_is_pushed(
    harbour: Harbour, server: RedisServer
) -> None:
    # Nothing is there yet: neither the list, nor a worker.
    server.says("RPUSH", key(harbour, f"inbox:{WHO}"), '{"seconds": 0}')
    with running_worker("harbour:app", harbour.url, harbour.folder, "-n", "1") as worker:

        def state(n: int) -> str:
            return server.value("HGET", key(harbour, f"job:{WHO}:{ulid(n)}"), "state")

        def jobs() -> int:
            return len(harbour.backend.find(Filter(states=frozenset({State.SUCCEEDED}))).jobs)

        wait_for("the first job", lambda: jobs() == 1)
        for n in range(1, 4):
            message = json.dumps({"seconds": 0, "$job": {"id": ulid(n)}})
            began = time.monotonic()
            server.says("RPUSH", key(harbour, f"inbox:{WHO}"), message)
            wait_for("the next job", lambda n=n: state(n) == "succeeded")
            assert time.monotonic() - began < 4, "within a second; a worker that is not told looks after five"
        took: list[float] = []
        for n in range(4, 9):
            message = json.dumps({"seconds": 0, "$job": {"id": ulid(n)}})
            began = time.monotonic()
            server.says("RPUSH", key(harbour, f"inbox:{WHO}"), message)
            server.says("RPUSH", key(harbour, "bell"), "1")
            wait_for("the next job", lambda n=n: state(n) == "succeeded")
            took.append(time.monotonic() - began)
        assert sorted(took)[2] < 0.5, f"the bell was not heard: {took}"
        assert server.says("EXISTS", key(harbour, f"inbox:{WHO}")) == ":0"
        assert worker.stop() == 0


def test_what_a_message_says_of_its_job_holds(harbour: Harbour, server: RedisServer) -> None:
    options = {
        "id": ulid(7),
        "priority": 5,
        "delay_s": 3600,
        "key": "k",
        "tags": ["a"],
        "summary": "s",
        "client": "ann",
    }
    with running_worker("harbour:app", harbour.url, harbour.folder, "-n", "1"):
        server.says("RPUSH", key(harbour, f"inbox:{WHO}"), json.dumps({"seconds": 0.5, "$job": options}))
        job = wait_for("the job", lambda: harbour.backend.get([f"{WHO}:{ulid(7)}"])[0])
    assert (job.state, job.priority, job.key, job.tags) == (State.SCHEDULED, 5, "k", ("a",))
    assert (job.summary, job.client, json.loads(job.args)) == ("s", "ann", {"seconds": 0.5})


@pytest.mark.parametrize(
    ("message", "why"),
    [
        ("{", "JSON"),
        ("[1]", "Expected `object`"),
        ('{"seconds": NaN}', "JSON"),
        ('{"$job": {"prio": 1}}', "prio"),
        ('{"$job": {"id": "7"}}', "ULID"),
        ('{"$job": {"priority": 500}}', "priority"),
        ('{"text": "%s"}' % ("x" * 300_000), "limit"),
    ],
)
def test_a_message_that_cannot_be_read_is_a_dead_job_with_its_reason(
    harbour: Harbour, server: RedisServer, message: str, why: str
) -> None:
    server.says("RPUSH", key(harbour, f"inbox:{WHO}"), message)
    server.says("RPUSH", key(harbour, f"inbox:{WHO}"), '{"seconds": 0}')
    with running_worker("harbour:app", harbour.url, harbour.folder, "-n", "1"):

        def ended() -> bool:
            jobs = harbour.backend.find(Filter()).jobs
            return sorted(job.state for job in jobs) == [State.DEAD, State.SUCCEEDED]

        wait_for("both to end", ended)
    [dead] = harbour.backend.find(Filter(states=frozenset({State.DEAD}))).jobs
    assert "cannot be read" in dead.reason
    assert why in dead.reason
    [job] = harbour.backend.get([dead.id])
    assert job is not None
    assert message.startswith(json.loads(job.args)["message"])


def test_two_workers_make_each_message_into_one_job(harbour: Harbour, server: RedisServer) -> None:
    with (
        running_worker("harbour:app", harbour.url, harbour.folder, "-n", "1"),
        running_worker("harbour:app", harbour.url, harbour.folder, "-n", "1"),
    ):
        for n in range(300):
            server.says("RPUSH", key(harbour, f"inbox:{WHO}"), '{"seconds": 0}')  # all of them alike
            if n % 50 == 0:
                server.says("RPUSH", key(harbour, "bell"), "1")
        wait_for("the inbox to be empty", lambda: server.says("EXISTS", key(harbour, f"inbox:{WHO}")) == ":0")

        def ended() -> int:
            return len(harbour.backend.find(Filter(states=frozenset({State.SUCCEEDED})), limit=1000).jobs)

        wait_for("all of them", lambda: ended() == 300)


def test_messages_for_a_task_that_nobody_knows_stay_where_they_are(harbour: Harbour, server: RedisServer) -> None:
    inbox = key(harbour, "inbox:harbour.unheard")
    server.says("RPUSH", inbox, "{}")
    with running_worker("harbour:app", harbour.url, harbour.folder, "-n", "1"):
        server.says("RPUSH", key(harbour, f"inbox:{WHO}"), '{"seconds": 0}')
        wait_for("the known one", lambda: harbour.backend.find(Filter(states=frozenset({State.SUCCEEDED}))).jobs)
        assert server.says("LLEN", inbox) == ":1"
