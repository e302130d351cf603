"""What only a relay does: what is told to whom, what is taken away, and what comes from other programs."""

from __future__ import annotations

import itertools
import json
import logging
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from narrowboat.app.why import why
from narrowboat.backends import urls
from narrowboat.backends.base import Backend, Filter, Step, StepReply, Wakeup, Want, WorkerInfo
from narrowboat.backends.memory import MemoryBackend
from narrowboat.backends.relay import RelayBackend, reach
from narrowboat.backends.relay import backend as relay
from narrowboat.backends.transport import Depth, Notice
from narrowboat.backends.urls import open_backend, record_of
from narrowboat.core.controls import Controls, LimitSpec
from narrowboat.core.decide import Settlement
from narrowboat.core.errors import BackendUnavailable, ConfigError
from narrowboat.core.ids import new_job_id
from narrowboat.core.job import Job, NewJob
from narrowboat.core.message import UNREAD
from narrowboat.core.states import State
from narrowboat.core.task import Manifest, TaskSpec
from narrowboat.worker.listener import NEVER
from tests.support.loopback import LoopbackTransport, Server
from tests.support.processes import wait_for

ULID = "01J8ZQ5Y7RAEKXB0N3TS4M6WCD"
QUEUE = "queue:default"


@dataclass
class Quay:
    """A store, a service, and relays between them."""

    server: Server
    store: Backend
    relays: list[RelayBackend]

    def relay(self) -> RelayBackend:
        """One more, as in another process."""
        self.relays.append(RelayBackend(self.transport(), self.store))
        return self.relays[-1]

    def transport(self) -> LoopbackTransport:
        return LoopbackTransport(self.server.url.removeprefix("loopback://"))

    def send(self, channel: str, body: bytes | dict[str, Any]) -> None:
        """As another program does."""
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        other = self.transport()
        other.publish([Notice(channel, "", body)])
        other.close()

    def depth(self, channel: str = QUEUE) -> Depth:
        with self.server.service.changed:
            waiting = len(self.server.service._waiting[channel])
            held = sum(message.channel == channel for _, message in self.server.service._held.values())
        return Depth(waiting, held)


class Hand:
    """A worker of a relay."""

    def __init__(self, relay: RelayBackend, name: str = "w", *specs: TaskSpec) -> None:
        self.relay, self.name, self.seq = relay, name, 0
        specs = specs or (TaskSpec(name="t"),)
        self.tasks = frozenset(spec.name for spec in specs)
        info = WorkerInfo(id=name, host="box", pid=1, queues={"default": 4})
        relay.publish(info, Manifest(app="a", tasks=specs))

    def want(self, n: int = 1) -> Want:
        return Want("default", self.tasks, n)

    def wait(self, timeout_s: float = 30.0, n: int = 1) -> Wakeup:
        """As the listener of a worker does."""
        return self.relay.wait(self.name, [self.want(n)], timeout_s, cancels=NEVER)

    def until_asleep(self) -> None:
        """Until another thread that waits has looked in vain, and receives: what comes from now on, it is told."""
        transport = self.relay._transport
        assert isinstance(transport, LoopbackTransport)
        wait_for("it to be asleep", lambda: transport._busy)

    def step(self, n: int = 1, *settled: Settlement) -> StepReply:
        self.seq += 1
        wants = (self.want(n),) if n else ()
        return self.relay.step(Step(worker=self.name, seq=self.seq, settled=settled, wants=wants))


@pytest.fixture
def quay(tmp_path: Path) -> Iterator[Quay]:
    quay = Quay(Server(tmp_path / "loopback").start(), MemoryBackend(), [])
    yield quay
    assert quay.store.audit() == []
    for made in quay.relays:
        made.close()
    quay.server.stop()


@pytest.fixture
def no_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits looks once, at the beginning; from then on only a notice wakes it."""
    monkeypatch.setattr(relay, "LOOK_S", 60.0)


@pytest.fixture
def in_thread() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor() as pool:
        yield pool


def jobs(n: int, **fields: Any) -> list[NewJob]:
    return [NewJob(id=f"t:{number}", task="t", **fields) for number in range(n)]


# What is told, and accepted when.


def test_a_notice_is_held_until_its_worker_has_claimed(quay: Quay) -> None:
    hand = Hand(quay.relay())
    hand.relay.enqueue(jobs(2))
    assert quay.depth() == Depth(2, 0)
    assert hand.wait().work
    assert quay.depth() == Depth(2, 0), "it looks before it receives"
    quay.relay().enqueue([NewJob(id="t:9", task="t")])
    assert [claim.id for claim in hand.step(3).claimed] == ["t:0", "t:1", "t:9"]
    wait_for("the rest to be taken away", lambda: not hand.wait(0.05).work and quay.depth() == Depth(0, 0))


@pytest.mark.usefixtures("no_looks")
def test_a_notice_that_woke_a_worker_is_held_until_its_step(quay: Quay, in_thread: ThreadPoolExecutor) -> None:
    hand = Hand(quay.relay())
    waiting = in_thread.submit(hand.wait)
    hand.until_asleep()
    assert not waiting.done()
    quay.relay().enqueue(jobs(1))
    assert waiting.result(20).work
    assert quay.depth() == Depth(0, 1)
    assert len(hand.step().claimed) == 1
    assert quay.depth() == Depth(0, 0)


@pytest.mark.usefixtures("no_looks")
def test_a_worker_that_leaves_gives_back_what_it_was_told(quay: Quay, in_thread: ThreadPoolExecutor) -> None:
    hand = Hand(quay.relay())
    waiting = in_thread.submit(hand.wait)
    hand.until_asleep()
    quay.relay().enqueue(jobs(1))
    assert waiting.result(20).work
    assert quay.depth().held == 1
    hand.relay.leave("w")
    assert (quay.depth().waiting or 0) >= 1
    assert quay.depth().held == 0


@pytest.mark.usefixtures("no_looks")
def test_what_is_held_by_a_gate_is_accepted_and_told_of_again_when_the_gate_opens(
    quay: Quay, in_thread: ThreadPoolExecutor
) -> None:
    one = TaskSpec(name="t", controls=Controls(limit=LimitSpec(key="db", most=1)))
    first, second = Hand(quay.relay(), "first", one), Hand(quay.relay(), "second", one)
    quay.relay().enqueue([NewJob(id=new_job_id("t"), task="t") for _ in range(2)])
    [claim] = first.step().claimed
    waiting = in_thread.submit(second.wait)
    wait_for("the notices to be accepted", lambda: quay.depth() == Depth(0, 0))
    assert not waiting.done()
    first.step(0, Settlement(id=claim.id, token=claim.token, to=State.SUCCEEDED, outcome="succeeded"))
    assert waiting.result(20).work


def test_a_lost_notice_is_made_good_for_by_a_look(quay: Quay, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay, "LOOK_S", 0.2)
    hand = Hand(quay.relay())
    quay.server.service.fail("", ["lose"])
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(hand.wait)
        hand.until_asleep()
        quay.relay().enqueue(jobs(1))
        assert waiting.result(20).work  # it waits for 30 s at the most, and would look then


@pytest.mark.usefixtures("no_looks")
def test_what_a_look_has_found_is_published_again(quay: Quay, in_thread: ThreadPoolExecutor) -> None:
    """As after a crash between the write and the publish, or a service that was killed with its memory."""
    first, second = Hand(quay.relay(), "first"), Hand(quay.relay(), "second")
    sleeping = in_thread.submit(second.wait)
    second.until_asleep()
    quay.store.enqueue(jobs(2))
    assert first.wait(0).work
    assert len(first.step().claimed) == 1
    assert sleeping.result(20).work
    assert len(second.step().claimed) == 1


def test_notices_of_jobs_that_were_claimed_do_not_pile_up_while_a_worker_never_rests(quay: Quay) -> None:
    hand = Hand(quay.relay())
    for batch in range(10):
        hand.relay.enqueue([NewJob(id=f"t:{batch}-{n}", task="t") for n in range(100)])
        assert len(hand.step(100).claimed) == 100
    assert (quay.depth().waiting or 0) <= 100


def test_an_idle_worker_takes_away_what_tells_of_nothing_with_few_looks(
    quay: Quay, in_thread: ThreadPoolExecutor
) -> None:
    hand, looks = Hand(quay.relay()), 0
    hand.relay.enqueue(jobs(1000))
    assert len(quay.store.cancel([job.id for job in jobs(1000)])) == 1000
    wait, store = quay.store.wait, quay.store

    def counted(*args: Any, **kwargs: Any) -> Wakeup:
        nonlocal looks
        looks += 1
        return wait(*args, **kwargs)

    store.wait = counted  # type: ignore[method-assign]
    waiting = in_thread.submit(hand.wait)
    wait_for("all of them to be taken away", lambda: quay.depth() == Depth(0, 0))
    hand.relay.rouse("w")
    assert not waiting.result(20).work
    assert looks < 20


def test_an_idle_worker_looks_once_in_five_seconds(
    quay: Quay, monkeypatch: pytest.MonkeyPatch, in_thread: ThreadPoolExecutor
) -> None:
    assert relay.LOOK_S == 5.0
    monkeypatch.setattr(relay, "LOOK_S", 0.5)
    hand, looked = Hand(quay.relay()), list[float]()
    wait = quay.store.wait
    monkeypatch.setattr(
        quay.store, "wait", lambda *args, **more: looked.append(time.monotonic()) or wait(*args, **more)
    )
    waiting = in_thread.submit(hand.wait)
    wait_for("it to have looked again and again", lambda: len(looked) > 4)
    between = [later - earlier for earlier, later in itertools.pairwise(looked[:5])]
    hand.relay.rouse("w")
    waiting.result(20)
    assert 0.5 <= min(between) < 1.0  # a machine that is busy makes some of them longer, and none shorter


# A service that is away.


def test_jobs_are_accepted_and_flow_while_the_transport_is_away(
    quay: Quay, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, in_thread: ThreadPoolExecutor
) -> None:
    hand, web = Hand(quay.relay()), quay.relay()
    monkeypatch.setattr(relay, "LOOK_S", 60.0)  # so that no look of its own wakes it
    quay.server.service.fail("", ["down"])
    waiting = in_thread.submit(hand.wait)
    with caplog.at_level(logging.WARNING, "narrowboat.relay"):
        for job in jobs(3):
            assert web.enqueue([job])[0].created
    said = [record.getMessage() for record in caplog.records]
    assert 1 <= len(said) <= 2, "once for each process, which are one here"
    assert "out of reach; jobs are accepted" in said[0]
    assert waiting.result(20).work, "it sleeps in the store meanwhile"
    assert len(hand.step(3).claimed) == 3
    quay.store.enqueue([NewJob(id="t:9", task="t")])
    reason = why(web, "t:9")
    assert reason.code == "transport"
    assert "out of reach" in reason.text
    assert web.stats()[0].transport is None
    quay.server.service.fail("", [])
    monkeypatch.setattr(reach, "AGAIN_S", 0.0)
    web._reach._away_until = 0.0
    web.enqueue([NewJob(id="t:10", task="t")])
    assert web.stats()[0].transport == Depth(1, 0)
    assert why(web, "t:9").code == "in line"


def test_nobody_waits_for_a_transport_that_was_away_a_moment_ago(quay: Quay, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reach, "AGAIN_S", 60.0)  # a moment, for who is slow
    web, asked = quay.relay(), 0

    def slow(notices: object) -> None:
        nonlocal asked
        asked += 1
        raise BackendUnavailable("away")

    monkeypatch.setattr(web._transport, "publish", slow)
    for job in jobs(20):
        web.enqueue([job])
    assert asked == 1


def test_a_store_that_is_down_is_said(quay: Quay, monkeypatch: pytest.MonkeyPatch) -> None:
    def down(*args: object, **more: object) -> None:
        raise BackendUnavailable("down")

    web = quay.relay()
    monkeypatch.setattr(quay.store, "enqueue", down)
    with pytest.raises(BackendUnavailable, match="down"):
        web.enqueue(jobs(1))
    assert quay.depth() == Depth(0, 0)


# Other programs.


def test_a_message_on_a_queue_is_a_job(quay: Quay) -> None:
    hand = Hand(quay.relay())
    quay.send(QUEUE, {"v": 1, "task": "t", "args": {"n": 1}, "id": ULID, "priority": 7})
    assert hand.wait().work
    [claim] = hand.step().claimed
    assert (claim.id, claim.queue, claim.args, claim.priority) == (f"t:{ULID}", "default", b'{"n": 1}', 7)
    assert quay.depth() == Depth(0, 0)


def test_bare_arguments_in_the_inbox_of_a_task_are_a_job(quay: Quay) -> None:
    hand = Hand(quay.relay(), "w", TaskSpec(name="t", priority=3), TaskSpec(name="other", queue="elsewhere"))
    quay.send("task:t", {"n": 1})
    assert hand.wait().work
    [claim] = hand.step().claimed
    assert (claim.task, claim.args, claim.priority) == ("t", b'{"n": 1}', 3)
    quay.send("task:other", {"n": 1})
    assert not hand.wait(0.3).work, "its jobs go to a queue that this worker does not serve"


def test_a_message_that_comes_again_is_the_same_job_if_it_has_an_id(quay: Quay) -> None:
    hand = Hand(quay.relay())
    quay.server.service.fail("", ["duplicate"])
    quay.send("task:t", {"$job": {"id": ULID}})
    assert hand.wait().work
    assert len(hand.step(9).claimed) == 1
    assert not hand.wait(0.2).work


def test_a_message_for_a_task_that_nobody_knows_waits_for_one_who_does(quay: Quay) -> None:
    hand = Hand(quay.relay())
    quay.send(QUEUE, {"v": 1, "task": "new.task", "id": ULID})

    def taken_in() -> Job | None:
        assert not hand.wait(0.1).work
        return quay.store.get([f"new.task:{ULID}"])[0]

    job = wait_for("it to be a job", taken_in)
    assert job is not None
    assert job.state is State.QUEUED
    assert why(hand.relay, job.id).code == "unknown task"


@pytest.mark.parametrize(
    ("channel", "body", "task"),
    [
        (QUEUE, b"hello", UNREAD),
        (QUEUE, b'{"v": 1, "task": "t", "args": 7}', "t"),
        (QUEUE, b'{"v": 1, "task": "t", "id": "7"}', "t"),
        ("task:t", b"\xff", "t"),
        ("task:t", b'{"$job": {"prio": 1}}', "t"),
    ],
)
def test_a_wrong_message_is_claimed_with_its_reason(quay: Quay, channel: str, body: bytes, task: str) -> None:
    hand = Hand(quay.relay())
    quay.send(channel, body)
    assert hand.wait().work
    [claim] = hand.step().claimed
    assert claim.task == task
    assert "cannot be read" in json.loads(claim.args)["$refused"]
    assert quay.depth(channel) == Depth(0, 0)


def test_messages_wait_in_the_transport_while_the_store_is_down(quay: Quay, monkeypatch: pytest.MonkeyPatch) -> None:
    hand = Hand(quay.relay())
    quay.send(QUEUE, {"v": 1, "task": "t"})

    def down(*args: object, **more: object) -> None:
        raise BackendUnavailable("down")

    with monkeypatch.context() as patched:
        patched.setattr(quay.store, "enqueue", down)
        with pytest.raises(BackendUnavailable):
            hand.wait()
    assert quay.depth() == Depth(1, 0)
    assert hand.wait().work


def test_a_message_that_the_store_cannot_keep_does_not_stop_the_others(
    quay: Quay, monkeypatch: pytest.MonkeyPatch
) -> None:
    enqueue = quay.store.enqueue

    def picky(jobs: Any, *args: Any, **more: Any) -> Any:
        if any("\0" in (job.key or "") for job in jobs):
            raise ConfigError("a NUL")
        return enqueue(jobs, *args, **more)

    monkeypatch.setattr(quay.store, "enqueue", picky)
    hand = Hand(quay.relay())
    for key in ("a", "\0", "b"):
        quay.send(QUEUE, {"v": 1, "task": "t", "key": key})
    assert hand.wait(n=9).work
    claims = hand.step(9).claimed
    assert sorted(claim.task for claim in claims) == [UNREAD, "t", "t"]


def test_the_task_of_wrong_messages_is_no_task_of_the_app(quay: Quay) -> None:
    hand = Hand(quay.relay())
    assert list(hand.relay.published()) == ["t"]
    assert hand.relay.workers()[0].tasks == ("t",)
    assert hand.relay.find(Filter()).jobs == ()


# URLs.


@pytest.fixture
def loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(urls.TRANSPORTS, "loopback", "tests.support.loopback")


@pytest.mark.usefixtures("loopback")
def test_a_transport_keeps_its_jobs_where_the_store_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = f"sqlite:///{tmp_path}/given.db"
    made = open_backend(f"loopback://{tmp_path}/l", given)
    assert made.location == f"{tmp_path}/given.db through loopback://{tmp_path}/l"
    assert made.capabilities.name == "SQLite through loopback"
    assert made.capabilities.has_transactional_enqueue
    assert f"loopback://{tmp_path}/l" in made.urls
    made.close()
    monkeypatch.setenv("NARROWBOAT_STORE", given)
    assert record_of(f"loopback://{tmp_path}/l") == given
    assert record_of("sqlite:///other.db") == "sqlite:///other.db"
    monkeypatch.delenv("NARROWBOAT_STORE")
    monkeypatch.chdir(tmp_path)
    assert record_of("amqp://host") == f"sqlite:///{tmp_path}/narrowboat.db"
    (tmp_path / "pyproject.toml").write_text('[tool.narrowboat]\nstore = "redis://host"')
    assert record_of("sqs://host") == "redis://host"


@pytest.mark.usefixtures("loopback")
@pytest.mark.parametrize(
    ("store", "why"),
    [("memory://", "inside one process"), ("amqp://:hush@host", "only delivers"), ("x://", "not known")],
)
def test_a_store_that_cannot_keep_jobs_is_refused(store: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why) as caught:
        open_backend("loopback:///nowhere", store)
    assert "hush" not in str(caught.value)
