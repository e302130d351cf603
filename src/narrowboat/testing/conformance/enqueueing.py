"""Enqueue: all or none, once per id."""

from __future__ import annotations

from typing import Any, cast

from ...core.errors import UnsupportedByBackend
from ...core.job import MAX_PAYLOAD, Enqueued
from ...core.states import State
from .bench import OTHER_TASK, Bench, failed, succeeded


def test_an_enqueued_job_is_queued_with_everything_it_came_with(bench: Bench) -> None:
    new = bench.new(
        queue="mail",
        args=b'{"to":"a@b.example"}',
        priority=7,
        lane_key="b.example",
        key="k",
        headers={"traceparent": "00-1"},
        tags=("x", "y"),
        summary="to a@b.example",
    )
    [answer] = bench.backend.enqueue([new], now=bench.now)
    job = bench.job(new.id)
    assert answer == Enqueued(new.id, True)
    assert (job.id, job.task, job.queue, job.args) == (new.id, new.task, "mail", new.args)
    assert (job.priority, job.lane_key, job.key) == (7, "b.example", "k")
    assert (job.headers, job.tags, job.summary) == ({"traceparent": "00-1"}, ("x", "y"), "to a@b.example")
    assert (job.state, job.enqueued_at) == (State.QUEUED, bench.now)
    assert (job.errors, job.crashes, job.snoozes, job.attempts, job.history) == (0, 0, 0, 0, ())
    assert (job.started_at, job.finished_at, job.progress, job.is_cancel_asked) == (None, None, None, False)


def test_answers_come_in_the_order_of_the_jobs(bench: Bench) -> None:
    there = bench.new()
    bench.backend.enqueue([there], now=bench.now)
    jobs = [bench.new(), there, bench.new(OTHER_TASK), bench.new(priority=5)]
    answers = bench.backend.enqueue(jobs, now=bench.now)
    assert answers == [Enqueued(job.id, job is not there) for job in jobs]


def test_an_empty_batch_is_answered_by_nothing(bench: Bench) -> None:
    assert bench.backend.enqueue([], now=bench.now) == []


def test_a_job_that_is_enqueued_again_by_id_is_one_job(bench: Bench) -> None:
    new = bench.new(args=b'{"n":1}')
    bench.backend.enqueue([new], now=bench.now)
    bench.later(5)
    assert bench.backend.enqueue([new], now=bench.now) == [Enqueued(new.id, False)]
    assert len(bench.worker().claim(10)) == 1
    assert bench.job(new.id).enqueued_at == bench.now - 5


def test_a_job_that_is_twice_in_a_batch_is_one_job(bench: Bench) -> None:
    new = bench.new()
    assert [a.created for a in bench.backend.enqueue([new, new], now=bench.now)] == [True, False]
    assert len(bench.worker().claim(10)) == 1


def test_a_job_enqueued_again_after_it_ended_does_not_run_again(bench: Bench) -> None:
    new = bench.new()
    worker = bench.worker()
    bench.backend.enqueue([new], now=bench.now)
    worker.settle(succeeded(worker.claim_one()))
    assert bench.backend.enqueue([new], now=bench.now) == [Enqueued(new.id, False)]
    assert bench.state(new.id) is State.SUCCEEDED
    assert worker.claim() == []


def test_a_batch_with_a_job_that_cannot_be_written_writes_none(bench: Bench) -> None:
    good = bench.new(key="k")
    refused = False
    try:
        bench.backend.enqueue([good, cast("Any", object())], now=bench.now)
    except Exception:  # noqa: BLE001 - which error it is does not matter
        refused = True
    assert refused
    assert bench.backend.get([good.id], now=bench.now) == [None]
    assert bench.backend.find_key(good.task, "k") is None
    assert bench.worker().claim() == []


def test_arguments_of_the_largest_size_arrive_as_they_were(bench: Bench) -> None:
    args = b'{"x":"' + "é".encode() * ((MAX_PAYLOAD - 8) // 2) + b'"}'
    job_id = bench.add(args=args)
    worker = bench.worker()
    claim = worker.claim_one()
    worker.settle(succeeded(claim, result=args))
    assert claim.args == args
    assert (bench.job(job_id).args, bench.job(job_id).result) == (args, args)


def test_text_that_looks_like_code_or_quotes_is_kept_as_it_is(bench: Bench) -> None:
    odd = '\';--\\ "%s" {x} \u2028 🛶'
    job_id = bench.add(queue="q'; drop", key=odd, summary=odd, tags=(odd,), headers={odd: odd}, lane_key=odd)
    job = bench.job(job_id)
    assert (job.queue, job.key, job.summary, job.tags) == ("q'; drop", odd, odd, (odd,))
    assert (job.headers, job.lane_key) == ({odd: odd}, odd)
    assert bench.backend.find_key(job.task, odd) == job_id
    worker = bench.worker()
    worker.settle(failed(worker.claim_one(queue="q'; drop"), to=State.DEAD, reason=odd))
    assert bench.job(job_id).reason == odd


def test_enqueue_into_a_connection_is_refused_by_a_backend_that_has_none(bench: Bench) -> None:
    if bench.backend.capabilities.has_transactional_enqueue:
        return
    new = bench.new()
    try:
        bench.backend.enqueue([new], into=object(), now=bench.now)
    except UnsupportedByBackend:
        assert bench.backend.get([new.id], now=bench.now) == [None]
    else:
        raise AssertionError("enqueue(into=...) was accepted without has_transactional_enqueue")
