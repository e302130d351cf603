"""Each due time of a schedule makes exactly one job, whoever looks, however late, and whoever dies in between."""

from __future__ import annotations

import contextlib
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings

from narrowboat.backends.base import Backend, Filter
from narrowboat.core.firing import job_for
from narrowboat.core.schedule import Plan, Schedule, latest_until, next_after, plan
from narrowboat.core.task import TaskSpec
from tests.property.test_controls import memory, postgres, redis, sqlite

START = 1_800_000_000.0
EVERY = Schedule("*/2 * * * *").spec("often")
TASK = TaskSpec(name="t.often", schedules=(EVERY,))


class Look(NamedTuple):
    """A worker looks, after a while, by a clock that is off; it dies before it fires, or does not hear that it did."""

    after_s: float
    off_s: float
    dies: bool
    repeats: bool


looks = st.lists(
    st.builds(
        Look,
        st.integers(1, 90).map(float),
        st.sampled_from((0.0, 0.0, -20.0, 45.0)),
        st.booleans(),
        st.booleans(),
    ),
    min_size=5,
    max_size=40,
)


@pytest.mark.parametrize("make", [memory, sqlite, redis, postgres])
@settings(max_examples=20, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
@given(story=looks)
def test_each_time_makes_one_job(
    make: Callable[[Path], Backend], tmp_path_factory: pytest.TempPathFactory, story: list[Look]
) -> None:
    folder = Path(tempfile.mkdtemp(dir=tmp_path_factory.getbasetemp()))
    with contextlib.closing(make(folder)) as backend:
        now, made = START, Counter[float]()
        for look in story:
            now += look.after_s
            todo = plan(EVERY, backend.schedules([EVERY.key])[EVERY.key], now + look.off_s)
            if todo.due is None or look.dies:
                continue
            job = job_for(TASK, EVERY) if todo.runs else None
            is_fired = backend.fire(EVERY.key, todo.due, job, now=now)
            assert not (is_fired and todo.due > now), "before its time"
            made[todo.due] += is_fired and todo.runs
            if not look.off_s:
                last = backend.schedules([EVERY.key])[EVERY.key].last
                assert last >= latest_until(EVERY, now), "a look in order leaves nothing due"
            if look.repeats:  # the reply was lost
                assert not backend.fire(EVERY.key, todo.due, job_for(TASK, EVERY), now=now)
        jobs = backend.find(Filter(tag="schedule:often"), limit=1000).jobs
        assert set(made.values()) <= {0, 1}, "a time made two jobs"
        assert len(jobs) == made.total()
        assert backend.audit() == []


class Move(NamedTuple):
    """One of three planners, after a while: it makes a plan, fires it, fires it and hears nothing, or forgets it."""

    after_s: float
    planner: int
    what: str


moves = st.lists(
    st.builds(
        Move,
        st.sampled_from((0.0, 0.5, 7.0, 40.0, 121.0, 300.0)),
        st.integers(0, 2),
        st.sampled_from(("plan", "plan", "fire", "fire", "fire unheard", "die")),
    ),
    min_size=5,
    max_size=60,
)


class Fleet:
    """Three planners, whose plans may be old when they fire them, and what is to become of each."""

    def __init__(self, backend: Backend) -> None:
        self.backend, self.now, self.last = backend, START, 0.0
        self.plans: list[Plan | None] = [None] * 3
        self.expected: list[float] = []
        self.made: list[float] = []

    def move(self, move: Move) -> None:
        self.now += move.after_s
        if move.what == "plan":
            self.plans[move.planner] = plan(EVERY, self.backend.schedules([EVERY.key])[EVERY.key], self.now)
        elif move.what == "die":
            self.plans[move.planner] = None
        elif (todo := self.plans[move.planner]) is not None and todo.due is not None:
            is_first = todo.due > self.last
            is_fired = self.backend.fire(EVERY.key, todo.due, job_for(TASK, EVERY) if todo.runs else None, now=self.now)
            assert is_fired == is_first, "the first to fire a time makes its job, and nobody after"
            self.last = max(self.last, todo.due)
            self.expected += [todo.due] if is_first and todo.runs else []
            self.made += [todo.due] if is_fired and todo.runs else []
            if move.what == "fire":
                self.plans[move.planner] = None


@pytest.mark.parametrize("make", [memory, sqlite, redis, postgres])
@settings(max_examples=25, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
@given(story=moves)
def test_three_planners_in_any_order_make_each_time_once(
    make: Callable[[Path], Backend], tmp_path_factory: pytest.TempPathFactory, story: list[Move]
) -> None:
    folder = Path(tempfile.mkdtemp(dir=tmp_path_factory.getbasetemp()))
    with contextlib.closing(make(folder)) as backend:
        fleet = Fleet(backend)
        for move in story:
            fleet.move(move)
        for planner in range(3):  # nothing is due any more, whatever was planned and not fired
            fleet.move(Move(0.0, planner, "plan"))
            fleet.move(Move(0.0, planner, "fire"))
        begun = len(fleet.made)
        assert fleet.last >= latest_until(EVERY, fleet.now)
        due = [next_after(EVERY, fleet.now)]
        due += [next_after(EVERY, due[0]), next_after(EVERY, due[0] + 120)]
        for moment in due:  # and from here on, all look at each time
            for what in ("plan", "fire unheard", "fire"):
                for planner in range(3):
                    fleet.move(Move(max(0.0, moment - fleet.now), planner, what))
        assert fleet.made == fleet.expected == sorted(set(fleet.made)), "in order, and none twice"
        assert fleet.made[begun:] == due
        assert all(latest_until(EVERY, moment) == moment for moment in fleet.made), "only due times"
        jobs = backend.find(Filter(tag="schedule:often"), limit=1000).jobs
        assert len(jobs) == len(fleet.made)
        assert backend.audit() == []
