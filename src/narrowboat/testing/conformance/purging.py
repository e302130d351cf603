"""Purge: finished records go by age, then by number, and nothing else does."""

from __future__ import annotations

from typing import Any

from ...backends.base import Retention
from ...core.job import Enqueued
from ...core.states import State
from .bench import Bench


def _kept(bench: Bench, ids: list[str]) -> list[str]:
    jobs = bench.backend.get(ids, now=bench.now)
    return [job_id for job_id, job in zip(ids, jobs, strict=True) if job is not None]


def _purge(bench: Bench, limit: int = 1000, **retention: Any) -> int:
    return bench.backend.purge(Retention(**retention), limit, now=bench.now)


def test_finished_records_go_when_they_are_old_enough(bench: Bench) -> None:
    old = [bench.ended(State.SUCCEEDED), bench.ended(State.CANCELLED)]
    bench.later(50)
    young = [bench.ended(State.SUCCEEDED), bench.ended(State.CANCELLED)]
    bench.later(51)
    assert _purge(bench, keep_s=100) == 2
    assert _kept(bench, old + young) == young
    assert _purge(bench, keep_s=100) == 0


def test_dead_jobs_are_kept_by_a_rule_of_their_own(bench: Bench) -> None:
    dead, done = bench.ended(State.DEAD), bench.ended(State.SUCCEEDED)
    bench.later(200)
    assert _purge(bench, keep_s=100, dead_s=1000) == 1
    assert _kept(bench, [dead, done]) == [dead]
    bench.later(900)
    assert _purge(bench, keep_s=100, dead_s=1000) == 1
    assert _kept(bench, [dead]) == []


def test_the_oldest_go_when_a_queue_has_too_many(bench: Bench) -> None:
    mail: list[str] = []
    for state in (State.SUCCEEDED, State.CANCELLED, State.SUCCEEDED, State.SUCCEEDED):
        mail.append(bench.ended(state, queue="mail"))
        bench.later(1)
    other = [bench.ended(State.SUCCEEDED, queue="other") for _ in range(2)]
    assert _purge(bench, keep_max=2) == 2
    assert _kept(bench, mail + other) == mail[2:] + other


def test_dead_jobs_have_a_cap_of_their_own(bench: Bench) -> None:
    dead: list[str] = []
    for _ in range(3):
        dead.append(bench.ended(State.DEAD))
        bench.later(1)
    done = bench.ended(State.SUCCEEDED)
    assert _purge(bench, keep_max=1, dead_max=2) == 1
    assert _kept(bench, [*dead, done]) == [*dead[1:], done]


def test_unfinished_jobs_are_never_purged(bench: Bench) -> None:
    worker = bench.worker(lease_s=1e9)
    running = bench.add()
    worker.claim_one()
    ids = [running, bench.add(), bench.add(delay_s=1e8)]
    bench.later(1e7)
    assert _purge(bench, keep_s=0, keep_max=0, dead_s=0, dead_max=0) == 0
    assert _kept(bench, ids) == ids


def test_a_purge_is_bounded_and_goes_on_next_time(bench: Bench) -> None:
    ids = bench.add_many(30)
    bench.backend.cancel(ids, now=bench.now)
    bench.later(10)
    first = _purge(bench, limit=10, keep_s=1)
    assert 1 <= first <= 20
    for _ in range(30):
        _purge(bench, limit=10, keep_s=1)
    assert _kept(bench, ids) == []


def test_a_purged_job_is_gone_from_everywhere(bench: Bench) -> None:
    new = bench.new(key="k", queue="mail")
    bench.backend.enqueue([new], now=bench.now)
    bench.backend.cancel([new.id], now=bench.now)
    bench.later(10)
    assert _purge(bench, keep_s=1) == 1
    assert bench.backend.find_key(new.task, "k") is None
    assert bench.backend.retry([new.id], now=bench.now) == [False]
    assert bench.backend.cancel([new.id], now=bench.now) == [None]
    assert bench.backend.stats(now=bench.now) == []
    assert bench.backend.enqueue([new], now=bench.now) == [Enqueued(new.id, True)]


def test_a_retried_job_is_not_purged(bench: Bench) -> None:
    job_id = bench.ended(State.DEAD)
    bench.later(100)
    bench.backend.retry([job_id], now=bench.now)
    assert _purge(bench, keep_s=0, keep_max=0, dead_s=0, dead_max=0) == 0
    assert bench.state(job_id) is State.QUEUED


def test_purging_an_older_job_leaves_the_key_to_the_newer(bench: Bench) -> None:
    old = bench.ended(State.CANCELLED, key="k")
    bench.later(10)
    new = bench.add(key="k")
    assert _purge(bench, keep_s=5) == 1
    assert _kept(bench, [old]) == []
    assert bench.backend.find_key(bench.job(new).task, "k") == new
