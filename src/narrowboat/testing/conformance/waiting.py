"""Wait: sleep until there may be work, and lose no wake-up."""

from __future__ import annotations

import time
from math import inf

from ...backends.base import Gate, Wakeup
from ...core.states import State
from .bench import OTHER_TASK, TASK, Bench, cancelled, released
from .sleepers import PROMPT_S


def test_a_wait_without_work_ends_when_its_time_is_up(bench: Bench) -> None:
    began = time.monotonic()
    assert bench.worker().wait(timeout_s=0.2) == Wakeup(False, 0)
    assert time.monotonic() - began >= 0.19


def test_a_wait_ends_at_once_when_there_is_work_already(bench: Bench) -> None:
    bench.add()
    worker = bench.worker()
    for _ in range(3):  # level-triggered: it is the work that counts, not the ringing
        assert bench.meanwhile(worker.wait).result(timeout=PROMPT_S).work


def test_a_wait_of_no_time_looks_once(bench: Bench) -> None:
    worker = bench.worker()
    assert not worker.wait(timeout_s=0).work
    bench.add()
    assert worker.wait(timeout_s=0).work


def test_a_wait_is_ended_by_being_roused_before_or_while_it_lasts(bench: Bench) -> None:
    worker = bench.worker()
    bench.backend.rouse(worker.id)
    assert not bench.meanwhile(worker.wait).result(timeout=PROMPT_S).work
    assert not bench.woken_by(lambda: bench.backend.rouse(worker.id), worker.wait).work
    began = time.monotonic()
    assert not worker.wait(timeout_s=0.2).work
    assert time.monotonic() - began >= 0.19, "once only"


def test_being_roused_ends_no_wait_of_another_worker(bench: Bench) -> None:
    worker, other = bench.worker("w1"), bench.worker("w2")
    began = time.monotonic()
    waiting = bench.meanwhile(lambda: worker.wait(timeout_s=0.3))
    bench.backend.rouse(other.id)
    assert not waiting.result(timeout=30).work
    assert time.monotonic() - began >= 0.29


def test_an_enqueue_wakes_a_wait(bench: Bench) -> None:
    worker = bench.worker()
    assert bench.woken_by(bench.add, worker.wait).work
    assert len(worker.claim()) == 1


def test_an_enqueue_wakes_one_who_waits_in_any_of_many_queues(bench: Bench) -> None:
    worker = bench.worker()
    wants = [worker.want(queue=name) for name in ("a", "b", "c")]
    assert bench.woken_by(lambda: bench.add(queue="c"), lambda: worker.wait(*wants)).work


def test_a_release_wakes_a_wait(bench: Bench) -> None:
    bench.add()
    worker, other = bench.worker("w1"), bench.worker("w2")
    claim = other.claim_one()
    assert bench.woken_by(lambda: other.settle(released(claim)), worker.wait).work


def test_a_worker_that_leaves_wakes_a_wait(bench: Bench) -> None:
    bench.add()
    worker, other = bench.worker("w1"), bench.worker("w2")
    other.claim_one()
    assert bench.woken_by(other.leave, worker.wait).work


def test_a_retry_wakes_a_wait(bench: Bench) -> None:
    job_id = bench.ended(State.DEAD)
    worker = bench.worker()
    assert bench.woken_by(lambda: bench.backend.retry([job_id], now=bench.now), worker.wait).work


def test_a_gate_that_opens_wakes_a_wait(bench: Bench) -> None:
    bench.add()
    worker = bench.worker()
    for scope in ("queue:default", f"task:{TASK}"):
        bench.backend.shut(Gate(scope=scope))
        assert bench.woken_by(lambda scope=scope: bench.backend.open(scope), worker.wait).work


def test_a_gate_whose_time_is_up_holds_no_wait(bench: Bench) -> None:
    bench.add()
    worker = bench.worker()
    bench.backend.shut(Gate(scope="queue:default", until=bench.now - 1), now=bench.now - 10)
    assert worker.wait(timeout_s=0).work


def test_a_gate_that_opens_by_itself_ends_a_wait(bench: Bench) -> None:
    bench.add()
    worker = bench.worker()
    bench.backend.shut(Gate(scope="queue:default", until=bench.now + 0.3), now=bench.now)
    assert not worker.wait(timeout_s=0).work
    assert worker.wait(timeout_s=30).work


def test_shut_lanes_and_unwanted_jobs_do_not_end_a_wait(bench: Bench) -> None:
    worker = bench.worker()
    bench.backend.shut(Gate(scope="queue:shut"))
    bench.add(queue="shut")
    bench.add(OTHER_TASK)
    bench.add(queue="elsewhere")
    bench.add(delay_s=3600)
    assert not worker.wait(worker.want(), worker.want(queue="shut"), timeout_s=0.2).work
    assert not worker.wait(worker.want(0), worker.want(queue="elsewhere", tasks=()), timeout_s=0.05).work


def test_a_wait_says_when_time_alone_may_bring_work(bench: Bench) -> None:
    worker = bench.worker()
    assert worker.wait(timeout_s=0).again_s == inf
    bench.add(delay_s=500)
    assert 450 < worker.wait(timeout_s=0).again_s <= 500  # less what has passed since it looked
    assert 450 < worker.wait(timeout_s=0.1).again_s <= 500
    bench.later(499)
    assert worker.wait(timeout_s=0).again_s < 2


def test_a_cancel_wakes_the_worker_that_runs_the_job(bench: Bench) -> None:
    job_id = bench.add()
    worker = bench.worker()
    claim = worker.start_one()
    wakeup = bench.woken_by(lambda: bench.backend.cancel([job_id], now=bench.now), worker.wait)
    assert (wakeup.work, wakeup.cancels) == (False, 1)
    assert worker.step().cancelled == (job_id,)
    assert worker.wait(timeout_s=0).cancels == 1, "a count, not an event"
    assert worker.wait(timeout_s=0.1, cancels=1) == Wakeup(False, 1)
    worker.settle(cancelled(claim))
    assert worker.wait(timeout_s=0, cancels=1) == Wakeup(False, 1)


def test_a_cancel_that_came_before_the_wait_is_not_missed(bench: Bench) -> None:
    ids = bench.add_many(2)
    worker = bench.worker()
    worker.claim(2)
    bench.backend.cancel(ids, now=bench.now)
    assert bench.meanwhile(worker.wait).result(timeout=PROMPT_S).cancels == 2
    assert bench.meanwhile(lambda: worker.wait(cancels=1)).result(timeout=PROMPT_S).cancels == 2


def test_a_full_worker_hears_cancels_without_wanting_work(bench: Bench) -> None:
    job_id = bench.add()
    bench.add()
    worker = bench.worker()
    worker.claim_one()

    def wait_for_nothing() -> Wakeup:
        return bench.backend.wait(worker.id, [], 30.0)

    assert bench.woken_by(lambda: bench.backend.cancel([job_id], now=bench.now), wait_for_nothing) == Wakeup(False, 1)


def test_a_cancel_does_not_wake_other_workers(bench: Bench) -> None:
    job_id = bench.add()
    bench.worker("w1").claim_one()
    other = bench.worker("w2")
    bench.backend.cancel([job_id], now=bench.now)
    assert other.wait(timeout_s=0.1) == Wakeup(False, 0)


def test_closing_ends_a_wait_and_is_legal_twice(bench: Bench) -> None:
    backend = bench.make()
    other = bench.worker("w1", backend=backend)
    bench.woken_by(backend.close, other.wait)
    backend.close()
