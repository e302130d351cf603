"""Rescue: claims of lost workers are taken over, and the lost worker is fenced off."""

from __future__ import annotations

from ...core.errors import UnknownWorker
from ...core.states import State
from .bench import OTHER_TASK, Bench, crashed, released, succeeded


def test_a_lease_that_is_over_is_no_reason_for_the_backend_to_rescue(bench: Bench) -> None:
    bench.add_many(2)
    bench.worker("cut off", lease_s=30.0).claim_one()
    bench.worker("dead", lease_s=30.0).claim_one()
    rescuer = bench.worker("rescuer", lease_s=300.0)
    bench.later(100)
    assert bench.backend.rescue(rescuer.id, []) == []
    [claim] = bench.backend.rescue(rescuer.id, ["dead"])
    assert claim.lost_worker == "dead", "an outage lets all leases run out: the others are to renew theirs"


def test_a_rescued_claim_says_whether_the_attempt_had_begun(bench: Bench) -> None:
    begun, waiting = bench.add(args=b'{"n":1}'), bench.add()
    lost = bench.worker("lost")
    old = lost.start_one()
    lost.claim_one()
    rescuer = bench.worker("rescuer", lease_s=300.0)
    bench.later(31)
    claims = {claim.id: claim for claim in rescuer.rescue()}
    assert {job_id: claim.started for job_id, claim in claims.items()} == {begun: True, waiting: False}
    assert {claim.lost_worker for claim in claims.values()} == {"lost"}
    assert claims[begun].token > old.token
    assert claims[begun].args == b'{"n":1}'
    assert bench.states([begun, waiting]) == [State.RUNNING] * 2
    assert rescuer.settle(crashed(claims[begun]), released(claims[waiting])) == ()
    assert (bench.state(begun), bench.job(begun).crashes) == (State.SCHEDULED, 1)
    assert (bench.state(waiting), bench.job(waiting).attempts) == (State.QUEUED, 0)


def test_a_worker_known_to_be_dead_is_rescued_at_once(bench: Bench) -> None:
    job_id = bench.add()
    bench.worker("gone").claim_one()
    bench.worker("alive")
    rescuer = bench.worker("rescuer")
    assert rescuer.rescue() == []
    assert [claim.id for claim in rescuer.rescue(dead=["gone", "never heard of"])] == [job_id]
    assert {view.info.id for view in bench.backend.workers(now=bench.now)} == {"alive", "rescuer"}


def test_a_worker_does_not_rescue_itself(bench: Bench) -> None:
    job_id = bench.add()
    worker = bench.worker()
    claim = worker.claim_one()
    bench.later(100)
    assert worker.rescue(dead=[worker.id]) == []
    assert worker.extend(claim).lost == ()
    assert bench.state(job_id) is State.RUNNING


def test_a_rescue_takes_no_more_than_its_limit(bench: Bench) -> None:
    ids = bench.add_many(5)
    bench.worker("lost").claim(5)
    rescuer = bench.worker("rescuer", lease_s=300.0)
    bench.later(31)
    first = rescuer.rescue(limit=2)
    assert "lost" in {view.info.id for view in bench.backend.workers(now=bench.now)}
    rest = rescuer.rescue(limit=100)
    assert (len(first), len(rest)) == (2, 3)
    assert {claim.id for claim in first + rest} == set(ids)
    assert [view.info.id for view in bench.backend.workers(now=bench.now)] == ["rescuer"]


def test_a_lost_worker_is_forgotten_and_may_publish_again(bench: Bench) -> None:
    bench.add_many(2)
    lost = bench.worker("lost")
    claim = lost.claim_one()
    rescuer = bench.worker("rescuer", lease_s=300.0)
    bench.later(31)
    rescuer.rescue()
    for call in (lost.claim, lambda: lost.extend(claim)):
        try:
            call()
        except UnknownWorker:
            continue
        raise AssertionError("a worker that was forgotten was served")
    assert len(lost.publish().claim()) == 1


def test_a_lost_worker_without_claims_is_forgotten(bench: Bench) -> None:
    bench.worker("idle")
    rescuer = bench.worker("rescuer", lease_s=300.0)
    bench.later(31)
    assert rescuer.rescue() == []
    assert [view.info.id for view in bench.backend.workers(now=bench.now)] == ["rescuer"]


def test_the_outcome_of_a_lost_worker_is_refused_with_its_jobs(bench: Bench) -> None:
    job_id = bench.add()
    lost = bench.worker("lost")
    claim = lost.start_one()
    rescuer = bench.worker("rescuer", lease_s=300.0)
    bench.later(31)
    [rescued] = rescuer.rescue()
    lost.publish()
    before = bench.job(job_id)
    carried = bench.new(OTHER_TASK)
    assert lost.settle(succeeded(claim, result=b"1", enqueue=(carried,))) == (job_id,)
    assert lost.extend(claim).lost == (job_id,)
    assert bench.job(job_id) == before
    assert bench.backend.get([carried.id], now=bench.now) == [None]
    assert rescuer.settle(crashed(rescued)) == ()


def test_a_worker_cut_off_but_not_rescued_may_still_settle(bench: Bench) -> None:
    job_id = bench.add()
    worker = bench.worker()
    claim = worker.start_one()
    bench.later(500)
    assert worker.settle(succeeded(claim)) == ()
    assert bench.state(job_id) is State.SUCCEEDED


def test_a_rescuer_that_is_lost_is_rescued_too(bench: Bench) -> None:
    job_id = bench.add()
    bench.worker("first").start_one()
    bench.later(31)
    bench.worker("second").rescue()
    bench.later(31)
    [claim] = bench.worker("third").rescue()
    assert (claim.id, claim.started, claim.lost_worker) == (job_id, True, "second")


def test_a_rescue_whose_reply_was_lost_is_given_back(bench: Bench) -> None:
    job_id = bench.add()
    bench.worker("lost").claim_one()
    rescuer = bench.worker("rescuer", lease_s=300.0)
    bench.later(31)
    rescuer.rescue()
    for _ in range(200):  # the rescuer may need a few steps before it names or settles what it took over
        rescuer.step()
    rescuer.extend()
    assert bench.state(job_id) is State.QUEUED


def test_a_crash_is_written_with_the_worker_that_was_lost(bench: Bench) -> None:
    job_id = bench.add()
    bench.worker("lost").start_one()
    started_at = bench.now
    rescuer = bench.worker("rescuer", lease_s=300.0)
    bench.later(31)
    [claim] = rescuer.rescue()
    rescuer.settle(crashed(claim))
    [attempt] = bench.job(job_id).history
    assert (attempt.worker, attempt.started_at, attempt.ended_at) == ("lost", started_at, bench.now)


def test_a_rescue_by_an_unknown_worker_is_refused(bench: Bench) -> None:
    bench.add()
    bench.worker("w1").claim_one()
    try:
        bench.backend.rescue("stranger", ["w1"])
    except UnknownWorker:
        return
    raise AssertionError("a worker that has not published was given claims")
