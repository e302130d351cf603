"""Steps sent again, and replies that were lost."""

from __future__ import annotations

from ...core.job import Progress
from ...core.states import State
from .bench import OTHER_TASK, TASK, Bench, failed, snoozed, succeeded


def test_a_step_sent_again_gets_the_same_claims(bench: Bench) -> None:
    bench.add_many(3)
    bench.add(lane_key="other", priority=5)
    bench.add(lane_key="another")
    worker = bench.worker()
    reply = worker.step(wants=[worker.want(2)])
    again = worker.step_again()
    assert [(c.id, c.token) for c in again.claimed] == [(c.id, c.token) for c in reply.claimed]
    assert again.claimed == reply.claimed
    assert len(worker.claim(10)) == 3


def test_a_step_sent_again_settles_once(bench: Bench) -> None:
    job_id = bench.add()
    worker = bench.worker(tasks=(TASK, OTHER_TASK))
    carried = bench.new(OTHER_TASK)
    assert worker.settle(failed(worker.claim_one(), enqueue=(carried,))) == ()
    revision = bench.job(job_id).revision
    bench.later(3)
    assert worker.step_again().refused == ()
    job = bench.job(job_id)
    assert (job.errors, len(job.history), job.revision) == (1, 1, revision)
    assert job.due_at == bench.now - 3 + 10
    assert len(worker.claim(10, tasks=(OTHER_TASK,))) == 1


def test_a_step_sent_again_is_refused_what_was_refused(bench: Bench) -> None:
    bench.add()
    worker = bench.worker()
    claim = worker.claim_one()
    worker.settle(succeeded(claim))
    assert worker.settle(succeeded(claim)) == (claim.id,)
    assert worker.step_again().refused == (claim.id,)


def test_one_step_settles_and_claims(bench: Bench) -> None:
    first, second = bench.add_many(2)
    worker = bench.worker()
    claim = worker.claim_one()
    reply = worker.step([succeeded(claim)], wants=[worker.want()])
    assert [claim.id for claim in reply.claimed] == [second]
    assert bench.states([first, second]) == [State.SUCCEEDED, State.RUNNING]


def test_a_step_claims_what_its_own_settlements_made(bench: Bench) -> None:
    bench.add()
    worker = bench.worker()
    carried = bench.new()
    reply = worker.step([succeeded(worker.claim_one(), enqueue=(carried,))], wants=[worker.want()])
    assert [claim.id for claim in reply.claimed] == [carried.id]


def test_claims_whose_reply_was_lost_are_given_back_uncharged(bench: Bench) -> None:
    lost, kept, new = bench.add_many(3)
    worker = bench.worker()
    worker.step(wants=[worker.want()])  # the reply is lost; the worker goes on with its next step
    seen = worker.claim_one()
    unseen = worker.claim_one()  # this reply is still on its way
    worker.extend(seen, seq=2)
    assert (seen.id, unseen.id) == (kept, new)
    assert bench.states([lost, kept, new]) == [State.QUEUED, State.RUNNING, State.RUNNING]
    job = bench.job(lost)
    assert (job.errors, job.crashes, job.snoozes, job.attempts, job.history) == (0, 0, 0, 0, ())
    assert worker.claim_one().id == lost


def test_a_step_sent_again_does_not_give_what_was_given_back_meanwhile(bench: Bench) -> None:
    job_id = bench.add()
    worker = bench.worker()
    worker.step(wants=[worker.want()])
    worker.extend()
    assert bench.state(job_id) is State.QUEUED
    assert worker.step_again().claimed == ()
    assert worker.claim_one().id == job_id


def test_a_start_is_noted_once(bench: Bench) -> None:
    job_id = bench.add()
    worker = bench.worker()
    claim = worker.claim_one()
    revision = bench.job(job_id).revision
    bench.later(2)
    worker.step(started=[claim])
    job = bench.job(job_id)
    assert (job.started_at, job.attempts) == (bench.now, 1)
    assert job.revision > revision
    bench.later(2)
    worker.step(started=[claim])
    assert bench.job(job_id).started_at == bench.now - 2


def test_progress_is_kept_and_raises_the_revision(bench: Bench) -> None:
    job_id = bench.add()
    worker = bench.worker()
    claim = worker.start_one()
    for done in (1, 2):
        revision = bench.job(job_id).revision
        worker.step(progress=[(claim, Progress(done, 2, "pages"))])
        assert bench.job(job_id).progress == Progress(done, 2, "pages")
        assert bench.job(job_id).revision > revision


def test_progress_that_comes_with_the_settlement_is_not_lost(bench: Bench) -> None:
    job_id = bench.add()
    worker = bench.worker()
    claim = worker.claim_one()
    worker.step([succeeded(claim, started_ago_s=3.0)], started=[claim], progress=[(claim, Progress(9, 9))])
    job = bench.job(job_id)
    assert (job.state, job.progress, job.started_at) == (State.SUCCEEDED, Progress(9, 9), bench.now - 3)


def test_starts_and_progress_of_others_claims_change_nothing(bench: Bench) -> None:
    job_id = bench.add()
    worker = bench.worker()
    stale = worker.claim_one()
    worker.settle(snoozed(stale, delay_s=1.0))
    bench.later(1)
    bench.worker("w2").claim_one()
    before = bench.job(job_id)
    worker.step(started=[stale], progress=[(stale, Progress(1, 1))])
    assert bench.job(job_id) == before


def test_a_new_attempt_begins_without_progress(bench: Bench) -> None:
    job_id = bench.add()
    worker = bench.worker()
    claim = worker.start_one()
    worker.step(progress=[(claim, Progress(1, 2))])
    worker.settle(failed(claim, delay_s=1.0))
    bench.later(1)
    worker.claim_one()
    assert (bench.job(job_id).progress, bench.job(job_id).started_at) == (None, None)
