"""Cancel: at once while a job waits, by asking its worker while it runs."""

from __future__ import annotations

from collections.abc import Callable

from ...core.decide import Settlement
from ...core.job import Claim
from ...core.states import State
from .bench import Bench, BenchWorker, cancelled, crashed, failed, released, snoozed, succeeded


def test_a_waiting_job_is_cancelled_at_once(bench: Bench) -> None:
    queued, scheduled = bench.add(), bench.add(delay_s=60)
    bench.later(2)
    assert bench.backend.cancel([queued, scheduled], "too late", now=bench.now) == [State.CANCELLED] * 2
    for job_id in (queued, scheduled):
        job = bench.job(job_id)
        assert (job.state, job.reason, job.finished_at) == (State.CANCELLED, "too late", bench.now)
        assert (job.history, job.attempts, job.due_at) == ((), 0, None)
    bench.later(60)
    assert bench.worker().claim(2) == []


def test_a_running_job_is_cancelled_by_asking_its_worker(bench: Bench) -> None:
    job_id = bench.add()
    worker = bench.worker()
    claim = worker.start_one()
    revision = bench.job(job_id).revision
    assert bench.backend.cancel([job_id], now=bench.now) == [State.RUNNING]
    job = bench.job(job_id)
    assert (job.state, job.is_cancel_asked) == (State.RUNNING, True)
    assert job.revision > revision
    assert worker.step().cancelled == (job_id,)
    assert worker.extend(claim).cancelled == (job_id,)
    assert worker.step().cancelled == (job_id,), "until it is settled"
    assert worker.step([cancelled(claim, reason="asked")]).cancelled == ()
    assert (bench.state(job_id), bench.job(job_id).reason) == (State.CANCELLED, "asked")


def test_a_cancel_is_told_to_the_worker_that_runs_the_job_only(bench: Bench) -> None:
    first, _ = bench.add_many(2)
    one, two = bench.worker("w1"), bench.worker("w2")
    one.claim_one()
    other = two.claim_one()
    bench.backend.cancel([first], now=bench.now)
    assert two.step().cancelled == ()
    assert two.extend(other).cancelled == ()
    assert one.step().cancelled == (first,)


def test_a_finished_job_stays_as_it_is(bench: Bench) -> None:
    for state in (State.SUCCEEDED, State.DEAD, State.CANCELLED):
        job_id = bench.ended(state, task=f"demo.{state}")
        before = bench.job(job_id)
        bench.later(1)
        assert bench.backend.cancel([job_id], "again", now=bench.now) == [state]
        assert bench.job(job_id) == before


def test_an_unknown_job_is_answered_by_none(bench: Bench) -> None:
    job_id = bench.add()
    ghost = bench.new().id
    assert bench.backend.cancel([ghost, job_id, ghost], now=bench.now) == [None, State.CANCELLED, None]
    assert bench.backend.cancel([], now=bench.now) == []


def test_a_job_that_succeeds_all_the_same_has_succeeded(bench: Bench) -> None:
    job_id = bench.add()
    worker = bench.worker()
    claim = worker.start_one()
    bench.backend.cancel([job_id], now=bench.now)
    worker.settle(succeeded(claim, result=b"1"))
    assert (bench.state(job_id), bench.job(job_id).result) == (State.SUCCEEDED, b"1")


def test_a_cancel_that_was_asked_for_wins_over_another_try(bench: Bench) -> None:
    ends: tuple[Callable[[Claim], Settlement], ...] = (failed, crashed, snoozed, released)
    for end in ends:
        job_id = bench.add()
        worker = bench.worker()
        claim = worker.start_one()
        bench.backend.cancel([job_id], "not wanted", now=bench.now)
        assert worker.settle(end(claim)) == ()
        assert (bench.state(job_id), bench.job(job_id).reason) == (State.CANCELLED, "not wanted"), end.__name__
        assert bench.job(job_id).finished_at == bench.now


def test_a_job_that_is_given_back_after_a_cancel_was_asked_is_cancelled(bench: Bench) -> None:
    def leave(worker: BenchWorker) -> None:
        worker.leave()

    def name_nothing(worker: BenchWorker) -> None:
        worker.extend()

    for give_back in (leave, name_nothing):
        job_id = bench.add()
        worker = bench.worker()
        worker.claim_one()
        bench.backend.cancel([job_id], now=bench.now)
        give_back(worker)
        assert bench.state(job_id) is State.CANCELLED


def test_a_cancel_goes_with_the_job_when_it_is_rescued(bench: Bench) -> None:
    job_id = bench.add()
    bench.worker("lost").start_one()
    bench.backend.cancel([job_id], now=bench.now)
    rescuer = bench.worker("rescuer")
    [claim] = rescuer.rescue(dead=["lost"])
    assert rescuer.step().cancelled == (job_id,)
    rescuer.settle(crashed(claim))
    assert bench.state(job_id) is State.CANCELLED
