"""Claims: only what is wanted, with tokens that rise."""

from __future__ import annotations

from ...backends.base import Step
from ...core.errors import UnknownWorker
from ...core.states import State
from .bench import OTHER_TASK, TASK, Bench, failed, released


def test_a_claim_has_all_that_the_attempt_needs(bench: Bench) -> None:
    job_id = bench.add(queue="mail", args=b'{"n":1}', priority=3, headers={"h": "1"}, tags=("t",))
    enqueued_at = bench.now
    bench.later(5)
    claim = bench.worker().claim_one(queue="mail")
    assert (claim.id, claim.task, claim.queue, claim.args) == (job_id, TASK, "mail", b'{"n":1}')
    assert (claim.priority, claim.headers, claim.tags) == (3, {"h": "1"}, ("t",))
    assert (claim.errors, claim.crashes, claim.snoozes, claim.attempt) == (0, 0, 0, 1)
    assert (claim.started, claim.lost_worker, claim.enqueued_at) == (False, "", enqueued_at)


def test_a_claimed_job_runs_and_says_where(bench: Bench) -> None:
    job_id = bench.add()
    bench.worker("w9").claim_one()
    assert (bench.state(job_id), bench.job(job_id).worker) == (State.RUNNING, "w9")
    assert (bench.job(job_id).started_at, bench.job(job_id).attempts) == (None, 0)


def test_only_wanted_tasks_are_claimed(bench: Bench) -> None:
    bench.add(OTHER_TASK, priority=100)
    wanted = bench.add()
    worker = bench.worker()
    assert [claim.id for claim in worker.claim(10)] == [wanted]
    assert worker.claim(10, tasks=()) == []


def test_only_wanted_queues_are_claimed(bench: Bench) -> None:
    bench.add(queue="a")
    wanted = bench.add(queue="b")
    worker = bench.worker()
    assert worker.claim(10) == []
    assert [claim.id for claim in worker.claim(10, queue="b")] == [wanted]


def test_at_most_as_many_are_claimed_as_are_wanted(bench: Bench) -> None:
    bench.add_many(40)
    worker = bench.worker()
    assert [len(worker.claim(n)) for n in (0, 1, 17, 100)] == [0, 1, 17, 22]


def test_each_wish_of_a_step_is_met_on_its_own(bench: Bench) -> None:
    bench.add_many(5, queue="a")
    bench.add_many(5, queue="b")
    worker = bench.worker()
    claims = worker.step(wants=[worker.want(2, "a"), worker.want(3, "b"), worker.want(4, "c")]).claimed
    assert sorted(claim.queue for claim in claims) == ["a", "a", "b", "b", "b"]


def test_a_step_takes_no_more_than_its_most_in_the_order_of_its_wishes(bench: Bench) -> None:
    bench.add_many(2, queue="a")
    bench.add_many(5, queue="b")
    worker = bench.worker()
    reply = worker.step(wants=[worker.want(4, "a"), worker.want(4, "b")], most=4)
    assert [claim.queue for claim in reply.claimed] == ["a", "a", "b", "b"]
    assert reply.more
    reply = worker.step(wants=[worker.want(4, "b")], most=0)
    assert (reply.claimed, reply.more) == ((), True)


def test_wishes_share_the_room_that_a_step_has(bench: Bench) -> None:
    bench.add_many(20, queue="a")
    bench.add_many(20, queue="b")
    bench.add_many(20, queue="c")
    worker = bench.worker()
    wants = [worker.want(10, "a", room=0.1), worker.want(9, "b", room=1), worker.want(3, "c")]
    claims = worker.step(wants=wants, room=3).claimed
    assert [claim.queue for claim in claims] == ["a"] * 10 + ["b"] * 2 + ["c"] * 3


def test_more_says_whether_more_of_the_wanted_kind_waits(bench: Bench) -> None:
    worker = bench.worker()
    bench.add_many(2)
    bench.add(OTHER_TASK)
    bench.add(queue="elsewhere")
    assert worker.step(wants=[worker.want(1)]).more
    assert not worker.step(wants=[worker.want(1)]).more
    assert not worker.step().more


def test_tokens_are_unique_and_rise_with_every_claim(bench: Bench) -> None:
    bench.add_many(10)
    first, second = bench.worker("w1"), bench.worker("w2")
    tokens: list[int] = []
    for worker in (first, second, first):
        claims = worker.claim(3)
        tokens += sorted(claim.token for claim in claims)
        worker.settle(*(released(claim) for claim in claims))
    assert len(tokens) == 9
    assert tokens == sorted(set(tokens))


def test_a_job_that_is_claimed_again_has_a_higher_token(bench: Bench) -> None:
    bench.add()
    worker = bench.worker()
    claim = worker.claim_one()
    worker.settle(failed(claim, delay_s=1.0))
    bench.later(1)
    again = worker.claim_one()
    assert again.token > claim.token
    assert (again.errors, again.attempt) == (1, 2)


def test_a_claimed_job_is_not_claimed_by_another(bench: Bench) -> None:
    bench.add()
    bench.worker("w1").claim_one()
    assert bench.worker("w2").claim() == []


def test_a_step_of_an_unknown_worker_is_refused(bench: Bench) -> None:
    bench.add()
    stranger = bench.worker()
    try:
        bench.backend.step(Step(worker="stranger", seq=1, wants=(stranger.want(),)), now=bench.now)
    except UnknownWorker:
        assert len(stranger.claim()) == 1
    else:
        raise AssertionError("a worker that has not published was served")
