"""Retry by a person: fresh attempts, and the history stays."""

from __future__ import annotations

from ...backends.base import Change
from ...core.job import Enqueued
from ...core.states import State
from .bench import TASK, Bench, failed


def test_a_dead_job_is_queued_again_with_fresh_attempts(bench: Bench) -> None:
    job_id = bench.add()
    worker = bench.worker()
    worker.settle(failed(worker.claim_one(), delay_s=1.0))
    bench.later(1)
    worker.settle(failed(worker.claim_one(), to=State.DEAD, reason="why"))
    bench.later(100)
    assert bench.backend.retry([job_id], now=bench.now) == [True]
    job = bench.job(job_id)
    assert (job.state, job.errors, job.crashes, job.snoozes, job.attempts) == (State.QUEUED, 0, 0, 0, 0)
    assert (job.reason, job.finished_at, job.is_cancel_asked) == ("", None, False)
    assert [a.outcome for a in job.history] == ["failed", "failed"]
    claim = worker.claim_one()
    assert (claim.id, claim.errors, claim.attempt) == (job_id, 0, 1)


def test_a_cancelled_job_is_queued_again(bench: Bench) -> None:
    job_id = bench.add()
    worker = bench.worker()
    claim = worker.start_one()
    bench.backend.cancel([job_id], now=bench.now)
    worker.settle(failed(claim))
    assert bench.backend.retry([job_id], now=bench.now) == [True]
    assert worker.step(wants=[worker.want()]).cancelled == ()
    assert (bench.state(job_id), bench.job(job_id).is_cancel_asked) == (State.RUNNING, False)


def test_only_dead_and_cancelled_jobs_are_retried(bench: Bench) -> None:
    queued, scheduled = bench.add(), bench.add(delay_s=60)
    succeeded = bench.ended(State.SUCCEEDED, queue="a")
    dead = bench.ended(State.DEAD, queue="b")
    ghost = bench.new().id
    answers = bench.backend.retry([queued, scheduled, succeeded, ghost, dead, dead], now=bench.now)
    assert answers == [False, False, False, False, True, False]
    assert bench.states([queued, scheduled, succeeded]) == [State.QUEUED, State.SCHEDULED, State.SUCCEEDED]


def test_a_retried_job_may_be_changed(bench: Bench) -> None:
    job_id = bench.ended(State.DEAD, args=b'{"n":1}', lane_key="l")
    change = Change(args=b'{"n":2}', queue="slow", priority=-5)
    assert bench.backend.retry([job_id], change, now=bench.now) == [True]
    worker = bench.worker()
    assert worker.claim() == []
    claim = worker.claim_one(queue="slow")
    assert (claim.id, claim.args, claim.queue, claim.priority) == (job_id, b'{"n":2}', "slow", -5)
    assert (bench.job(job_id).args, bench.job(job_id).queue, bench.job(job_id).priority) == (b'{"n":2}', "slow", -5)


def test_a_retry_may_be_delayed(bench: Bench) -> None:
    job_id = bench.ended(State.DEAD)
    bench.backend.retry([job_id], Change(delay_s=20), now=bench.now)
    assert (bench.state(job_id), bench.job(job_id).due_at) == (State.SCHEDULED, bench.now + 20)
    bench.later(20)
    assert bench.worker().claim_one().id == job_id


def test_a_retried_job_has_the_place_of_its_age(bench: Bench) -> None:
    old = bench.ended(State.DEAD)
    new = bench.add()
    bench.backend.retry([old], now=bench.now)
    assert [claim.id for claim in bench.worker().claim(2)] == [old, new]


def test_a_job_whose_key_is_held_by_another_is_not_retried(bench: Bench) -> None:
    old = bench.ended(State.DEAD, key="k")
    new = bench.add(key="k")
    before = bench.job(old)
    assert bench.backend.retry([old], Change(priority=9), now=bench.now) == [False]
    assert bench.job(old) == before
    bench.backend.cancel([new], now=bench.now)
    assert bench.backend.retry([old], now=bench.now) == [True]


def test_of_two_ended_jobs_with_the_same_key_one_is_retried(bench: Bench) -> None:
    ids = [bench.ended(State.DEAD, key="k"), bench.ended(State.DEAD, key="k")]
    assert bench.backend.retry(ids, now=bench.now) == [True, False]


def test_a_retried_job_holds_its_key_again(bench: Bench) -> None:
    old = bench.ended(State.DEAD, key="k")
    bench.ended(State.SUCCEEDED, key="k")
    assert bench.backend.retry([old], now=bench.now) == [True]
    assert bench.backend.enqueue([bench.new(TASK, key="k")], now=bench.now) == [Enqueued(old, False)]


def test_a_retried_job_may_be_cancelled_and_die_again(bench: Bench) -> None:
    job_id = bench.ended(State.DEAD)
    worker = bench.worker()
    bench.backend.retry([job_id], now=bench.now)
    bench.backend.cancel([job_id], now=bench.now)
    bench.backend.retry([job_id], now=bench.now)
    worker.settle(failed(worker.claim_one(), to=State.DEAD))
    assert (bench.state(job_id), bench.job(job_id).errors, len(bench.job(job_id).history)) == (State.DEAD, 1, 2)
