"""Executors that are kept for untrusted jobs to come: how many, of which kinds, for how long."""

from __future__ import annotations

import itertools
import os
from typing import Any

import pytest

from narrowboat import kernel
from narrowboat.core.job import Claim
from narrowboat.core.needs import Limits
from narrowboat.core.outcome import Succeeded
from narrowboat.core.task import TaskSpec
from narrowboat.executor import wire
from narrowboat.worker.executors import Executor
from narrowboat.worker.held import Held
from narrowboat.worker.pool import CAME_UP_S, Pool
from narrowboat.worker.spares import IDLE_S, MOST

tokens = itertools.count(1)
FRESH = TaskSpec(name="fresh", is_untrusted=True)
OTHER = TaskSpec(name="other", is_untrusted=True, limits=Limits(memory=10**9))
REUSED = TaskSpec(name="reused")


class Clock:
    now = 1000.0


def held_by(spec: TaskSpec) -> Held:
    return Held(Claim(id=f"{spec.name}:1", task=spec.name, queue="q", token=next(tokens), args=b"{}"), spec, Clock.now)


class Zygote:
    """Takes requests for executors; the test says when they are there."""

    def __init__(self) -> None:
        self.asked: list[Executor] = []
        self.is_there = True

    def ask_for(self, executor: Executor) -> bool:
        if self.is_there:
            self.asked.append(executor)
        return self.is_there

    def __getattr__(self, name: str) -> Any:
        return lambda *_: None


class Quay:
    """A pool, its zygote, and a clock that stands still unless it is moved."""

    def __init__(self, slots: int, clock: Clock) -> None:
        self.zygote, self.events, self.clock = Zygote(), Zygote(), clock
        self.pool = Pool(slots, self.events, self.zygote)

    def turn(self) -> None:
        """What a worker's turn does: all that was asked for is there, and jobs are given."""
        self.pool.assign()
        while self.zygote.asked:
            asked, self.zygote.asked = self.zygote.asked, []
            for executor in asked:
                self.pool.forked(executor.request, kernel.Process(os.getpid()))  # as if it were one
            self.pool.assign()

    def begin(self, spec: TaskSpec) -> Executor:
        """A job comes, and an executor begins it."""
        held = Held(
            Claim(id=f"{spec.name}:1", task=spec.name, queue="q", token=next(tokens), args=b"{}"), spec, self.clock.now
        )
        self.pool.take([held])
        self.turn()
        executor = next(e for e in self.pool.executors if held.claim.token in e.given)
        executor.theirs.send(wire.encode(wire.Started(held.claim.token)))
        self.pool.readable(executor)
        self.turn()
        return executor

    def end(self, executor: Executor) -> None:
        """The job is done; a fresh executor is gone then."""
        [token] = executor.given
        executor.theirs.send(wire.encode(wire.Ended(token, Succeeded(), 0.0)))
        self.pool.readable(executor)
        if executor.kind.is_fresh:
            self.die(executor, 0)
        self.turn()

    def die(self, executor: Executor, status: int) -> None:
        """It is dead, and its zygote says how."""
        assert executor.process is not None
        executor.process.close()
        executor.process = kernel.Process(2**22 + executor.request, os.open(os.devnull, os.O_RDONLY))
        self.pool.died(executor)
        self.pool.exited(executor.pid, status)

    @property
    def spares(self) -> list[Executor]:
        return [executor for executor in self.pool.executors if executor.is_spare]

    def close(self) -> None:
        for executor in list(self.pool.executors):
            self.pool.executors.remove(executor)
            executor.close()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("time.monotonic", lambda: clock.now)
    return clock


@pytest.fixture
def quay(clock: Clock) -> Any:
    made: list[Quay] = []

    def make(slots: int) -> Quay:
        made.append(Quay(slots, clock))
        return made[-1]

    yield make
    for each in made:
        each.close()


def test_nothing_is_forked_for_kinds_that_were_never_used(quay: Any) -> None:
    worker = quay(8)
    worker.turn()
    worker.begin(REUSED)
    assert [executor.kind.is_fresh for executor in worker.pool.executors] == [False]


def test_a_job_finds_an_executor_that_was_there_before_it(quay: Any) -> None:
    worker = quay(8)
    first = worker.begin(FRESH)
    spares = worker.spares
    assert len(spares) == MOST and first not in spares
    worker.end(first)
    second = worker.begin(FRESH)
    assert second in spares, "none was forked for it"
    assert len(worker.spares) == MOST, "and another took its place"


@pytest.mark.parametrize("slots", [1, 2, 64])
def test_spares_take_no_slots_and_are_no_more_than_there_are_slots(quay: Any, slots: int) -> None:
    worker = quay(slots)
    for _ in range(slots):
        worker.begin(FRESH)
    assert worker.pool.used() == slots
    assert len(worker.spares) == min(slots, MOST)


def test_no_more_jobs_run_than_there_are_slots_however_many_spares_there_are(quay: Any) -> None:
    worker = quay(2)
    running = [worker.begin(FRESH), worker.begin(FRESH)]
    waiting = held_by(FRESH)
    worker.pool.take([waiting])
    worker.turn()
    assert list(worker.pool.hand) == [waiting] and len(worker.spares) == 2
    worker.end(running[0])
    assert not worker.pool.hand


def test_an_idle_executor_of_another_kind_makes_room_for_a_spare_that_gets_a_job(quay: Any) -> None:
    worker = quay(1)
    worker.end(reused := worker.begin(REUSED))
    assert not reused.is_retiring
    worker.begin(FRESH)
    assert reused.is_retiring


def test_spares_do_not_keep_a_slot_from_other_tasks(quay: Any) -> None:
    worker = quay(2)
    worker.begin(FRESH)
    assert worker.begin(REUSED) and worker.pool.used() == 2


def test_two_kinds_share_what_is_kept(quay: Any) -> None:
    worker = quay(4)
    worker.end(worker.begin(FRESH))
    assert len(worker.spares) == 4
    other = worker.begin(OTHER)
    assert len(worker.spares) == 4
    worker.end(other)
    worker.begin(FRESH)
    worker.begin(FRESH)
    kinds = [executor.kind.limits for executor in worker.spares]
    assert {kinds.count(FRESH.limits), kinds.count(OTHER.limits)} == {2}


def test_spares_are_given_up_when_no_job_has_come_for_long_and_nothing_is_looked_at_before(
    quay: Any, clock: Clock
) -> None:
    worker = quay(2)
    worker.end(worker.begin(FRESH))
    worker.pool.scan(clock.now)
    assert worker.pool.next_scan == clock.now + IDLE_S
    clock.now += IDLE_S - 1
    worker.end(worker.begin(FRESH))
    clock.now += 2
    worker.pool.scan(clock.now)
    assert len(worker.spares) == 2, "the last job counts"
    clock.now += IDLE_S
    worker.pool.scan(clock.now)
    worker.turn()
    assert worker.spares == [] and all(executor.is_retiring for executor in worker.pool.executors)
    for executor in list(worker.pool.executors):
        worker.die(executor, 0)
    worker.pool.scan(clock.now)
    assert worker.pool.next_scan == float("inf")


def test_a_drain_ends_them_and_forks_none(quay: Any) -> None:
    worker = quay(2)
    running = worker.begin(FRESH)
    worker.pool.stop_growing()
    worker.end(running)
    assert worker.spares == [] and all(executor.is_retiring for executor in worker.pool.executors)


def test_a_new_generation_ends_them_and_forks_none_before_a_job_has_come(quay: Any) -> None:
    worker = quay(2)
    worker.end(worker.begin(FRESH))
    worker.pool.move_on(1)
    worker.turn()
    assert worker.spares == []
    assert worker.begin(FRESH).kind.generation == 1


def test_a_spare_that_dies_is_no_crash_and_delays_no_job(quay: Any, clock: Clock) -> None:
    worker = quay(2)
    worker.end(worker.begin(FRESH))
    clock.now += CAME_UP_S
    for spare in worker.spares:
        worker.die(spare, -9)
    worker.turn()
    assert worker.spares == [], "not replaced before there is a job: whatever kills them would go on"
    worker.end(worker.begin(FRESH))
    assert len(worker.spares) == 2


def test_executors_that_die_as_they_come_up_are_not_forked_again_at_once(quay: Any, clock: Clock) -> None:
    worker = quay(2)
    worker.end(worker.begin(FRESH))
    for spare in worker.spares:
        worker.die(spare, 1)
    worker.pool.take([held_by(FRESH)])
    worker.turn()
    assert worker.spares == [] and worker.pool.next_scan < clock.now + 10


def test_no_spare_is_asked_for_twice_while_nobody_can_fork(quay: Any) -> None:
    worker = quay(2)
    running = worker.begin(FRESH)
    worker.zygote.is_there = False
    worker.end(running)
    worker.begin(FRESH)
    assert len(worker.spares) == 1 and len(worker.pool.executors) == 2
