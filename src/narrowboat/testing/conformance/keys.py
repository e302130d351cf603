"""Keys: same task and same key, same job, for as long as the one who asks says."""

from __future__ import annotations

from ...core.job import Enqueued, NewJob
from ...core.states import State
from .bench import OTHER_TASK, Bench, failed, released, succeeded


def _ask(bench: Bench, key_for: str | float) -> Enqueued:
    [answer] = bench.backend.enqueue([bench.new(key="k", key_for=key_for)], now=bench.now)
    return answer


def test_a_key_is_held_while_its_job_waits(bench: Bench) -> None:
    for state, delay_s in ((State.QUEUED, 0.0), (State.SCHEDULED, 60.0)):
        task = f"demo.{state}"
        job_id = bench.add(task, key="k", delay_s=delay_s)
        assert bench.state(job_id) is state
        for key_for in ("waiting", "active", 60.0):
            again = bench.new(task, key="k", key_for=key_for)
            assert bench.backend.enqueue([again], now=bench.now) == [Enqueued(job_id, False)]
            assert bench.backend.get([again.id], now=bench.now) == [None]


def test_a_key_for_waiting_is_free_once_its_job_runs(bench: Bench) -> None:
    job_id = bench.add(key="k", key_for="waiting")
    bench.worker().claim_one()
    assert _ask(bench, "active") == Enqueued(job_id, False)
    assert _ask(bench, "waiting").created


def test_a_key_for_active_is_held_while_its_job_runs_and_free_when_it_ended(bench: Bench) -> None:
    job_id = bench.add(key="k")
    worker = bench.worker()
    claim = worker.start_one()
    assert _ask(bench, "active") == Enqueued(job_id, False)
    worker.settle(succeeded(claim))
    assert _ask(bench, "active").created


def test_a_key_is_held_while_its_job_waits_for_another_attempt(bench: Bench) -> None:
    job_id = bench.add(key="k")
    worker = bench.worker()
    worker.settle(failed(worker.claim_one()))
    assert _ask(bench, "waiting") == Enqueued(job_id, False)
    bench.later(10)
    worker.settle(released(worker.claim_one()))
    assert _ask(bench, "waiting") == Enqueued(job_id, False)


def test_a_key_for_seconds_is_held_so_long_after_success(bench: Bench) -> None:
    job_id = bench.add(key="k", key_for=60.0)
    worker = bench.worker()
    claim = worker.claim_one()
    assert _ask(bench, 60.0) == Enqueued(job_id, False)
    worker.settle(succeeded(claim))
    bench.later(59)
    assert _ask(bench, 60.0) == Enqueued(job_id, False)
    bench.later(2)
    assert _ask(bench, 60.0).created


def test_the_job_that_asks_decides_how_long_a_key_is_held(bench: Bench) -> None:
    job_id = bench.ended(State.SUCCEEDED, key="k", key_for="waiting")
    bench.later(50)
    assert _ask(bench, 100.0) == Enqueued(job_id, False)
    assert _ask(bench, 10.0).created


def test_a_key_is_free_after_its_job_is_dead_or_cancelled(bench: Bench) -> None:
    for state in (State.DEAD, State.CANCELLED):
        bench.ended(state, task=f"demo.{state}", key="k", key_for=3600.0)
        new = bench.new(f"demo.{state}", key="k", key_for=3600.0)
        assert bench.backend.enqueue([new], now=bench.now) == [Enqueued(new.id, True)]


def test_two_jobs_with_the_same_key_in_one_batch_are_one_job(bench: Bench) -> None:
    first, second, third = bench.new(key="k"), bench.new(key="k"), bench.new(key="other")
    answers = bench.backend.enqueue([first, second, third], now=bench.now)
    assert answers == [Enqueued(first.id, True), Enqueued(first.id, False), Enqueued(third.id, True)]
    assert len(bench.worker().claim(10)) == 2


def test_a_key_belongs_to_its_task(bench: Bench) -> None:
    ids = [bench.add(key="k"), bench.add(OTHER_TASK, key="k"), bench.add(), bench.add()]
    assert bench.states(ids) == [State.QUEUED] * 4


def test_a_key_is_one_for_all_queues_of_its_task(bench: Bench) -> None:
    job_id = bench.add(key="k", queue="a")
    assert bench.backend.enqueue([bench.new(key="k", queue="b")], now=bench.now) == [Enqueued(job_id, False)]


def test_find_key_names_the_latest_job_of_the_key_in_any_state(bench: Bench) -> None:
    task = bench.new().task
    assert bench.backend.find_key(task, "k") is None
    first = bench.ended(State.SUCCEEDED, key="k")
    assert bench.backend.find_key(task, "k") == first
    second = bench.add(key="k")
    assert bench.backend.find_key(task, "k") == second
    assert bench.backend.find_key(OTHER_TASK, "k") is None
    assert bench.backend.find_key(task, "K") is None


def test_a_carried_job_keeps_to_the_keys_as_well(bench: Bench) -> None:
    bench.add(OTHER_TASK, key="k")
    bench.add()
    carried: NewJob = bench.new(OTHER_TASK, key="k")
    worker = bench.worker()
    worker.settle(succeeded(worker.claim_one(), enqueue=(carried,)))
    assert bench.backend.get([carried.id], now=bench.now) == [None]
