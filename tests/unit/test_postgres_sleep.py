"""Sleepers of the PostgreSQL backend: when a bell is enough, and when they look."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from math import inf

import pytest

from narrowboat.backends.base import Wakeup, Want
from narrowboat.backends.postgres import sleep
from narrowboat.backends.postgres.bells import Bells, Sleeper, cancel_bell, queue_bell, soon_bell
from narrowboat.backends.postgres.sleep import FEW, Look, Waits
from tests.support.processes import wait_for

WANT = Want("images", frozenset(["a.task"]), 1)


class Fleet:
    """A worker among so many, all idle; `looks` counts what it asked the server."""

    def __init__(self, workers: int) -> None:
        self.bells, self.workers, self.looks = Bells(), workers, 0
        self.waits = Waits(self.bells)
        self.while_looking: Callable[[], None] = lambda: None

    def look(self) -> Look:
        self.looks += 1
        self.while_looking()
        return Look(has_work=False, cancels=0, next_in_s=inf, holds=False, workers=self.workers)

    def wait(self, timeout_s: float, *, is_idle: bool = True) -> Wakeup:
        return self.waits.wait("w", [WANT] if is_idle else [], timeout_s, 0, lambda: True, self.look)

    def woken_by(self, bell: str) -> Wakeup:
        """What a wait says during which a bell rings; it ends with a look, whatever that finds."""
        self.while_looking = lambda: self.bells.call("w")
        with ThreadPoolExecutor(1) as threads:
            sleeping = threads.submit(self.wait, 10.0)
            wait_for("it to sleep", lambda: bool(self.bells._sleepers) and self.looks > 0)
            self.bells.ring(bell)
            return sleeping.result(20)


@pytest.fixture
def no_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody looks of itself for a long time, however slowly a test runs: what wakes a sleeper is a bell."""
    monkeypatch.setattr(sleep, "HEARING_S", 3600.0)


@pytest.fixture
def naps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How often somebody went to sleep, at first or again: there is one for each time, with what it lasts at most."""
    begun: list[float] = []
    real = Sleeper.sleep

    def nap(sleeper: Sleeper, seconds: float) -> None:
        begun.append(seconds)
        real(sleeper, seconds)

    monkeypatch.setattr(Sleeper, "sleep", nap)
    return begun


@pytest.mark.usefixtures("no_looks")
def test_one_of_few_workers_goes_to_claim_when_a_bell_rings() -> None:
    fleet = Fleet(FEW)
    fleet.wait(0)
    assert fleet.looks == 1
    assert fleet.woken_by(queue_bell("images")).work
    assert fleet.looks == 1


@pytest.mark.usefixtures("no_looks")
def test_one_of_many_workers_looks_first() -> None:
    fleet = Fleet(FEW + 1)
    fleet.wait(0)
    assert not fleet.woken_by(queue_bell("images")).work
    assert fleet.looks > 1


def test_workers_that_have_looked_together_do_not_go_on_so() -> None:
    fleet = Fleet(100)
    due: list[float] = []
    for _ in range(100):
        seen = fleet.waits._look("w", frozenset(), frozenset(), fleet.look)
        due.append(fleet.waits._due(seen, True, "w", False) - seen.at)
    assert 15 < sum(due) / len(due) < 25, "five looks a second, of all together"
    assert max(due) - min(due) > 30
    assert sum(moment < 10 for moment in due) > 10, "none waits until all have looked"


@pytest.mark.usefixtures("no_looks")
def test_a_bell_for_what_is_not_due_is_looked_into() -> None:
    fleet = Fleet(1)
    fleet.wait(0)
    assert not fleet.woken_by(soon_bell("images")).work
    assert fleet.looks > 1


@pytest.mark.usefixtures("no_looks")
def test_a_bell_that_rang_before_the_wait_is_looked_into() -> None:
    fleet = Fleet(1)
    fleet.wait(0)
    fleet.bells.ring(queue_bell("images"))
    fleet.while_looking = lambda: fleet.bells.call("w")  # that is the end of the wait
    assert not fleet.wait(10.0).work
    assert fleet.looks > 1


@pytest.mark.usefixtures("no_looks")
def test_one_bell_sends_to_claim_once() -> None:
    fleet = Fleet(1)
    fleet.wait(0)
    assert fleet.woken_by(queue_bell("images")).work
    assert not fleet.wait(0.1).work


@pytest.mark.usefixtures("no_looks")
def test_a_claim_is_not_looked_into_by_who_waits_for_cancels(naps: list[float]) -> None:
    fleet = Fleet(1)
    fleet.wait(0.01, is_idle=False)
    fleet.waits.wait("w", [], 0, 0, lambda: True, fleet.look)
    looks = fleet.looks
    naps.clear()
    with ThreadPoolExecutor(1) as threads:
        sleeping = threads.submit(fleet.wait, 10.0, is_idle=False)
        wait_for("it to sleep", lambda: naps)
        fleet.waits.holds("w")
        wait_for("it to have woken, and to sleep again", lambda: len(naps) > 1)
        fleet.bells.close()
        sleeping.result(10)
    assert fleet.looks == looks


def test_a_claim_during_a_look_is_not_forgotten() -> None:
    fleet = Fleet(1)
    fleet.waits.holds("w")
    fleet.while_looking = lambda: fleet.waits.holds("w")
    fleet.wait(0)
    assert fleet.waits._holds["w"]


def test_who_holds_jobs_hears_of_a_cancel() -> None:
    fleet = Fleet(1)
    fleet.wait(0, is_idle=False)
    looks = fleet.looks
    with ThreadPoolExecutor(1) as threads:
        sleeping = threads.submit(fleet.wait, 10.0, is_idle=False)
        wait_for("it to sleep", lambda: bool(fleet.bells._sleepers))
        fleet.bells.ring(cancel_bell("w"))
        wait_for("a look", lambda: fleet.looks > looks)
        fleet.bells.close()
        sleeping.result(10)
