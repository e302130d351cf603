"""`narrowboat acl redis`: each user does its own work, and what is another's is refused."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest
from msgspec.structs import replace
from redis import Redis
from redis.exceptions import NoPermissionError

from narrowboat.backends.base import Backend, ClaimRef, Filter, Gate, Retention, Step, Want, WorkerInfo
from narrowboat.backends.urls import open_backend
from narrowboat.core.batch import BatchPart
from narrowboat.core.controls import Controls, LimitSpec
from narrowboat.core.decide import Settlement
from narrowboat.core.errors import BackendError
from narrowboat.core.job import NewJob
from narrowboat.core.states import State
from narrowboat.core.task import Manifest, TaskSpec
from tests.support.servers import RedisServer

INFO = WorkerInfo(id="w", host="box", pid=1)
MANIFEST = Manifest(app="a", tasks=(TaskSpec(name="t.a"),))
LIMITED = Manifest(app="a", tasks=(TaskSpec(name="t.a", controls=Controls(limit=LimitSpec(key="l", most=1))),))
WANT = Want("default", frozenset({"t.a"}), 1)


class Port:
    """A server on which the printed users exist; a URL for each."""

    def __init__(self, server: RedisServer) -> None:
        printed = subprocess.run(
            [sys.executable, "-m", "narrowboat.cli", "acl", "redis", "--url", f"{server.url}?namespace=shop"],
            capture_output=True,
            text=True,
            check=True,
            timeout=30,
        )
        for rule in printed.stdout.splitlines():
            assert server.says(*rule.split()) == "+OK", rule
        self.urls = {line.split()[0]: line.split()[1] for line in printed.stderr.splitlines()}
        self._server = server
        self._opened: list[Backend] = []

    def as_(self, user: str) -> Backend:
        self._opened.append(open_backend(self.urls[user]))
        return self._opened[-1]

    def bare(self, user: str) -> Redis:
        return Redis.from_url(self.urls[user].partition("?")[0])

    def empty(self) -> None:
        for backend in self._opened:
            backend.close()
        self._server.says("FLUSHALL")


@pytest.fixture(scope="module")
def one_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Port]:
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    yield Port(server)
    server.stop()


@pytest.fixture
def port(one_port: Port) -> Iterator[Port]:
    yield one_port
    one_port.empty()


def test_all_four_users_are_printed(port: Port) -> None:
    assert list(port.urls) == ["worker", "web", "dashboard", "inbox"]


def job(n: int) -> NewJob:
    return NewJob(id=f"t.a:{n}", task="t.a")


def running(port: Port, n: int) -> None:
    """Have a worker hold a job."""
    worker = port.as_("worker")
    worker.publish(INFO, MANIFEST)
    port.as_("web").enqueue([job(n)])
    [claim] = worker.step(Step(worker="w", seq=n, wants=(WANT,))).claimed
    assert claim.id == f"t.a:{n}"


def test_a_worker_does_all_that_workers_do(port: Port) -> None:
    worker, web = port.as_("worker"), port.as_("web")
    worker.publish(INFO, MANIFEST)
    web.enqueue([job(1), job(2)])
    assert worker.wait("w", [WANT], 1.0).work
    [claim] = worker.step(Step(worker="w", seq=1, wants=(WANT,))).claimed
    end = Settlement(id=claim.id, token=claim.token, to=State.DEAD, outcome="failed", reason="r")
    [second] = worker.step(Step(worker="w", seq=2, settled=(end,), wants=(WANT,))).claimed
    worker.extend("w", 2, [ClaimRef(second.id, second.token)])
    assert not worker.wait("w", [WANT], 0.1).work
    worker.rescue("w", [])
    worker.workers()
    worker.leave("w")
    assert worker.purge(Retention(dead_max=0)) == 1
    assert worker.audit() == []


def test_a_web_process_enqueues_cancels_and_looks(port: Port) -> None:
    running(port, 1)
    web = port.as_("web")
    web.enqueue([job(2), NewJob(id="t.a:3", task="t.a", delay_s=60, key="k", client="ann")])
    assert web.cancel(["t.a:1", "t.a:2", "t.a:3"]) == [State.RUNNING, State.CANCELLED, State.CANCELLED]
    assert len(web.find(Filter()).jobs) == 3
    assert [found.state for found in web.watch({"t.a:2": 0}, 1.0)] == [State.CANCELLED]
    assert web.watch({"t.a:2": 1 << 40}, 0.1) == []
    assert (web.places(["t.a:2"]), web.find_key("t.a", "k")) == ([None], "t.a:3")
    assert (len(web.ended("default")), len(web.stats()), web.gates(), list(web.published())) == (0, 1, [], ["t.a"])
    assert port.as_("worker").audit() == []


def test_a_dashboard_looks_cancels_retries_and_pauses(port: Port) -> None:
    running(port, 1)
    dashboard = port.as_("dashboard")
    [held] = port.bare("worker").hkeys("nb:{shop}:running:w")
    end = Settlement(id="t.a:1", token=int(held.split()[0]), to=State.DEAD, outcome="failed", reason="r")
    assert port.as_("worker").step(Step(worker="w", seq=2, settled=(end,))).refused == ()
    assert dashboard.retry(["t.a:1"]) == [True]
    dashboard.shut(Gate(scope="queue:default"))
    assert [gate.scope for gate in dashboard.gates()] == ["queue:default"]
    assert dashboard.open("queue:default")
    dashboard.shut(Gate(scope="breaker:b"))
    assert [gate.scope for gate in dashboard.gates()] == ["breaker:b"]
    assert dashboard.open("breaker:b")
    dashboard.adjust("limit:l", LimitSpec(key="l", most=2))
    assert dashboard.cancel(["t.a:1"]) == [State.CANCELLED]
    assert len(dashboard.stats()) == 1
    assert port.as_("worker").audit() == []


def test_lanes_that_controls_hold_are_within_reach_of_those_who_enqueue_cancel_and_adjust(port: Port) -> None:
    worker, web, dashboard = port.as_("worker"), port.as_("web"), port.as_("dashboard")
    worker.publish(INFO, LIMITED)
    web.enqueue([job(1), job(2)])
    [first] = worker.step(Step(worker="w", seq=1, wants=(replace(WANT, n=5),))).claimed
    web.enqueue([replace(job(3), priority=5)])
    assert web.cancel(["t.a:2"]) == [State.CANCELLED]
    assert worker.audit() == []
    dashboard.adjust("limit:l", LimitSpec(key="l", most=2))
    [second] = worker.step(Step(worker="w", seq=2, wants=(replace(WANT, n=5),))).claimed
    assert (first.id, second.id) == ("t.a:1", "t.a:3")
    web.enqueue([job(4)])
    assert worker.step(Step(worker="w", seq=3, wants=(WANT,))).claimed == ()
    assert web.cancel(["t.a:4"]) == [State.CANCELLED]
    assert worker.purge(Retention(keep_max=0)) == 2
    assert worker.audit() == []


def test_a_batch_is_written_by_the_web_and_ended_by_a_worker(port: Port) -> None:
    worker, web = port.as_("worker"), port.as_("web")
    worker.publish(INFO, MANIFEST)
    web.enqueue([replace(job(n), batch="b") for n in (1, 2)], batches=[BatchPart(id="b", then=job(3))])
    [claim] = worker.step(Step(worker="w", seq=1, wants=(WANT,))).claimed
    end = Settlement(id=claim.id, token=claim.token, to=State.SUCCEEDED, outcome="succeeded")
    worker.step(Step(worker="w", seq=2, settled=(end,)))
    assert web.cancel(["t.a:2"]) == [State.CANCELLED]
    [batch] = port.as_("dashboard").batches(["b"])
    assert batch is not None
    assert (batch.total, batch.succeeded, batch.cancelled) == (2, 1, 1)
    assert worker.audit() == []


def test_a_worker_deals_with_due_times_and_a_dashboard_pauses_them(port: Port) -> None:
    worker, dashboard = port.as_("worker"), port.as_("dashboard")
    assert worker.fire("t.a@nightly", 1.0, job(1))
    dashboard.pause_schedule("t.a@nightly", True)
    assert worker.schedules(["t.a@nightly"])["t.a@nightly"].is_paused
    dashboard.pause_schedule("t.a@nightly", False)
    assert not worker.schedules(["t.a@nightly"])["t.a@nightly"].is_paused


forged = Settlement(id="t.a:1", token=3, to=State.SUCCEEDED, outcome="succeeded", result=b'"forged"')
VERBS: dict[str, Callable[[Backend], object]] = {
    "publish": lambda backend: backend.publish(WorkerInfo(id="x", host="h", pid=1), MANIFEST),
    "extend": lambda backend: backend.extend("w", 1, []),
    "rescue": lambda backend: backend.rescue("w", ["other"]),
    "leave": lambda backend: backend.leave("w"),
    "purge": lambda backend: backend.purge(Retention(keep_max=0, dead_max=0)),
    "shut": lambda backend: backend.shut(Gate(scope="queue:default")),
    "trip": lambda backend: backend.shut(Gate(scope="breaker:b")),
    "close": lambda backend: backend.open("breaker:b"),
    "adjust": lambda backend: backend.adjust("limit:l", None),
    "retry": lambda backend: backend.retry(["t.a:9"]),
    "step": lambda backend: backend.step(Step(worker="w", seq=9, settled=(forged,), wants=(WANT,))),
    "enqueue": lambda backend: backend.enqueue([job(5)]),
    "fire": lambda backend: backend.fire("t.a@nightly", 1.0, job(6)),
    "pause_schedule": lambda backend: backend.pause_schedule("t.a@nightly", True),
}


@pytest.mark.parametrize(
    ("user", "verb"),
    [
        *(("web", verb) for verb in ("publish", "step", "extend", "rescue", "leave", "shut", "retry")),
        *(("web", verb) for verb in ("trip", "close", "adjust", "purge", "fire", "pause_schedule")),
        *(("dashboard", verb) for verb in ("publish", "step", "extend", "rescue", "leave", "enqueue", "purge", "fire")),
    ],
)
def test_the_verbs_of_others_are_refused_and_change_nothing(port: Port, user: str, verb: str) -> None:
    running(port, 1)
    worker = port.as_("worker")
    worker.publish(WorkerInfo(id="other", host="box", pid=2), MANIFEST)
    worker.step(Step(worker="other", seq=1, wants=(WANT,)))
    worker.cancel(["t.a:9"])
    port.as_("web").enqueue([job(9)])
    [claim] = worker.step(Step(worker="other", seq=2, wants=(WANT,))).claimed
    end = Settlement(id=claim.id, token=claim.token, to=State.DEAD, outcome="failed", reason="r")
    worker.step(Step(worker="other", seq=3, settled=(end,)))
    [held] = port.bare("worker").hkeys("nb:{shop}:running:w")
    assert held == f"{forged.token} {forged.id}".encode(), "the token that the forger tries is the right one"
    before = (worker.get(["t.a:1", "t.a:9"]), worker.gates(), [view.info.id for view in worker.workers()])
    with pytest.raises(BackendError, match="may not do that"):
        VERBS[verb](port.as_(user))
    assert (worker.get(["t.a:1", "t.a:9"]), worker.gates(), [view.info.id for view in worker.workers()]) == before
    assert worker.audit() == []


WRITES: dict[str, tuple[str, ...]] = {
    "claims": ("HSET", "nb:{shop}:running:w", "1 t.a:1", "1 - default"),
    "claims, deleted": ("DEL", "nb:{shop}:running:w"),
    "workers": ("ZADD", "nb:{shop}:workers", "9e9", "w"),
    "a worker": ("HSET", "nb:{shop}:worker:w", "seq", "99"),
    "gates": ("HSET", "nb:{shop}:gates", "queue:default", "{}"),
    "what gates remember": ("HDEL", "nb:{shop}:meters", "limit:l"),
    "gates that are due": ("ZREM", "nb:{shop}:due-gates", "limit:l"),
    "controls": ("DEL", "nb:{shop}:controls"),
    "known tasks": ("HSET", "nb:{shop}:known", "t.a", "1"),
    "specs": ("HSET", "nb:{shop}:specs", "t.a", "{}"),
    "dead jobs": ("ZREM", "nb:{shop}:dead:default", "t.a:1"),
    "all jobs": ("ZREM", "nb:{shop}:jobs", "t.a:1"),
    "a job": ("HSET", "nb:{shop}:job:t.a:1", "state", "succeeded"),
    "another namespace": ("HSET", "nb:{nb}:job:t.a:1", "state", "succeeded"),
    "the server": ("CONFIG", "GET", "requirepass"),
    "everything": ("FLUSHALL",),
}
ALWAYS = ("another namespace", "the server", "everything")
CLAIMS = ("claims", "claims, deleted", "workers", "a worker", "known tasks", "specs", "controls")
GATES = ("gates", "what gates remember", "gates that are due")


@pytest.mark.parametrize(
    ("user", "what"),
    [
        *(("worker", what) for what in ALWAYS),
        *(("web", what) for what in (*ALWAYS, *CLAIMS, *GATES, "dead jobs")),
        *(("dashboard", what) for what in (*ALWAYS, *CLAIMS, "all jobs")),
        *(("inbox", what) for what in WRITES),
    ],
)
def test_the_keys_of_others_are_refused(port: Port, user: str, what: str) -> None:
    with port.bare(user) as connection, pytest.raises(NoPermissionError):
        connection.execute_command(*WRITES[what])


def test_other_languages_push_messages_and_read_how_their_jobs_are(port: Port) -> None:
    running(port, 1)
    with port.bare("inbox") as connection:
        assert connection.rpush("nb:{shop}:inbox:t.a", "{}") == 1
        connection.rpush("nb:{shop}:bell", 1)
        assert connection.hget("nb:{shop}:job:t.a:1", "state") == b"running"
        with pytest.raises(NoPermissionError):
            connection.lrange("nb:{shop}:inbox:t.a", 0, -1)  # other people's messages
        with pytest.raises(NoPermissionError):
            connection.hgetall("nb:{shop}:gates")


def test_who_can_write_the_index_of_open_lanes_opens_no_gate_with_it(port: Port) -> None:
    worker, web = port.as_("worker"), port.as_("web")
    worker.publish(INFO, MANIFEST)
    worker.shut(Gate(scope="queue:default"))
    web.enqueue([job(1)])
    with port.bare("web") as connection:
        connection.zadd("nb:{shop}:open:default", {"t.a": 0})
    assert worker.step(Step(worker="w", seq=1, wants=(WANT,))).claimed == ()
    assert worker.audit() == []


def test_who_can_write_the_lines_before_gates_opens_none_with_it_and_breaks_no_step(port: Port) -> None:
    worker, web = port.as_("worker"), port.as_("web")
    worker.publish(INFO, LIMITED)
    web.enqueue([job(n) for n in (1, 2, 3)])
    [first] = worker.step(Step(worker="w", seq=1, wants=(replace(WANT, n=5),))).claimed
    with port.bare("web") as connection:
        connection.zadd("nb:{shop}:open:default", {"t.a": 0})
        connection.zadd("nb:{shop}:lines:limit:l", {"x": 0, "a\nb": 0, "\n": 0})
    assert worker.step(Step(worker="w", seq=2, wants=(WANT,))).claimed == ()
    end = Settlement(id=first.id, token=first.token, to=State.SUCCEEDED, outcome="succeeded")
    [second] = worker.step(Step(worker="w", seq=3, settled=(end,), wants=(replace(WANT, n=5),))).claimed
    assert second.id == "t.a:2"
    assert worker.audit() == []
