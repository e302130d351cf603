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
from narrowboat.core.schedule import Schedule, latest_until, plan
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
