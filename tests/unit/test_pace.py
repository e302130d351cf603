"""The pace of a queue, from the jobs that ended lately."""

from __future__ import annotations

import pytest

from narrowboat.core.job import Ended
from narrowboat.core.pace import LATELY_S, rate, usual_s
from narrowboat.core.states import State

NOW = 1_000_000.0


def ends(*ago_s: float, took_s: float | None = 10.0, task: str = "a", state: State = State.SUCCEEDED) -> list[Ended]:
    """Jobs that ended so long ago."""
    return [
        Ended(task=task, started_at=None if took_s is None else NOW - s - took_s, finished_at=NOW - s, state=state)
        for s in ago_s
    ]


def test_one_slot_that_is_always_busy_does_a_job_in_the_time_that_a_job_takes() -> None:
    assert rate(ends(0, 10, 20), NOW) == pytest.approx(1 / 10)
    assert rate(ends(*range(0, 600, 10)), NOW) == pytest.approx(1 / 10)


def test_slots_that_end_together_are_not_taken_for_a_fast_one() -> None:
    assert rate(ends(0.002, 0.001, 0, 0), NOW) == pytest.approx(4 / 10, rel=0.01)


def test_one_job_that_ran_for_long_does_not_slow_down_the_others() -> None:
    assert rate(ends(0, 10, 20, 30) + ends(40, took_s=5000), NOW) == pytest.approx(1 / 10)


def test_a_queue_that_stands_still_gets_slower_as_time_goes_by() -> None:
    ended = ends(0, 10, 20)
    assert rate(ended, NOW + 70) == pytest.approx(3 / 100)
    assert rate(ended, NOW + LATELY_S + 1) is None


def test_few_ends_make_no_pace() -> None:
    assert rate([], NOW) is None
    assert rate(ends(0, 1), NOW) is None
    assert rate(ends(0, 1, LATELY_S + 1), NOW) is None


def test_dead_and_cancelled_jobs_have_taken_a_slot_too() -> None:
    assert rate(ends(0) + ends(10, state=State.DEAD) + ends(20, state=State.CANCELLED), NOW) == pytest.approx(1 / 10)


def test_one_task_has_a_pace_of_its_own() -> None:
    ended = ends(0, 10, 20) + ends(0, 1, 2, 3, task="b", took_s=1.0)
    assert rate(ended, NOW, "a") == pytest.approx(1 / 10)
    assert rate(ended, NOW, "b") == pytest.approx(1)
    assert rate(ended, NOW, "c") is None


def test_jobs_whose_start_is_not_known_and_that_end_at_once_still_have_a_pace() -> None:
    assert rate(ends(0, 0, 0, took_s=None), NOW) == pytest.approx(3000)


def test_what_is_usual_is_what_half_of_the_successes_took() -> None:
    ended = ends(0, 0, took_s=3.0) + ends(0, took_s=500.0) + ends(0, took_s=0.1, state=State.DEAD)
    assert usual_s(ended, "a") == 3.0
    assert usual_s(ended, "b") is None
    assert usual_s(ends(0, took_s=None), "a") is None
