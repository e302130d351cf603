"""Settlements: what each outcome makes of a job, and that a stale token makes nothing."""

from __future__ import annotations

from msgspec.structs import replace

from ...core.outcome import ErrorInfo
from ...core.states import State
from .bench import (
    OTHER_TASK,
    TASK,
    Bench,
    cancelled,
    crashed,
    failed,
    released,
    snoozed,
    succeeded,
)

ERROR = ErrorInfo(type="ValueError", message="no such page", traceback="line 1\nline 2")


def test_a_success_keeps_the_result_and_leaves_no_history(bench: Bench) -> None:
    job_id = bench.add()
    worker = bench.worker()
    claim = worker.claim_one()
    bench.later(5)
    assert worker.settle(succeeded(claim, result=b'{"pages":3}', started_ago_s=2.0)) == ()
    job = bench.job(job_id)
    assert (job.state, job.result, job.attempts) == (State.SUCCEEDED, b'{"pages":3}', 1)
    assert (job.started_at, job.finished_at, job.history) == (bench.now - 2, bench.now, ())
    assert (job.errors, job.crashes, job.snoozes, job.reason) == (0, 0, 0, "")
    assert job.worker == worker.id


def test_a_success_with_log_lines_leaves_them_in_the_history(bench: Bench) -> None:
    job_id = bench.add()
    worker = bench.worker()
    claim = worker.claim_one()
    worker.settle(succeeded(claim, started_ago_s=1.5, logs=("one", "two")))
    [attempt] = bench.job(job_id).history
    assert (attempt.number, attempt.outcome, attempt.logs) == (1, "succeeded", ("one", "two"))
    assert (attempt.started_at, attempt.ended_at, attempt.worker) == (bench.now - 1.5, bench.now, worker.id)


def test_a_failure_counts_as_an_error_and_is_tried_again(bench: Bench) -> None:
    job_id = bench.add()
    worker = bench.worker()
    worker.settle(failed(worker.claim_one(), error=ERROR, started_ago_s=3.0, logs=("l",)))
    job = bench.job(job_id)
    assert (job.state, job.due_at, job.finished_at) == (State.SCHEDULED, bench.now + 10, None)
    assert (job.errors, job.crashes, job.snoozes, job.attempts) == (1, 0, 0, 1)
    [attempt] = job.history
    assert (attempt.number, attempt.outcome, attempt.error, attempt.logs) == (1, "failed", ERROR, ("l",))
    assert (attempt.started_at, attempt.ended_at, attempt.worker) == (bench.now - 3, bench.now, worker.id)


def test_a_crash_counts_apart_from_errors(bench: Bench) -> None:
    job_id = bench.add()
    worker = bench.worker()
    worker.settle(crashed(worker.claim_one(), error=ERROR))
    job = bench.job(job_id)
    assert (job.state, job.errors, job.crashes, job.snoozes) == (State.SCHEDULED, 0, 1, 0)
    assert [(a.number, a.outcome, a.error) for a in job.history] == [(1, "crashed", ERROR)]


def test_a_snooze_is_not_an_attempt(bench: Bench) -> None:
    job_id = bench.add()
    worker = bench.worker()
    worker.settle(snoozed(worker.claim_one()))
    job = bench.job(job_id)
    assert (job.state, job.due_at) == (State.SCHEDULED, bench.now + 10)
    assert (job.errors, job.crashes, job.snoozes, job.attempts) == (0, 0, 1, 0)
    bench.later(10)
    assert (worker.claim_one().attempt, [a.outcome for a in job.history]) == (1, ["snoozed"])


def test_a_release_is_no_attempt_and_leaves_no_trace(bench: Bench) -> None:
    job_id = bench.add()
    worker = bench.worker()
    worker.settle(released(worker.start_one()))
    job = bench.job(job_id)
    assert (job.state, job.due_at, job.finished_at) == (State.QUEUED, None, None)
    assert (job.errors, job.crashes, job.snoozes, job.attempts, job.history) == (0, 0, 0, 0, ())


def test_attempts_spent_make_a_job_dead_with_a_reason(bench: Bench) -> None:
    job_id = bench.add()
    worker = bench.worker()
    worker.settle(failed(worker.claim_one(), to=State.DEAD, error=ERROR, reason="ValueError: no such page"))
    job = bench.job(job_id)
    assert (job.state, job.errors, job.finished_at) == (State.DEAD, 1, bench.now)
    assert (job.reason, job.due_at, len(job.history)) == ("ValueError: no such page", None, 1)
    assert worker.claim() == []


def test_a_task_may_end_its_job_as_cancelled(bench: Bench) -> None:
    job_id = bench.add()
    worker = bench.worker()
    worker.settle(cancelled(worker.claim_one(), reason="nothing to do"))
    job = bench.job(job_id)
    assert (job.state, job.reason, job.finished_at) == (State.CANCELLED, "nothing to do", bench.now)
    assert (job.errors, [a.outcome for a in job.history]) == (0, ["cancelled"])


def test_the_history_has_a_row_for_each_attempt_in_order(bench: Bench) -> None:
    job_id = bench.add()
    worker = bench.worker()
    for end in (failed, crashed, snoozed):
        worker.settle(end(worker.claim_one(), delay_s=1.0))
        bench.later(1)
    worker.settle(succeeded(worker.claim_one(), logs=("done",)))
    job = bench.job(job_id)
    assert (job.errors, job.crashes, job.snoozes, job.attempts) == (1, 1, 1, 3)
    assert [a.outcome for a in job.history] == ["failed", "crashed", "snoozed", "succeeded"]
    assert [a.number for a in job.history] == [1, 2, 3, 3]
    assert [a.ended_at for a in job.history] == [bench.now - 3, bench.now - 2, bench.now - 1, bench.now]


def test_a_start_that_was_noted_is_when_the_attempt_began(bench: Bench) -> None:
    job_id = bench.add()
    worker = bench.worker()
    claim = worker.start_one()
    bench.later(4)
    worker.settle(failed(claim, started_ago_s=4.0))
    job = bench.job(job_id)
    assert (job.started_at, job.history[0].started_at) == (bench.now - 4, bench.now - 4)


def test_the_revision_rises_with_every_change(bench: Bench) -> None:
    job_id = bench.add()
    worker = bench.worker()
    revisions = [bench.job(job_id).revision]
    claim = worker.claim_one()
    revisions.append(bench.job(job_id).revision)
    worker.settle(failed(claim, delay_s=1.0))
    revisions.append(bench.job(job_id).revision)
    bench.later(1)
    claim = worker.claim_one()
    revisions.append(bench.job(job_id).revision)
    worker.settle(failed(claim, to=State.DEAD))
    revisions.append(bench.job(job_id).revision)
    bench.backend.retry([job_id], now=bench.now)
    revisions.append(bench.job(job_id).revision)
    bench.backend.cancel([job_id], now=bench.now)
    revisions.append(bench.job(job_id).revision)
    assert revisions == sorted(set(revisions))
    assert revisions[0] >= 1


def test_a_settlement_with_a_stale_token_changes_nothing(bench: Bench) -> None:
    job_id = bench.add()
    worker = bench.worker()
    stale = worker.claim_one()
    worker.settle(snoozed(stale, delay_s=1.0))
    bench.later(1)
    current = worker.claim_one()
    before = bench.job(job_id)
    for end in (succeeded, failed, crashed, snoozed, cancelled, released):
        assert worker.settle(end(stale)) == (job_id,)
    assert bench.job(job_id) == before
    assert worker.settle(succeeded(current)) == ()


def test_a_stale_settlement_is_refused_beside_the_workers_new_claim_of_the_job(bench: Bench) -> None:
    job_id = bench.add()
    worker = bench.worker()
    stale = worker.claim_one()
    worker.extend()  # names nothing: the claim is released
    current = worker.claim_one()
    assert worker.step([succeeded(stale, result=b"1")], started=[current]).refused == (job_id,)
    assert bench.state(job_id) is State.RUNNING
    assert worker.settle(failed(stale), succeeded(current, result=b"2")) == (job_id,)
    assert (bench.state(job_id), bench.job(job_id).result) == (State.SUCCEEDED, b"2")


def test_a_refused_settlement_writes_none_of_its_jobs(bench: Bench) -> None:
    bench.add()
    worker = bench.worker()
    claim = worker.claim_one()
    worker.settle(succeeded(claim))
    carried = bench.new(OTHER_TASK)
    assert worker.settle(succeeded(claim, enqueue=(carried,))) == (claim.id,)
    assert bench.backend.get([carried.id], now=bench.now) == [None]


def test_a_refused_settlement_does_not_stop_the_others_of_its_step(bench: Bench) -> None:
    first, second, third = bench.add_many(3)
    worker = bench.worker()
    one, two, three = worker.claim(3)
    worker.settle(succeeded(two))
    assert worker.settle(succeeded(one), succeeded(two), succeeded(three)) == (second,)
    assert bench.states([first, third]) == [State.SUCCEEDED] * 2


def test_a_claim_settled_twice_in_one_step_is_settled_once(bench: Bench) -> None:
    job_id = bench.add()
    worker = bench.worker()
    claim = worker.claim_one()
    assert worker.settle(failed(claim), succeeded(claim)) == (job_id,)
    assert (bench.state(job_id), bench.job(job_id).errors) == (State.SCHEDULED, 1)


def test_another_workers_claim_cannot_be_settled(bench: Bench) -> None:
    job_id = bench.add()
    claim = bench.worker("w1").claim_one()
    assert bench.worker("w2").settle(succeeded(claim)) == (job_id,)
    assert bench.state(job_id) is State.RUNNING


def test_a_job_that_does_not_exist_is_refused(bench: Bench) -> None:
    bench.add()
    worker = bench.worker()
    claim = worker.claim_one()
    ghost = bench.new().id
    assert worker.settle(succeeded(claim), failed(replace(claim, id=ghost))) == (ghost,)


def test_jobs_that_a_settlement_carries_are_written_with_it(bench: Bench) -> None:
    bench.add()
    worker = bench.worker()
    carried = [bench.new(OTHER_TASK), bench.new(OTHER_TASK, queue="mail", delay_s=5)]
    worker.settle(succeeded(worker.claim_one(), enqueue=tuple(carried)))
    assert bench.states([job.id for job in carried]) == [State.QUEUED, State.SCHEDULED]


def test_a_carried_job_that_is_there_already_is_not_doubled(bench: Bench) -> None:
    bench.add()
    worker = bench.worker(tasks=(TASK, OTHER_TASK))
    carried = bench.new(OTHER_TASK)
    worker.settle(failed(worker.claim_one(tasks=(TASK,)), delay_s=1.0, enqueue=(carried,)))
    bench.later(1)
    worker.settle(succeeded(worker.claim_one(tasks=(TASK,)), enqueue=(carried,)))
    assert len(worker.claim(10, tasks=(OTHER_TASK,))) == 1
