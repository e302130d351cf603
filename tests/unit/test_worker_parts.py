"""The parts of a worker that need no process."""

from __future__ import annotations

import itertools
import os
import select
import threading
import time
from collections.abc import Iterator
from math import inf, nan
from pathlib import Path
from typing import Any

import msgspec
import pytest

from narrowboat import BackendUnavailable, ConfigError, kernel
from narrowboat.backends.base import Retention, Step, StepReply, Wakeup, Want, WorkerInfo, WorkerView
from narrowboat.backends.memory import MemoryBackend
from narrowboat.backends.sqlite import SQLiteBackend
from narrowboat.core import codec
from narrowboat.core.ids import new_job_id
from narrowboat.core.job import MAX_PAYLOAD, Claim, NewJob, Progress
from narrowboat.core.needs import Reach
from narrowboat.core.outcome import Cancelled, Crashed, ErrorInfo, Failed, Released, Snoozed, Succeeded
from narrowboat.core.states import State
from narrowboat.core.task import Manifest, TaskSpec
from narrowboat.executor import wire
from narrowboat.executor.capture import MAX_BYTES, MAX_LINE, MAX_LINES, Lines, Printed, Stream
from narrowboat.kernel import Channel
from narrowboat.sandbox import system
from narrowboat.worker.ahead import STUCK_BEHIND_S, Ahead
from narrowboat.worker.appetite import Appetite
from narrowboat.worker.distrust import believable, believable_job, believable_progress
from narrowboat.worker.exchange import JOIN_S, STUCK_STEP_S, Exchange
from narrowboat.worker.executors import Executor, Kind, ProtocolViolation, cause_of_death
from narrowboat.worker.heartbeat import Heartbeat
from narrowboat.worker.held import Held
from narrowboat.worker.identity import is_gone, this_worker
from narrowboat.worker.ledger import ALONG_S, BATCH, STARTED_S, Ledger
from narrowboat.worker.link import Contact, Link
from narrowboat.worker.mail import Heard, Mailbox, Rescued, Stepped
from narrowboat.worker.neighbours import Neighbours
from narrowboat.worker.pace import LATE_S, MOST_AHEAD, SHORT_S, SOON_S, Pace
from narrowboat.worker.pool import Pool
from narrowboat.worker.secrets import Secrets
from narrowboat.worker.settings import Settings, parse_queues, slots_for
from narrowboat.worker.shyness import Shyness
from narrowboat.worker.verdict import verdict
from narrowboat.worker.wear import Wear
from narrowboat.worker.zygote import clean_environment
from tests.security.alone import become, outcome
from tests.support.processes import wait_for

tokens = itertools.count(1)


def held(job_id: str = "t:1", task: str = "t", queue: str = "q", concurrency: int = 0) -> Held:
    claim = Claim(id=job_id, task=task, queue=queue, token=next(tokens), args=b"{}")
    return Held(claim, TaskSpec(name=task, concurrency=concurrency), 0.0)


class Ignored:
    def __getattr__(self, name: str) -> Any:
        return lambda *_: True


def make_pool(slots: int) -> Pool:
    return Pool(slots, Ignored(), Ignored())


def test_jobs_ahead_join_the_shortest_line_until_all_are_long_enough() -> None:
    busy, free = (Executor(number, Kind()) for number in range(2))
    for executor in (busy, free):
        executor.process = kernel.Process(os.getpid())
    assert busy.give(held()) and busy.give(held()) and busy.give(held())
    ahead = Ahead([busy, free], 3, Wear())
    assert [ahead.give(held()) for _ in range(6)] == [free, free, free, busy, free, None]
    assert (len(busy.given), len(free.given)) == (4, 4)
    assert Ahead([busy, free], 0, Wear()).give(held()) is None
    busy.close()
    free.close()


def test_lines_are_stuck_only_behind_what_has_begun() -> None:
    first, last = held(), held()
    executor = Executor(1, Kind())
    executor.process = kernel.Process(os.getpid())
    lines = Ahead([executor], 3, Wear())
    assert lines.give(first) is executor and lines.give(last) is executor
    assert lines.stuck_at == inf, "nothing is to be done about one that is slow to start"
    executor.begin(first, 1000.0)
    assert lines.stuck_at == 1000.0 + STUCK_BEHIND_S
    executor.end(first)
    executor.begin(last, 1001.0)
    assert lines.stuck_at == inf
    executor.close()


@pytest.mark.parametrize("ran_s", [inf, -inf, nan, -1.0, 1e308])
def test_a_duration_that_an_executor_makes_up_spoils_no_reckoning(ran_s: float) -> None:
    pool, jobs = make_pool(1), [held(f"t:{number}") for number in range(3)]
    executor = executor_with([], 0)
    pool.executors.append(executor)
    assert all(executor.give(job) for job in jobs)
    executor.theirs.send(wire.encode(wire.Started(jobs[0].claim.token)))
    for job, following, lasted_s in zip(jobs, [*jobs[1:], None], [0.0001, ran_s, 0.0001], strict=True):
        next_token = following.claim.token if following else None
        executor.theirs.send(wire.encode(wire.Ended(job.claim.token, Succeeded(), lasted_s, next_token)))
    pool.readable(executor)
    assert executor.begun == 3 and not executor.given
    assert pool.pace.ahead("t") >= 0 and pool.company_s() >= 0
    executor.close()


def test_queues_and_slots_as_people_write_them() -> None:
    assert parse_queues("images=2, email=50,default") == {"images": 2, "email": 50, "default": None}
    assert slots_for({"images": 2, "email": 50}, None) == 52
    assert slots_for({"images": 2, "default": None}, None) == os.cpu_count()
    assert slots_for({"images": 2}, 9) == 9


@pytest.mark.parametrize("text", ["images=", "images=x", "images=0", "=2"])
def test_queues_that_are_none(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_queues(text)


def test_slots_have_bounds() -> None:
    with pytest.raises(ConfigError, match="1 to 4096"):
        Settings("a:b", slots=0)


def test_a_task_is_short_only_once_it_has_been_measured() -> None:
    pace = Pace()
    assert pace.ahead("t") == 0
    pace.note("t", 0.00001)
    assert pace.ahead("t") == MOST_AHEAD
    assert pace.short() == {"t"}


def test_one_long_run_ends_claiming_ahead_at_once() -> None:
    pace = Pace()
    for _ in range(100):
        pace.note("t", 0.0001)
    pace.note("t", 1.0)
    assert pace.ahead("t") == 0
    assert pace.short() == frozenset()


def test_jobs_ahead_of_one_executor_take_little_time_together() -> None:
    for mean_s in (0.0001, 0.001, 0.0055, 0.019):  # of 5 ms too: they would wait for a round trip after each
        pace = Pace()
        pace.note("t", mean_s)
        assert 0 < pace.ahead("t") * mean_s <= 0.1
    pace.note("t", SHORT_S * 11)
    assert pace.ahead("t") == 0


def test_a_worker_wants_one_job_for_each_free_slot() -> None:
    pool = make_pool(4)
    pool.take([held()])
    wants, _, room = Appetite({"q": None, "r": None}, {"t": TaskSpec(name="t")}, pool).wants()
    assert {(want.queue, want.n) for want in wants} == {("q", 3), ("r", 3)}
    assert room == 3


def test_tasks_that_share_an_executor_are_wanted_by_as_many_as_it_holds() -> None:
    specs = {"alone": TaskSpec(name="alone"), "shared": TaskSpec(name="shared", concurrency=50)}
    wants, _, room = Appetite({"q": None}, specs, make_pool(2)).wants()
    assert [(want.tasks, want.n, want.room) for want in wants] == [({"alone"}, 2, 1), ({"shared"}, 100, 1 / 50)]
    assert room == 2


def executor_with(jobs: list[Held], capacity: int) -> Executor:
    executor = Executor(1, Kind(concurrency=capacity))
    executor.process = kernel.Process(os.getpid())  # as if it were one
    for job in jobs:
        executor.give(job)
        executor.begin(job, time.monotonic())
    return executor


def test_room_in_a_running_executor_takes_no_slot() -> None:
    pool = make_pool(1)
    executor = executor_with([held(concurrency=50) for _ in range(3)], 50)
    pool.executors.append(executor)
    wants, _, room = Appetite({"q": None}, {"t": TaskSpec(name="t", concurrency=50)}, pool).wants()
    assert [(want.n, want.room) for want in wants] == [(47, 0)]
    specs = {"t": TaskSpec(name="t", concurrency=50), "other": TaskSpec(name="other")}
    wants, _, room = Appetite({"q": None}, specs, pool).wants()
    assert [(want.n, want.room) for want in wants] == [(1, 1), (47, 0)], "the shared one can be asked to make room"
    assert room == 1
    pool.hand.extend(held(concurrency=50) for _ in range(7))
    wants, _, _ = Appetite({"q": None}, {"t": TaskSpec(name="t", concurrency=50)}, pool).wants()
    assert [want.n for want in wants] == [40], "what is in hand will take some of it"
    executor.close()


def test_a_job_for_which_an_executor_makes_room_goes_before_what_comes_back_from_it() -> None:
    pool = make_pool(1)
    waiting = held("t:0", task="sync")
    shared = executor_with([held(f"t:{n}", concurrency=2) for n in (1, 2)], 2)
    for _ in range(2):
        shared.theirs.recv(65536)  # as the executor does
    behind = held("t:3", concurrency=2)
    shared.give(behind)
    pool.executors.append(shared)
    pool.take([waiting])
    waiting.claimed_at = -1000.0
    pool.assign()
    assert shared.is_retiring
    assert list(pool.hand) == ([waiting, behind] if kernel.CAN_TAKE_BACK else [waiting])
    shared.close()


def test_of_several_jobs_only_one_that_was_told_to_stop_and_did_not_is_blamed() -> None:
    culprit, *neighbours = jobs = [held(f"t:{n}", concurrency=50) for n in range(3)]
    culprit.is_told = True
    outcomes = [verdict(job, jobs, "timeout", "timeout", "") for job in jobs]
    assert outcomes[0] == Crashed("timeout")
    assert all(isinstance(outcome, Released) for outcome in outcomes[1:])
    culprit.is_told = False  # the loop stood still: whose fault that was cannot be told
    assert [verdict(job, jobs, "timeout", "timeout", "") for job in jobs] == [None] * 3
    assert verdict(neighbours[0], jobs, None, "SIGSEGV", "") is None
    assert verdict(culprit, [culprit], None, "SIGSEGV", "words") == Crashed("SIGSEGV", "words")


def test_a_queue_with_slots_of_its_own_takes_no_more() -> None:
    pool = make_pool(10)
    pool.take([held(queue="q")])
    wants, _, _ = Appetite({"q": 2}, {"t": TaskSpec(name="t")}, pool).wants()
    assert [(want.queue, want.n) for want in wants] == [("q", 1)]


def test_queues_take_turns_at_being_first() -> None:
    appetite = Appetite({"q": None, "r": None}, {"t": TaskSpec(name="t")}, make_pool(1))
    assert [appetite.wants()[0][0].queue for _ in range(3)] == ["q", "r", "q"]


def test_jobs_ahead_are_wanted_only_of_short_tasks() -> None:
    pool = make_pool(2)
    pool.pace.note("short", 0.00001)
    pool.pace.note("long", 1.0)
    wants, most, _ = Appetite({"q": None}, {name: TaskSpec(name=name) for name in ("short", "long")}, pool).wants()
    assert [want.tasks for want in wants] == [{"short", "long"}, {"short"}]
    assert most == 500


def test_a_settlement_leaves_at_once_when_executors_would_wait() -> None:
    ledger = Ledger("w")
    assert ledger.due_at(wait_s=0.002) is None
    ledger.ended(held(), Succeeded())
    assert ledger.due_at(wait_s=0.0) == 0.0
    assert (ledger.due_at(wait_s=0.002) or 0) > 0
    for number in range(BATCH):
        ledger.ended(held(f"t:{number}"), Released())
    assert ledger.due_at(wait_s=0.002) == 0.0


def test_a_settlement_waits_for_a_part_of_the_time_that_executors_have_work_for() -> None:
    pool = make_pool(2)
    for _ in range(50):
        pool.pace.note("t", 0.005)
    assert pool.company_s() == 0.0, "they would wait"
    pool.take([held() for _ in range(3)])
    assert pool.company_s() == 0.0, "so short a wait brings no company"
    pool.take([held() for _ in range(3)])
    assert pool.company_s() == pytest.approx(0.005 * 3 / 4, rel=0.01)
    pool.take([held() for _ in range(100)])
    assert pool.company_s() == LATE_S


def test_long_jobs_at_hand_are_no_reason_to_wait_and_many_short_ones_are() -> None:
    pace = Pace()
    for _ in range(50):
        pace.note("long", 3600.0)
    assert pace.company_s(1.0) == 0.0, "they may wait for a fork, and other slots be free"
    pace = Pace()
    pace.note("shortest", 0.00001)
    assert (pace.company_s(8.0), pace.company_s(8.5)) == (0.0, SOON_S)


def test_a_job_that_ends_quickly_is_never_reported_as_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    ledger = Ledger("w")
    short, long, later = held("t:1"), held("t:2"), held("t:3")
    short.started_at = long.started_at = now
    ledger.began(short)
    ledger.began(long)
    ledger.ended(short, Succeeded())
    step = ledger.next_step([], None)
    assert [settlement.id for settlement in step.settled] == ["t:1"]
    assert not step.started, "the other may end as quickly"
    assert ledger.is_empty
    assert ledger.due_at(wait_s=0.0) == now + STARTED_S
    now += ALONG_S
    later.started_at = now
    ledger.began(later)
    step = ledger.next_step([], None)
    assert [ref.id for ref in step.started] == ["t:2"], "there is a step in any case"
    assert ledger.due_at(wait_s=0.0) == now + STARTED_S
    now += STARTED_S
    assert [ref.id for ref in ledger.next_step([], None).started] == ["t:3"]
    assert ledger.due_at(wait_s=0.0) is None


@pytest.mark.linux
def test_what_an_executor_has_not_read_can_be_taken_back() -> None:
    executor = Executor(1, Kind())
    jobs = [held(f"t:{number}") for number in range(5)]
    assert all(executor.give(job) for job in jobs)
    executor.theirs.recv(65536)  # as the executor does
    assert executor.take_back() == jobs[1:]
    assert list(executor.given.values()) == jobs[:1]
    executor.close()


@pytest.mark.linux
def test_an_executor_that_reads_while_jobs_are_taken_back_keeps_those_that_it_has_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    executor = Executor(1, Kind(concurrency=10))
    jobs = [held(f"t:{number}") for number in range(6)]
    assert all(executor.give(job) for job in jobs)
    recv = Channel.recv

    def recv_after_the_executor(channel: Channel, limit: int, flags: int = 0) -> bytes:
        recv(channel, limit, flags)  # as the executor does, just before the worker
        return recv(channel, limit, flags)

    monkeypatch.setattr(Channel, "recv", recv_after_the_executor)
    assert executor.take_back() == jobs[1::2]
    assert list(executor.given.values()) == jobs[::2]
    assert executor.unbegun == 3
    executor.close()


@pytest.mark.linux
def test_what_an_executor_says_to_have_begun_without_reading_it_stays_its_own() -> None:
    executor = Executor(1, Kind(concurrency=10))
    jobs = [held(f"t:{number}") for number in range(3)]
    assert all(executor.give(job) for job in jobs)
    executor.begin(jobs[0], time.monotonic())
    executor.begin(jobs[1], time.monotonic())
    executor.end(jobs[1])
    assert executor.take_back() == jobs[2:]
    assert list(executor.given.values()) == jobs[:1]
    executor.close()


@pytest.mark.linux
def test_an_executor_with_a_full_socket_takes_no_more() -> None:
    executor = Executor(1, Kind())
    count = 0
    while executor.give(held(f"t:{count}")):
        count += 1
        assert count < 100_000
    assert count > 100
    assert len(executor.take_back()) == count
    executor.close()


@pytest.mark.parametrize("junk", [b"junk", b"\x81\xa4type\xa3run", b"\xff" * 1000])
def test_bytes_that_are_no_frame_are_a_violation(junk: bytes) -> None:
    executor = Executor(1, Kind())
    executor.theirs.send(junk)
    with pytest.raises(ProtocolViolation):
        executor.read()
    executor.close()


NAN, INF = float("nan"), float("inf")
HUGE = ErrorInfo(type="x" * 10_000, message="y" * 1_000_000, traceback="z" * 1_000_000)


@pytest.mark.parametrize("result", [b"not json", b'"' + b"x" * MAX_PAYLOAD + b'"', b"[" * 100_000, b"{}{}"])
def test_a_result_that_is_too_large_or_no_json_is_a_violation(result: bytes) -> None:
    with pytest.raises(ProtocolViolation):
        believable(Succeeded(result))


def test_what_is_believed_of_an_outcome_is_bounded() -> None:
    failed = believable(Failed(HUGE, delay_s=NAN))
    assert isinstance(failed, Failed)
    assert len(codec.encode(failed)) < 30_000
    assert failed.delay_s == 0.0
    assert believable(Snoozed(-5.0)) == Snoozed(0.0)
    assert believable(Snoozed(INF)) == Snoozed(0.0)
    assert believable(Snoozed(1e12)) == Snoozed(366 * 86_400.0)
    assert len(codec.encode(believable(Crashed("c" * 99_999, "d" * 99_999)))) < 20_000
    assert believable(Cancelled("r" * 999)) == Cancelled("r" * 300)
    assert believable_progress(Progress(NAN, INF, "m" * 999)) == Progress(0.0, 0.0, "m" * 200)


@pytest.mark.parametrize(
    "changes",
    [
        {"task": "other", "id": new_job_id("other")},
        {"id": new_job_id("other")},
        {"id": "mail:1"},
        {"args": b"[]"},
        {"args": b"not json"},
        {"args": b'{"a":"' + b"x" * MAX_PAYLOAD + b'"}'},
        {"priority": 101},
        {"queue": ""},
        {"queue": "q" * 101},
        {"delay_s": NAN},
        {"delay_s": -1.0},
        {"due": INF},
        {"key": "k" * 1001},
        {"key_for": "ever"},
        {"tags": ("t",) * 201},
        {"summary": "s" * 201},
    ],
)
def test_a_job_that_a_task_may_not_enqueue_is_a_violation(changes: dict[str, Any]) -> None:
    job = NewJob(id=new_job_id("mail"), task="mail")
    assert believable_job(job, ("mail",)) is job
    with pytest.raises(ProtocolViolation):
        believable_job(msgspec.structs.replace(job, **changes), ("mail",))


def test_the_cause_of_a_death_in_words() -> None:
    executor = Executor(1, Kind())
    assert cause_of_death(executor, -11) == "SIGSEGV"
    assert cause_of_death(executor, 3) == "exit code 3"
    assert cause_of_death(executor, None) == "the process vanished"
    executor.kill_reason = "timeout"
    assert cause_of_death(executor, -9) == "timeout"
    executor.close()


def test_a_neighbour_is_gone_only_when_that_is_certain() -> None:
    me = this_worker(1, 30)
    assert not is_gone(me)

    def like(**changes: Any) -> WorkerInfo:
        fields = {name: getattr(me, name) for name in me.__struct_fields__}
        return WorkerInfo(**{**fields, **changes})

    assert is_gone(like(pid_started=me.pid_started - 1))  # the pid was given to a later process
    assert is_gone(like(pid=2**22 + 1))
    assert not is_gone(like(pid=2**22 + 1, boot="another machine"))
    assert not is_gone(like(pid=2**22 + 1, pid_namespace=1))
    assert not is_gone(like(pid=2**22 + 1, boot=""))


@pytest.mark.linux
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can hide processes")
def test_a_neighbour_that_proc_hides_is_not_gone() -> None:
    me = this_worker(1, 30)
    earlier = WorkerInfo(**{**{name: getattr(me, name) for name in me.__struct_fields__}, "pid": 2**22 + 1})

    def hide_others() -> None:
        system.unshare(system.NEW_MOUNTS)
        system.mount("none", "/", flags=system.RECURSIVE | system.PRIVATE)
        system.mount("proc", "/proc", "proc", data="hidepid=2")
        become(12_345)

    look = lambda: (os.path.exists(f"/proc/{me.pid}"), is_gone(me), is_gone(earlier))  # noqa: E731
    assert outcome(look, hide_others) == str((False, False, True))


def test_a_zygote_gets_a_list_of_variables_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_PASSWORD", "x")
    monkeypatch.setenv("TZ", "Europe/London")
    environment = clean_environment()
    assert environment["TZ"] == "Europe/London"
    assert set(environment) <= {
        "PATH",
        "LANG",
        "LC_ALL",
        "LC_CTYPE",
        "TZ",
        "NARROWBOAT_ZYGOTE",
        "NARROWBOAT_PORTABLE",
        "MALLOC_ARENA_MAX",
    }


def test_a_trusted_zygote_speaks_as_its_worker_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(kernel.PORTABLE, "1")
    monkeypatch.setenv("NARROWBOAT_URL", "redis://elsewhere")
    environment = Secrets().environment_for(Reach(trusted=True))
    assert environment[kernel.PORTABLE] == "1", "or it would use channels of another sort"
    assert "NARROWBOAT_URL" not in environment


def test_lines_are_bounded_in_number_and_size() -> None:
    for line, count in (("short", 1000), ("x" * 5000, 1000)):
        sent: list[str] = []
        lines = Lines(sent.append)
        for _ in range(count):
            lines.add(line)
        assert len(sent) <= MAX_LINES + 1
        assert sum(map(len, sent)) <= MAX_BYTES + MAX_LINE
        assert "dropped" in sent[-1]


def test_prints_become_lines() -> None:
    sent: list[str] = []
    printed = Printed(sent.append)
    stream = Stream(printed.write)
    print("one\ntwo", file=stream)
    print("no end", end="", file=stream)
    printed.finish()
    assert [line for text in sent for line in text.splitlines()] == ["one", "two", "no end"]


def test_what_could_not_be_read_is_left_to_others_around_the_moment_when_it_comes_due(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 1000.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    shyness = Shyness()
    appetite = Appetite({"q": None}, {"t": TaskSpec(name="t"), "u": TaskSpec(name="u")}, make_pool(1), shyness)

    def wanted() -> set[str]:
        return {task for want in appetite.wants()[0] for task in want.tasks}

    assert wanted() == {"t", "u"} and shyness.next_change(now) is None
    shyness.leave("t", 2.0)
    assert wanted() == {"t", "u"} and shyness.next_change(now) == 1001.9
    now = 1001.9
    assert wanted() == {"u"} and shyness.next_change(now) == 1002.5
    now = 1002.6
    assert wanted() == {"t", "u"} and shyness.next_change(now) is None


def test_thousands_of_old_records_go_in_one_beat() -> None:
    backend = MemoryBackend()
    jobs = [NewJob(id=f"t:{n}", task="t") for n in range(2500)]
    backend.enqueue(jobs)
    backend.cancel([job.id for job in jobs])
    heartbeat = Heartbeat(Link(backend, this_worker(1, 30.0), Mailbox()), Retention(keep_max=10))
    heartbeat._next_purge = 0.0
    heartbeat._purge()
    [queue] = backend.stats()
    assert queue.counts == {State.CANCELLED: 10}


def test_the_threads_of_a_worker_have_ended_when_it_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("narrowboat.worker.exchange.JOIN_S", 60.0)  # none is given up because the machine is busy
    monkeypatch.setattr("narrowboat.worker.heartbeat.NEIGHBOURS_EVERY_S", 600.0)  # so long it waits if it is let
    before = set(threading.enumerate())
    backend, info = SQLiteBackend(tmp_path / "jobs.db"), this_worker(2, 3600.0)
    exchange = Exchange(backend, info, Settings("shop:app", slots=2), Ledger(info.id), make_pool(2), Mailbox())
    exchange.open(Manifest(app="shop", tasks=()))
    threads = set(threading.enumerate()) - before
    assert {"narrowboat-courier", "narrowboat-heartbeat"} < {thread.name for thread in threads}
    exchange.close()
    backend.close()
    exchange.join()
    assert not any(thread.is_alive() for thread in threads)


def test_a_thread_that_the_backend_does_not_let_go_is_given_up() -> None:
    class Stuck(MemoryBackend):
        def wait(self, *_: Any, **__: Any) -> Wakeup:
            entered.set()
            let_go.wait(30)
            return Wakeup(False, 0)

    entered, let_go, info = threading.Event(), threading.Event(), this_worker(2, 30.0)
    backend = Stuck()
    exchange = Exchange(backend, info, Settings("shop:app", slots=2), Ledger(info.id), make_pool(2), Mailbox())
    exchange.open(Manifest(app="shop", tasks=()))
    assert entered.wait(10)
    exchange.close()
    backend.close()
    began = time.monotonic()
    exchange.join()
    assert JOIN_S <= time.monotonic() - began < 10
    let_go.set()


def test_jobs_are_not_asked_for_when_the_lease_is_over_and_exclusive_ones_not_when_it_nearly_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    info, now = this_worker(9, 30.0), time.monotonic()
    began = now
    monkeypatch.setattr(time, "monotonic", lambda: now)  # a second of the lease is all that is left below
    tasks = (TaskSpec(name="t"), TaskSpec(name="alone", is_exclusive=True))
    exchange = Exchange(MemoryBackend(), info, Settings("shop:app", slots=9), Ledger(info.id), make_pool(9), Mailbox())
    exchange._learn(Manifest(app="shop", tasks=tasks))
    exchange._holds_from(now)
    exchange.next_extend = now + 1000

    def asked(now: float) -> set[str]:
        """For which tasks, at this moment."""
        nonlocal began
        exchange._is_carrying, began = False, now
        exchange.look_again()
        exchange.turn(now, can_claim=True, wait_s=0.0)
        if not exchange.is_carrying:
            return set()
        sent = exchange._courier.requests.get(timeout=0)
        assert isinstance(sent, Step)
        return {task for want in sent.wants for task in want.tasks}

    def given_back(task: str) -> bool:
        """Whether a job that was claimed before comes too late to be begun."""
        old = Step(worker=info.id, seq=1, wants=(Want("default", frozenset({task}), 1),))
        token = next(tokens)
        late = Claim(id=f"{task}:{token}", task=task, queue="default", token=token, args=b"{}")
        exchange.stepped(Stepped(old, StepReply(claimed=(late,)), {}, began))
        is_back = token in exchange._ledger.unsettled
        assert is_back is not (token in {held.claim.token for held in exchange._pool.held()})
        return is_back

    def frozen(at: float) -> None:
        """The process goes on at this moment."""
        monkeypatch.setattr(time, "monotonic", lambda: at)

    tokens = itertools.count(1)
    assert asked(now) == {"t", "alone"}
    assert asked(now + 29) == {"t"}
    assert asked(now + 31) == asked(now + 50) == set(), "an outage has outlasted the lease"
    exchange._holds_from(now + 50)
    assert asked(now + 51) == {"t", "alone"}
    exchange._holds_from(now - 29)
    assert (given_back("t"), given_back("alone")) == (False, True)
    exchange._holds_from(now - 31)
    assert (given_back("t"), given_back("alone")) == (True, True)
    exchange._holds_from(now)
    assert asked(now + 28) == {"t"}
    frozen(now + 29)
    exchange._holds_from(now + 20)
    assert not given_back("t"), "the lease was renewed in time"
    assert asked(now + 29) == {"t", "alone"}
    frozen(now + 60)
    exchange._holds_from(now + 59)
    assert given_back("t"), "the lease was over while that step was on its way, and its renewal is heard of first"
    assert asked(now + 60) == {"t", "alone"}
    assert (given_back("t"), given_back("alone")) == (False, False)


def test_a_step_that_an_outage_kept_is_not_stuck_when_another_thread_is_back_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now, info = time.monotonic(), this_worker(2, 30.0)
    monkeypatch.setattr(time, "monotonic", lambda: now)
    exchange = Exchange(MemoryBackend(), info, Settings("shop:app", slots=2), Ledger(info.id), make_pool(2), Mailbox())
    exchange._learn(Manifest(app="shop", tasks=(TaskSpec(name="t"),)))
    contact = exchange._link.contact
    contact.made()
    exchange.next_extend = now + 1000
    exchange.turn(now, can_claim=True, wait_s=0.0)
    assert exchange.is_carrying

    def answered(for_s: float) -> None:
        nonlocal now
        for _ in range(int(for_s / 2) + 1):
            now += 2.0
            contact.made()

    answered(STUCK_STEP_S / 2)
    contact.lost("step", BackendUnavailable("away"))
    now += STUCK_STEP_S
    assert not exchange.is_stuck(now), "it is still away"
    contact.made()
    assert not exchange.is_stuck(now), "the heartbeat is back first; the step comes soon"
    answered(STUCK_STEP_S / 2)
    now += STUCK_STEP_S
    assert not exchange.is_stuck(now), "the worker was stopped, with the step on its way, and goes on"
    contact.made()
    assert not exchange.is_stuck(now), "the heartbeat is first again"
    answered(STUCK_STEP_S)
    assert exchange.is_stuck(now), "all others have been answered ever since"


class Idle:
    """The exchange of a worker that has found no work, has a step standing by, and sleeps."""

    def __init__(self) -> None:
        self.backend, info, self.mailbox = MemoryBackend(), this_worker(2, 30.0), Mailbox()
        self.pool = make_pool(2)
        settings = Settings("shop:app", slots=2)
        self.exchange = Exchange(self.backend, info, settings, Ledger(info.id), self.pool, self.mailbox)
        self.exchange.open(Manifest(app="shop", tasks=(TaskSpec(name="t"),)))
        self.standby = self.exchange._listener.standby
        self.turn()
        assert isinstance(self.hear(), Stepped)
        self.turn()
        assert self.standby and not self.exchange.is_carrying

    def turn(self, can_claim: bool = True) -> None:
        self.exchange.turn(time.monotonic(), can_claim, wait_s=0.0)

    def hear(self) -> object:
        """The next message, which the exchange is told."""
        assert select.select([self.mailbox.descriptor], [], [], 30)[0]
        [message] = self.mailbox.take()
        if isinstance(message, Heard):
            self.exchange.heard(message)
        elif isinstance(message, Stepped):
            self.exchange.stepped(message)
        return message

    def enqueue(self, job_id: str) -> None:
        self.backend.enqueue([NewJob(id=job_id, task="t")])

    def close(self) -> None:
        self.exchange.close()
        self.backend.close()
        self.exchange.join()


@pytest.fixture
def idle() -> Iterator[Idle]:
    idle = Idle()
    yield idle
    idle.close()


def test_the_listener_makes_the_step_that_stands_by(idle: Idle) -> None:
    for number in range(2):
        idle.enqueue(f"t:{number}")
        heard = idle.hear()
        assert isinstance(heard, Heard) and heard.stepped is not None
        assert [held.id for held in idle.pool.held()] == [f"t:{n}" for n in range(number + 1)]
        assert not idle.standby and not idle.exchange.is_carrying
        idle.turn()
        assert not idle.exchange.is_carrying, "it has heard already that there is no more"


def test_a_step_that_stands_by_is_taken_back_for_another(idle: Idle) -> None:
    asked, idle.exchange._ledger.must_ask = threading.Event(), True
    step = idle.backend.step
    idle.backend.step = lambda *args, **more: asked.wait(30) and step(*args, **more)  # type: ignore[method-assign]
    idle.turn()
    assert idle.exchange.is_carrying and not idle.standby, "the courier has one"
    idle.enqueue("t:1")
    heard = idle.hear()
    assert isinstance(heard, Heard) and heard.work and heard.stepped is None
    asked.set()
    assert isinstance(idle.hear(), Stepped)
    assert [held.id for held in idle.pool.held()] == ["t:1"]


def test_nothing_else_is_sent_while_the_listener_makes_a_step(idle: Idle) -> None:
    goes_on, step = threading.Event(), idle.backend.step
    idle.backend.step = lambda *args, **more: goes_on.wait(30) and step(*args, **more)  # type: ignore[method-assign]
    idle.enqueue("t:1")
    wait_for("the listener to take it", lambda: idle.exchange.is_carrying)
    idle.exchange._ledger.must_ask = True
    idle.turn()
    assert idle.exchange._courier.requests._queue.empty()
    goes_on.set()
    assert isinstance(idle.hear(), Heard)
    idle.turn()
    assert isinstance(idle.hear(), Stepped)


@pytest.mark.parametrize("why", ["it may not claim", "the lease is nearly over"])
def test_no_step_stands_by_when_nothing_may_be_claimed(idle: Idle, why: str) -> None:
    if why == "it may not claim":
        idle.turn(can_claim=False)
        assert not idle.standby
    else:
        idle.exchange._holds_from(time.monotonic() - 29.0)
    idle.enqueue("t:1")
    heard = idle.hear()
    assert isinstance(heard, Heard) and heard.work and heard.stepped is None
    assert not idle.pool.held()


def test_a_neighbour_is_lost_when_it_could_have_renewed_its_lease_and_did_not() -> None:
    neighbours = Neighbours()

    def lost(now: float, contact_s: float = inf, **lease_until: float) -> list[str]:
        others = [
            WorkerView(info=WorkerInfo(id=id_, host="h", pid=1), tasks=(), seen_at=0.0, lease_until=until, running=1)
            for id_, until in lease_until.items()
        ]
        return neighbours.lost(others, now, contact_s)

    assert lost(0, dead=5, live=5) == []
    assert lost(20, dead=5, live=30) == []
    assert lost(29, dead=5, live=30) == [], "both leases are over, by whatever clock"
    assert lost(30, dead=5, live=30) == ["dead"]
    assert lost(31, contact_s=29, dead=5, live=30) == [], "nobody could"
    assert lost(32, dead=5, live=30, new=5) == ["dead"], "in contact again for so long"
    assert lost(50, dead=5, live=60, new=5) == ["dead"]
    assert lost(62, live=60, new=5) == ["new"]
    assert lost(200, contact_s=0, live=60) == [], "this process was stopped in between"


def test_a_neighbour_that_died_in_an_outage_is_no_reason_to_rescue_others(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    monkeypatch.setattr(time, "time", lambda: now)
    backend, me = MemoryBackend(), this_worker(1, 30.0)
    dead = msgspec.structs.replace(me, id="dead", pid_started=me.pid_started - 1)
    elsewhere = msgspec.structs.replace(me, id="elsewhere", boot="another machine")
    heartbeat = Heartbeat(Link(backend, me, Mailbox()), Retention())
    contact, mailbox = heartbeat.link.contact, heartbeat.link.mailbox
    manifest, want = Manifest(app="a", tasks=(TaskSpec(name="t"),)), Want("default", frozenset({"t"}), 1)
    backend.enqueue([NewJob(id=f"t:{n}", task="t") for n in range(2)])
    for worker in (me, dead, elsewhere):
        backend.publish(worker, manifest)
    for worker in (dead, elsewhere):
        assert backend.step(Step(worker=worker.id, seq=1, wants=(want,))).claimed

    def rescued() -> list[str | None]:
        contact.made()
        heartbeat._rescue()
        return [claim.lost_worker for mail in mailbox.take() if isinstance(mail, Rescued) for claim in mail.claims]

    contact.made()
    contact.lost("wait", BackendUnavailable("away"))
    now += 70.0
    backend.extend(me.id, 0, ())
    assert rescued() == ["dead"]
    for _ in range(14):
        now += 2.0
        assert rescued() == [], "the lease of the other has been over for long, but it may be back later"
    now += 2.0
    assert rescued() == ["elsewhere"]


def test_contact_is_broken_where_nobody_has_asked_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    contact = Contact(15.0)
    contact.made()
    for _ in range(5):
        now += 14.0
        contact.made()
    assert contact.lasted_s() == 70
    now += 16.0  # the process was stopped, or its machine
    assert contact.lasted_s() == 0
    contact.made()
    assert contact.lasted_s() == 0
    now += 3.0
    assert contact.lasted_s() == 3
