"""Gates: a shut lane gives nothing, and loses nothing."""

from __future__ import annotations

from ...backends.base import Gate
from ...core.states import State
from .bench import OTHER_TASK, TASK, Bench, failed, succeeded

QUEUE_GATE, TASK_GATE = "queue:default", f"task:{TASK}"


def test_a_shut_gate_hides_its_jobs_until_it_opens(bench: Bench) -> None:
    for scope in (QUEUE_GATE, TASK_GATE):
        job_id = bench.add()
        worker = bench.worker()
        bench.backend.shut(Gate(scope=scope), now=bench.now)
        reply = worker.step(wants=[worker.want(5)])
        assert (reply.claimed, reply.more) == ((), False)
        assert bench.state(job_id) is State.QUEUED
        assert bench.backend.open(scope, now=bench.now)
        assert worker.claim_one().id == job_id


def test_a_gate_shuts_its_scope_only(bench: Bench) -> None:
    bench.backend.shut(Gate(scope=QUEUE_GATE), now=bench.now)
    bench.backend.shut(Gate(scope=f"task:{OTHER_TASK}"), now=bench.now)
    bench.add()
    bench.add(OTHER_TASK, queue="mail")
    free = bench.add(queue="mail")
    worker = bench.worker(tasks=(TASK, OTHER_TASK))
    assert worker.claim(5) == []
    assert [claim.id for claim in worker.claim(5, queue="mail")] == [free]


def test_jobs_enqueued_under_a_shut_gate_are_shut_too(bench: Bench) -> None:
    worker = bench.worker()
    bench.backend.shut(Gate(scope=QUEUE_GATE), now=bench.now)
    ids = [bench.add(), bench.add(lane_key="new"), bench.add(delay_s=1)]
    bench.later(1)
    assert worker.claim(5) == []
    bench.backend.open(QUEUE_GATE, now=bench.now)
    assert {claim.id for claim in worker.claim(5)} == set(ids)


def test_running_jobs_go_on_under_a_shut_gate(bench: Bench) -> None:
    one, two = bench.add_many(2)
    worker = bench.worker()
    first, second = worker.claim(2)
    bench.backend.shut(Gate(scope=QUEUE_GATE), now=bench.now)
    assert worker.settle(succeeded(first), failed(second, delay_s=1.0)) == ()
    bench.later(1)
    assert (bench.state(one), worker.claim()) == (State.SUCCEEDED, [])
    bench.backend.open(QUEUE_GATE, now=bench.now)
    assert worker.claim_one().id == two


def test_jobs_under_both_gates_wait_for_both(bench: Bench) -> None:
    bench.add()
    worker = bench.worker()
    for scope in (QUEUE_GATE, TASK_GATE):
        bench.backend.shut(Gate(scope=scope), now=bench.now)
    bench.backend.open(QUEUE_GATE, now=bench.now)
    assert worker.claim() == []
    bench.backend.open(TASK_GATE, now=bench.now)
    assert len(worker.claim()) == 1


def test_a_gate_opens_by_itself_when_its_time_is_up(bench: Bench) -> None:
    job_id = bench.add()
    worker = bench.worker()
    bench.backend.shut(Gate(scope=TASK_GATE, until=bench.now + 10), now=bench.now)
    bench.later(9)
    assert worker.claim() == []
    assert len(bench.backend.gates(now=bench.now)) == 1
    bench.later(1.5)
    assert worker.claim_one().id == job_id
    assert bench.backend.gates(now=bench.now) == []
    assert not bench.backend.open(TASK_GATE, now=bench.now)


def test_a_gate_whose_time_is_up_was_open(bench: Bench) -> None:
    bench.backend.shut(Gate(scope=TASK_GATE, until=bench.now + 10), now=bench.now)
    bench.later(11)
    assert not bench.backend.open(TASK_GATE, now=bench.now)


def test_gates_are_shown_with_their_reasons(bench: Bench) -> None:
    bench.backend.shut(Gate(scope=QUEUE_GATE, kind="breaker", reason="mail is down"), now=bench.now)
    bench.backend.shut(Gate(scope=TASK_GATE, until=bench.now + 60), now=bench.now)
    shown = {gate.scope: gate for gate in bench.backend.gates(now=bench.now)}
    assert shown == {
        QUEUE_GATE: Gate(scope=QUEUE_GATE, kind="breaker", reason="mail is down", since=bench.now),
        TASK_GATE: Gate(scope=TASK_GATE, until=bench.now + 60, since=bench.now),
    }


def test_shutting_again_replaces_the_gate(bench: Bench) -> None:
    bench.add()
    worker = bench.worker()
    bench.backend.shut(Gate(scope=QUEUE_GATE, until=bench.now + 5, reason="short"), now=bench.now)
    bench.backend.shut(Gate(scope=QUEUE_GATE, reason="for good"), now=bench.now)
    bench.later(10)
    assert worker.claim() == []
    assert [(gate.reason, gate.until) for gate in bench.backend.gates(now=bench.now)] == [("for good", None)]
    bench.backend.shut(Gate(scope=QUEUE_GATE, until=bench.now + 5), now=bench.now)
    bench.later(5.5)
    assert len(worker.claim()) == 1


def test_opening_says_whether_the_gate_was_shut(bench: Bench) -> None:
    assert not bench.backend.open(QUEUE_GATE, now=bench.now)
    bench.backend.shut(Gate(scope=QUEUE_GATE), now=bench.now)
    assert bench.backend.open(QUEUE_GATE, now=bench.now)
    assert not bench.backend.open(QUEUE_GATE, now=bench.now)


def test_jobs_of_a_shut_lane_may_be_cancelled_and_counted(bench: Bench) -> None:
    one, _ = bench.add_many(2)
    bench.backend.shut(Gate(scope=QUEUE_GATE), now=bench.now)
    assert bench.backend.cancel([one], now=bench.now) == [State.CANCELLED]
    [stats] = bench.backend.stats(now=bench.now)
    assert stats.counts.get(State.QUEUED) == 1
    bench.backend.open(QUEUE_GATE, now=bench.now)
    assert len(bench.worker().claim(5)) == 1
