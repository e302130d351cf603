"""Limits: a queue takes so many waiting jobs, in all and of each client, and tells when to come back."""

from __future__ import annotations

from typing import Any

from ...backends.base import Change
from ...core.errors import QueueFull
from ...core.job import Enqueued, NewJob
from ...core.queue import UNKNOWN_S, Queue
from ...core.states import State
from .bench import OTHER_TASK, TASK, Bench, failed, released, snoozed, succeeded

LIMIT = 3


def limits(waiting: int | None = LIMIT, per_client: int | None = None, queue: str = "default") -> dict[str, Queue]:
    return {queue: Queue(queue, waiting, per_client)}


def refusal(bench: Bench, jobs: list[NewJob], limits: dict[str, Queue]) -> QueueFull:
    """The error of an enqueue that must be refused, and must have written nothing."""
    before = bench.backend.get([job.id for job in jobs], now=bench.now)
    try:
        bench.backend.enqueue(jobs, limits=limits, now=bench.now)
    except QueueFull as error:
        assert bench.backend.get([job.id for job in jobs], now=bench.now) == before
        return error
    raise AssertionError(f"{len(jobs)} jobs were taken past the limit")


def takes(bench: Bench, limits: dict[str, Queue], **fields: Any) -> bool:
    """Whether one more job is taken; it stays."""
    try:
        [answer] = bench.backend.enqueue([bench.new(**fields)], limits=limits, now=bench.now)
    except QueueFull:
        return False
    return answer.created


def test_a_queue_takes_jobs_up_to_its_limit(bench: Bench) -> None:
    assert [takes(bench, limits()) for _ in range(LIMIT + 1)] == [True] * LIMIT + [False]
    error = refusal(bench, [bench.new()], limits())
    assert (error.queue, error.limit, error.client, error.waiting) == ("default", LIMIT, "", LIMIT)
    assert "default" in str(error)


def test_a_queue_that_is_not_named_has_no_limit(bench: Bench) -> None:
    bench.add_many(LIMIT)
    assert not takes(bench, limits())
    assert takes(bench, limits(), queue="other")
    assert takes(bench, limits(1, queue="other"))
    assert takes(bench, {})


def test_jobs_that_wait_already_count_when_a_limit_is_new_or_lower(bench: Bench) -> None:
    bench.add_many(2)
    bench.add(delay_s=60)
    bench.add(OTHER_TASK, lane_key="x")
    assert not takes(bench, limits(4))
    assert takes(bench, limits(5))
    assert refusal(bench, [bench.new()], limits(2)).waiting == 5


def test_scheduled_jobs_count_as_waiting_and_still_when_they_come_due(bench: Bench) -> None:
    assert all(takes(bench, limits(), delay_s=5) for _ in range(LIMIT))
    assert not takes(bench, limits())
    bench.later(6)
    assert not takes(bench, limits())
    worker = bench.worker()
    worker.claim_one()
    assert takes(bench, limits())


def test_a_claim_and_a_cancel_make_room(bench: Bench) -> None:
    ids = bench.add_many(LIMIT)
    assert not takes(bench, limits())
    worker = bench.worker()
    claims = worker.claim(2)
    assert [takes(bench, limits()) for _ in range(3)] == [True, True, False]
    worker.settle(*(succeeded(claim) for claim in claims))
    assert not takes(bench, limits())
    bench.backend.cancel(ids, now=bench.now)
    assert [takes(bench, limits()) for _ in range(2)] == [True, False]


def test_the_cancel_of_a_scheduled_job_makes_room(bench: Bench) -> None:
    job_id = bench.add(delay_s=60)
    assert not takes(bench, limits(1))
    bench.backend.cancel([job_id], now=bench.now)
    assert takes(bench, limits(1))


def test_a_client_has_a_limit_of_its_own(bench: Bench) -> None:
    most = limits(waiting=None, per_client=2)
    assert [takes(bench, most, client="ann") for _ in range(3)] == [True, True, False]
    assert [takes(bench, most, client="bob") for _ in range(3)] == [True, True, False]
    assert all(takes(bench, most) for _ in range(5)), "nobody's jobs are limited only in all"
    error = refusal(bench, [bench.new(client="ann")], most)
    assert (error.queue, error.limit, error.client, error.waiting) == ("default", 2, "ann", 9)
    assert "ann" in str(error)


def test_jobs_of_a_client_count_in_their_own_queue_while_they_wait(bench: Bench) -> None:
    most = limits(waiting=None, per_client=1)
    bench.add(client="ann", queue="other")
    assert takes(bench, most, client="ann")
    assert not takes(bench, most, client="ann", delay_s=5)
    bench.worker().claim_one()
    assert takes(bench, most, client="ann", delay_s=5)
    assert not takes(bench, most, client="ann")


def test_who_is_over_a_limit_of_its_own_hears_that_before_the_queue_is_full(bench: Bench) -> None:
    most = limits(4, per_client=2)
    assert [takes(bench, most, client=name) for name in ("ann", "ann", "bob")] == [True, True, True]
    assert refusal(bench, [bench.new(client="ann")], most).client == "ann"
    assert takes(bench, most, client="eve")
    assert refusal(bench, [bench.new(client="ann")], most).client == "ann"
    assert refusal(bench, [bench.new(client="bob")], most).client == ""


def test_a_batch_that_goes_past_a_limit_is_refused_as_a_whole(bench: Bench) -> None:
    bench.add()
    batch = [bench.new(key="k"), bench.new(queue="other"), bench.new(delay_s=5), bench.new()]
    error = refusal(bench, batch, limits())
    assert (error.waiting, error.limit) == (1, LIMIT)
    assert bench.backend.find_key(TASK, "k") is None
    assert bench.worker(queues=("other",)).claim(queue="other") == []
    assert len(bench.backend.enqueue(batch[:3], limits=limits(), now=bench.now)) == 3
    assert not takes(bench, limits())


def test_clients_of_one_batch_are_counted_apart_and_together(bench: Bench) -> None:
    batch = [bench.new(client=name) for name in ("ann", "bob", "ann", "bob")]
    assert refusal(bench, batch, limits(None, per_client=1)).client == "ann"
    assert refusal(bench, batch, limits(3, per_client=2)).client == ""
    assert len(bench.backend.enqueue(batch, limits=limits(4, per_client=2), now=bench.now)) == 4


def test_a_batch_names_the_first_queue_that_it_would_fill(bench: Bench) -> None:
    both = limits(1) | limits(1, queue="other")
    batch = [bench.new(queue="other"), bench.new(), bench.new(), bench.new(queue="other")]
    assert refusal(bench, batch, both).queue == "other"


def test_jobs_that_are_there_already_are_answered_by_a_full_queue(bench: Bench) -> None:
    new, keyed = bench.new(), bench.new(key="k")
    bench.backend.enqueue([new, keyed, bench.new()], limits=limits(), now=bench.now)
    again = bench.new(key="k")
    answers = bench.backend.enqueue([new, again], limits=limits(), now=bench.now)
    assert answers == [Enqueued(new.id, False), Enqueued(keyed.id, False)]
    assert not takes(bench, limits())


def test_a_job_that_is_twice_in_a_batch_takes_one_place(bench: Bench) -> None:
    twice = bench.new(client="ann")
    batch = [twice, twice, bench.new(key="k"), bench.new(key="k")]
    answers = bench.backend.enqueue(batch, limits=limits(2, per_client=1), now=bench.now)
    assert [answer.created for answer in answers] == [True, False, True, False]


def test_what_goes_back_into_line_is_never_refused_but_counts(bench: Bench) -> None:
    most = limits(4, per_client=4)
    bench.add_many(4, client="ann")
    worker, other = bench.worker("w1"), bench.worker("w2")
    claims = worker.claim(4)
    assert [takes(bench, most, client="bob", delay_s=900) for _ in range(5)] == [True] * 4 + [False]
    worker.settle(failed(claims[0]), snoozed(claims[1]), released(claims[2]))
    assert refusal(bench, [bench.new()], most).waiting == 7
    assert refusal(bench, [bench.new(client="ann")], limits(None, per_client=3)).client == "ann"
    bench.later(40)
    [rescued] = other.rescue()
    assert refusal(bench, [bench.new()], most).waiting == 7
    other.settle(released(rescued))
    assert refusal(bench, [bench.new()], most).waiting == 8


def test_claims_that_nobody_named_count_again(bench: Bench) -> None:
    bench.add_many(2)
    worker, leaver = bench.worker("w1"), bench.worker("w2")
    worker.claim_one()
    leaver.claim_one()
    assert [takes(bench, limits(2)) for _ in range(3)] == [True, True, False]
    worker.extend()
    assert refusal(bench, [bench.new()], limits(2)).waiting == 3
    leaver.leave()
    assert refusal(bench, [bench.new()], limits(2)).waiting == 4


def test_a_released_job_whose_cancel_was_asked_for_takes_no_place(bench: Bench) -> None:
    job_id = bench.add()
    worker = bench.worker()
    worker.claim_one()
    assert takes(bench, limits(1))
    bench.backend.cancel([job_id], now=bench.now)
    worker.extend()
    assert bench.state(job_id) is State.CANCELLED
    assert refusal(bench, [bench.new()], limits(1)).waiting == 1


def test_a_retry_is_never_refused_but_counts_where_it_goes(bench: Bench) -> None:
    dead = [bench.ended(State.DEAD, client="ann") for _ in range(2)]
    assert takes(bench, limits(1))
    assert takes(bench, limits(1, queue="other"), queue="other")
    assert bench.backend.retry(dead[:1], now=bench.now) == [True]
    assert bench.backend.retry(dead[1:], Change(queue="other", delay_s=5), now=bench.now) == [True]
    assert refusal(bench, [bench.new()], limits(1)).waiting == 2
    assert refusal(bench, [bench.new(queue="other")], limits(1, queue="other")).waiting == 2
    assert not takes(bench, limits(None, 1), client="ann")


def test_what_a_task_enqueues_is_never_refused_but_counts(bench: Bench) -> None:
    bench.add()
    worker = bench.worker()
    claim = worker.claim_one()
    assert takes(bench, limits(1))
    more = tuple(bench.new(client="ann") for _ in range(3))
    assert worker.settle(succeeded(claim, enqueue=more)) == ()
    assert refusal(bench, [bench.new()], limits(1)).waiting == 4
    assert refusal(bench, [bench.new(client="ann")], limits(None, per_client=3)).client == "ann"


def test_a_queue_without_a_known_pace_says_to_come_back_in_half_a_minute(bench: Bench) -> None:
    bench.add_many(LIMIT)
    assert refusal(bench, [bench.new()], limits()).retry_after_s == UNKNOWN_S


def test_a_full_queue_says_when_there_may_be_room(bench: Bench) -> None:
    worker = bench.worker()
    for _ in range(10):  # a job in ten seconds
        bench.add()
        claim = worker.start_one()
        bench.later(10)
        worker.settle(succeeded(claim))
    for name in ("ann", "bob", "cid", "dan", "ann"):
        bench.add(client=name)
    assert refusal(bench, [bench.new()], limits(5)).retry_after_s == 10
    assert refusal(bench, [bench.new() for _ in range(3)], limits(5)).retry_after_s == 30
    of_one = limits(None, per_client=2)
    assert round(refusal(bench, [bench.new(client="ann")], of_one).retry_after_s, 3) == round(10 * 5 / 3, 3)
    bench.later(300)  # nothing has ended since, so it is slower
    assert refusal(bench, [bench.new()], limits(5)).retry_after_s > 30


def test_the_time_to_come_back_is_neither_now_nor_never(bench: Bench) -> None:
    worker = bench.worker()
    bench.add_many(20)
    worker.settle(*(succeeded(claim) for claim in worker.claim(20)))
    bench.add_many(LIMIT)
    assert refusal(bench, [bench.new()], limits()).retry_after_s == 1
    assert refusal(bench, [bench.new()], limits(1)).retry_after_s == 1
    bench.later(500)
    bench.add_many(1000)
    assert refusal(bench, [bench.new()], limits(1)).retry_after_s == 3600


def test_the_client_stays_on_the_record(bench: Bench) -> None:
    job_id = bench.add(client="ann")
    assert bench.job(job_id).client == "ann"
    assert bench.job(bench.add()).client == ""
