"""Schedules: each due time is dealt with once, whoever comes first, and survives what its job does not."""

from __future__ import annotations

from ...core.schedule import ScheduleState
from ...core.states import State
from .bench import Bench, requires, succeeded

KEY = "demo.send@times"


def test_a_due_time_makes_one_job(bench: Bench) -> None:
    one, two = bench.new(tags=("schedule:nightly",)), bench.new()
    due = bench.now - 5
    assert bench.backend.fire(KEY, due, one, now=bench.now)
    assert not bench.backend.fire(KEY, due, two, now=bench.now)
    assert bench.state(one.id) is State.QUEUED
    assert bench.backend.get([two.id], now=bench.now) == [None]
    assert bench.backend.schedules([KEY, "other"]) == {KEY: ScheduleState(last=due), "other": ScheduleState()}


def test_times_go_forward_only(bench: Bench) -> None:
    assert bench.backend.fire(KEY, bench.now - 5, None, now=bench.now)
    assert not bench.backend.fire(KEY, bench.now - 10, bench.new(), now=bench.now)
    late = bench.new()
    assert bench.backend.fire(KEY, bench.now - 1, late, now=bench.now)
    assert bench.worker().claim_one().id == late.id
    assert not bench.worker().claim()


def test_a_time_that_is_not_due_by_the_backends_clock_waits(bench: Bench) -> None:
    assert not bench.backend.fire(KEY, bench.now + 5, bench.new(), now=bench.now)
    assert bench.backend.schedules([KEY])[KEY].last == 0
    bench.later(6)
    assert bench.backend.fire(KEY, bench.now - 1, bench.new(), now=bench.now)


def test_a_time_that_is_passed_over_makes_no_job(bench: Bench) -> None:
    assert bench.backend.fire(KEY, bench.now, None, now=bench.now)
    assert not bench.worker().claim()
    assert bench.backend.schedules([KEY])[KEY].last == bench.now


def test_a_time_whose_key_is_held_is_dealt_with_all_the_same(bench: Bench) -> None:
    held, late, later = bench.add(key="k"), bench.new(key="k"), bench.new(key="k")
    assert bench.backend.fire(KEY, bench.now - 5, late, now=bench.now)
    assert bench.backend.get([late.id], now=bench.now) == [None]
    assert not bench.backend.fire(KEY, bench.now - 5, later, now=bench.now)
    worker = bench.worker()
    worker.settle(succeeded(worker.claim_one()))
    assert bench.state(held) is State.SUCCEEDED
    assert bench.backend.fire(KEY, bench.now, later, now=bench.now)
    assert bench.state(later.id) is State.QUEUED


def test_a_job_of_a_schedule_wakes_a_worker(bench: Bench) -> None:
    worker = bench.worker()
    woken = bench.woken_by(
        lambda: bench.backend.fire(KEY, bench.now, bench.new(), now=bench.now), lambda: worker.wait(timeout_s=10)
    )
    assert woken.work


def test_a_pause_is_remembered_beside_the_times(bench: Bench) -> None:
    bench.backend.pause_schedule(KEY, True)
    bench.backend.fire(KEY, bench.now, None, now=bench.now)
    assert bench.backend.schedules([KEY])[KEY] == ScheduleState(last=bench.now, is_paused=True)
    bench.backend.pause_schedule(KEY, False)
    assert bench.backend.schedules([KEY])[KEY] == ScheduleState(last=bench.now)


@requires("is_shared")
def test_of_many_who_come_at_once_one_makes_the_job(bench: Bench) -> None:
    backends = [bench.reopen() for _ in range(6)]
    for n in range(5):
        jobs = [bench.new() for _ in backends]
        due = bench.now - 10 + n
        races = [
            bench.meanwhile(lambda b=backend, j=job, d=due: b.fire(KEY, d, j, now=bench.now))
            for backend, job in zip(backends, jobs, strict=True)
        ]
        won = [race.result(timeout=60) for race in races]
        assert sum(won) == 1
        there = [job is not None for job in bench.backend.get([job.id for job in jobs], now=bench.now)]
        assert there == won
