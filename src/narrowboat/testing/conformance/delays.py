"""Delays: a scheduled job comes due, and not before."""

from __future__ import annotations

import time

from ...core.states import State
from .bench import Bench, failed, snoozed
from .sleepers import PROMPT_S


def test_a_delayed_job_is_scheduled_and_not_claimed_before_it_is_due(bench: Bench) -> None:
    job_id = bench.add(delay_s=10)
    worker = bench.worker()
    assert (bench.state(job_id), bench.job(job_id).due_at) == (State.SCHEDULED, bench.now + 10)
    bench.later(9.5)
    assert worker.claim() == []
    bench.later(0.5)
    assert [claim.id for claim in worker.claim()] == [job_id]


def test_a_point_in_time_counts_instead_of_a_delay(bench: Bench) -> None:
    job_id = bench.add(due=bench.now + 5, delay_s=500)
    assert bench.job(job_id).due_at == bench.now + 5
    bench.later(5)
    assert bench.worker().claim_one().id == job_id


def test_a_point_in_time_that_is_over_is_now(bench: Bench) -> None:
    job_id = bench.add(due=bench.now - 100)
    assert bench.state(job_id) is State.QUEUED
    assert bench.worker().claim_one().id == job_id


def test_a_job_that_comes_due_ends_a_wait_and_not_before(bench: Bench) -> None:
    worker = bench.worker()
    bench.add(delay_s=3600)
    bench.add(delay_s=0.3, queue="elsewhere")
    assert not worker.wait(timeout_s=0.5).work
    began = time.monotonic()
    bench.add(delay_s=0.4)
    assert worker.wait().work
    assert 0.3 <= time.monotonic() - began < PROMPT_S
    bench.later(1)
    assert len(worker.claim()) == 1


def test_a_delayed_job_that_is_enqueued_during_a_wait_ends_it_when_it_is_due(bench: Bench) -> None:
    worker = bench.worker()
    assert bench.woken_by(lambda: bench.add(delay_s=0.2), worker.wait).work


def test_a_job_that_is_due_but_was_not_claimed_is_more_work(bench: Bench) -> None:
    bench.add_many(3, delay_s=5)
    bench.later(6)
    worker = bench.worker()
    reply = worker.step(wants=[worker.want(1)])
    assert (len(reply.claimed), reply.more) == (1, True)
    reply = worker.step(wants=[worker.want(2)])
    assert (len(reply.claimed), reply.more) == (2, False)


def test_hundreds_of_jobs_that_come_due_together_are_all_claimed(bench: Bench) -> None:
    ids = set(bench.add_many(300, delay_s=5))
    bench.later(5)
    worker = bench.worker()
    claimed: set[str] = set()
    for _ in range(30):
        claimed |= {claim.id for claim in worker.claim(50)}
    assert claimed == ids


def test_a_job_that_comes_due_keeps_its_place_by_when_it_was_enqueued(bench: Bench) -> None:
    first = bench.add(delay_s=5)
    second = bench.add()
    bench.later(5)
    worker = bench.worker()
    assert [claim.id for claim in worker.claim(2)] == [first, second]


def test_another_attempt_waits_for_its_delay(bench: Bench) -> None:
    worker = bench.worker()
    for end in (failed, snoozed):
        job_id = bench.add()
        worker.settle(end(worker.claim_one(), delay_s=8.0))
        assert (bench.state(job_id), bench.job(job_id).due_at) == (State.SCHEDULED, bench.now + 8)
        bench.later(7)
        assert worker.claim() == []
        bench.later(1)
        assert worker.claim_one().id == job_id


def test_delays_are_taken_from_the_longest_that_is_allowed(bench: Bench) -> None:
    longest = bench.backend.capabilities.max_delay_s
    job_id = bench.add(delay_s=10 * 365 * 86_400.0 if longest is None else longest)
    assert bench.state(job_id) is State.SCHEDULED
