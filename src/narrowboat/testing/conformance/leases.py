"""Workers: made known, kept alive by extend, gone by leave."""

from __future__ import annotations

from ...backends.base import ClaimRef
from ...core.errors import UnknownWorker
from ...core.states import State
from ...core.task import Manifest, TaskSpec
from .bench import OTHER_TASK, Bench, snoozed, succeeded


def test_a_published_worker_is_shown_with_its_lease(bench: Bench) -> None:
    worker = bench.worker(lease_s=40.0)
    bench.add_many(2)
    worker.claim(2)
    [view] = bench.backend.workers(now=bench.now)
    assert (view.info, view.tasks) == (worker.info, worker.tasks)
    assert (view.seen_at, view.lease_until, view.running) == (bench.now, bench.now + 40, 2)


def test_publishing_again_renews_the_lease_and_keeps_the_claims(bench: Bench) -> None:
    worker = bench.worker()
    job_id = bench.add()
    claim = worker.start_one()
    bench.later(20)
    worker.publish()
    [view] = bench.backend.workers(now=bench.now)
    assert (view.lease_until, view.running) == (bench.now + 30, 1)
    assert worker.settle(succeeded(claim)) == ()
    assert bench.state(job_id) is State.SUCCEEDED


def test_the_newest_manifest_wins(bench: Bench) -> None:
    old, new = bench.worker("w1"), bench.worker("w2")
    for worker, timeout_s in ((old, 5.0), (new, 9.0)):
        spec = TaskSpec(name="demo.slow", timeout_s=timeout_s)
        bench.backend.publish(worker.info, Manifest(app="demo", tasks=(spec,)), now=bench.later(1))
    assert bench.backend.published(["demo.slow", "demo.unheard"]) == {
        "demo.slow": TaskSpec(name="demo.slow", timeout_s=9.0)
    }
    assert bench.backend.published().keys() == {"demo.slow", "demo.send"}
    assert bench.backend.published([]) == {}


def test_what_was_published_stays_known_after_the_worker_left(bench: Bench) -> None:
    bench.worker(tasks=(OTHER_TASK,)).leave()
    assert OTHER_TASK in bench.backend.published()


def test_extend_renews_the_lease_and_finds_nothing_wrong(bench: Bench) -> None:
    worker = bench.worker()
    job_id = bench.add()
    claim = worker.claim_one()
    for _ in range(5):
        bench.later(20)
        extended = worker.extend(claim)
        assert (extended.lost, extended.cancelled) == ((), ())
    assert bench.state(job_id) is State.RUNNING
    assert bench.backend.workers(now=bench.now)[0].lease_until == bench.now + 30


def test_extend_reports_claims_that_are_no_longer_the_workers(bench: Bench) -> None:
    ended, again, kept = bench.add_many(3)
    worker = bench.worker()
    one, two, three = worker.claim(3)
    worker.settle(succeeded(one), snoozed(two, delay_s=1.0))
    bench.later(1)
    assert worker.claim_one().id == again
    assert set(worker.extend(one, two, three, seq=1).lost) == {ended, again}
    assert bench.states([again, kept]) == [State.RUNNING] * 2


def test_extend_reports_claims_of_jobs_that_do_not_exist(bench: Bench) -> None:
    worker = bench.worker()
    extended = bench.backend.extend(worker.id, 0, [ClaimRef("demo.send:gone", 5)], now=bench.now)
    assert extended.lost == ("demo.send:gone",)


def test_naming_an_older_claim_of_a_job_does_not_keep_the_newer(bench: Bench) -> None:
    job_id = bench.add()
    worker = bench.worker()
    older = worker.claim_one()
    worker.extend()
    newer = worker.claim_one()
    assert worker.extend(older, newer).lost == (job_id,)
    assert bench.state(job_id) is State.RUNNING
    assert worker.extend(older).lost == (job_id,)
    assert bench.state(job_id) is State.QUEUED


def test_extend_of_an_unknown_worker_is_refused(bench: Bench) -> None:
    try:
        bench.backend.extend("stranger", 0, [], now=bench.now)
    except UnknownWorker:
        return
    raise AssertionError("the lease of a worker that has not published was renewed")


def test_a_worker_that_leaves_gives_its_claims_back_uncharged(bench: Bench) -> None:
    ids = bench.add_many(3)
    worker = bench.worker("w1")
    worker.start_one()
    worker.claim_one()
    worker.leave()
    assert bench.backend.workers(now=bench.now) == []
    assert [bench.job(job_id).attempts for job_id in ids] == [0, 0, 0]
    assert [claim.id for claim in bench.worker("w2").claim(3)] == ids


def test_a_worker_that_left_is_unknown(bench: Bench) -> None:
    worker = bench.worker()
    bench.add()
    claim = worker.claim_one()
    worker.leave()
    worker.leave()
    bench.backend.leave("stranger", now=bench.now)
    try:
        worker.settle(succeeded(claim))
    except UnknownWorker:
        assert worker.publish().settle(succeeded(claim)) == (claim.id,)
    else:
        raise AssertionError("a worker that left was served")
