"""How sleepers look: seldom, and the more so the more workers there are, so that a fleet costs what a few do.

Hints make a look come sooner; that a look comes is not left to them.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf

from ...core.errors import BackendUnavailable
from ...core.job import JobSummary
from ..base import Wakeup, Want
from .bells import EVERY_QUEUE, JOBS, Bells, Sleeper, cancel_bell, queue_bell, soon_bell

FLEET_LOOKS = 5.0  # looks a second that all idle workers make together, if that is not more than SOONEST_S allows
SOONEST_S = 0.1  # between two looks of one that hears nothing
HEARING_S = 5.0  # between two looks of one that hears
CANCEL_S = 0.8  # between two looks for cancels of one that hears nothing, while it holds jobs
FEW = 4  # workers that go and claim when a bell rings, and do not look first whether others have been quicker
HERD_S = 0.005  # times the number of other workers: between two looks of one that is woken again and again
AFTERWARDS_S = 0.01  # a hint that came just before this one was perhaps held back: so much later is a second look
WATCH_SOONEST_S, WATCH_LATEST_S = 0.01, 0.25
LEISURE = 20  # a watch of many jobs, whose look takes long, rests so many times as long


@dataclass(frozen=True, slots=True)
class Look:
    """What one look found; next_in_s: when time alone will bring work."""

    has_work: bool
    cancels: int
    next_in_s: float
    holds: bool
    workers: int


@dataclass(slots=True)
class _Seen:
    """The last look of a sleeper, for what, when, how often its bells had rung before, and when it was last woken.

    pace: 1 on average. Workers that were started together must not go on to look together, and then none for long.
    """

    wants: frozenset[tuple[str, frozenset[str], bool]]
    look: Look
    at: float
    rung: int
    woken_at: float
    pace: float


class Waits:
    """The waits of this process's workers."""

    def __init__(self, bells: Bells) -> None:
        self._bells = bells
        self._seen: dict[tuple[str, bool], _Seen] = {}
        self._holds: dict[str, bool] = {}
        self._claims: Counter[str] = Counter()

    def holds(self, worker: str) -> None:
        """A worker of this process has got jobs: its cancels are to be looked for."""
        self._claims[worker] += 1
        if not self._holds.get(worker):
            self._holds[worker] = True
            self._bells.ring(_got(worker))

    def wait(
        self,
        worker: str,
        wants: Sequence[Want],
        timeout_s: float,
        cancels: int,
        hears: Callable[[], bool],
        look: Callable[[], Look],
    ) -> Wakeup:
        """Sleep until there is work, or more cancels than these, or the time is up, or the worker is roused."""
        began = time.monotonic()
        until = began + timeout_s
        of_work = frozenset(queue_bell(want.queue) for want in wants)
        of_time = [EVERY_QUEUE, *(soon_bell(want.queue) for want in wants)] if wants else []
        bells = of_work.union(of_time, [cancel_bell(worker)])
        wanted = frozenset((want.queue, want.tasks, want.n > 0) for want in wants)
        with self._bells.sleeping(worker if wants else "", bells if wants else bells | {_got(worker)}) as sleeper:
            seen = self._seen.get((worker, bool(wants)))
            if (
                seen is None
                or seen.wants != wanted
                or timeout_s <= 0
                or seen.look.has_work
                or seen.look.cancels > cancels
            ):
                seen = self._look(worker, wanted, bells, look)
            looked_for = self._bells.rung(bells) if seen.rung == self._bells.rung(bells) else -1
            while True:
                if seen.look.has_work or seen.look.cancels > cancels or sleeper.is_called or self._bells.is_closed:
                    return _woken(seen)
                now = time.monotonic()
                if now >= until:
                    return _woken(seen)
                rung = self._bells.rung(bells)
                one_of_a_herd = seen.woken_at + HERD_S * max(0, seen.look.workers - 1) * random.random()
                in_peace = self._due(seen, bool(wants), worker, hears())
                due = min(in_peace, self._afterwards(seen, bells, one_of_a_herd))
                soonest = min(due, one_of_a_herd) if rung != looked_for else due
                if now < soonest:
                    sleeper.sleep(min(soonest, until) - now)
                    continue
                is_told = self._bells.rung_at(of_work) > max(began, seen.woken_at)
                if is_told and now < in_peace and seen.look.workers <= FEW:  # as good as seen, and a look later
                    seen.rung, seen.woken_at = rung, now
                    return Wakeup(True, seen.look.cancels)
                looked_for = rung
                try:
                    seen = self._look(worker, wanted, bells, look)
                except BackendUnavailable:
                    if not self._bells.is_closed:  # else closing has taken its connection away
                        raise
                    return Wakeup(False, cancels)

    def _look(
        self,
        worker: str,
        wanted: frozenset[tuple[str, frozenset[str], bool]],
        bells: frozenset[str],
        look: Callable[[], Look],
    ) -> _Seen:
        rung, at, claims = self._bells.rung(bells), time.monotonic(), self._claims[worker]
        found = look()
        self._holds[worker] = found.holds or self._claims[worker] != claims
        seen = self._seen[worker, bool(wanted)] = _Seen(wanted, found, at, rung, at, 2 * random.random())
        return seen

    def _afterwards(self, seen: _Seen, bells: frozenset[str], soonest: float) -> float:
        """When to look for what was not said because something else just had been, in this wait or before it."""
        over = self._bells.rung_at(bells) + AFTERWARDS_S
        return max(over, soonest) if seen.at < over else inf

    def _due(self, seen: _Seen, is_idle: bool, worker: str, hears: bool) -> float:
        """When the next look comes if nothing rings."""
        if is_idle:
            every_s = max(HEARING_S if hears else SOONEST_S, seen.look.workers / FLEET_LOOKS * seen.pace)
            return seen.at + min(every_s, max(0.001, seen.look.next_in_s))
        if not self._holds.get(worker):
            return inf
        return seen.at + (HEARING_S if hears else CANCEL_S)


def watch(
    bells: Bells, watcher: str, timeout_s: float, look: Callable[[], list[JobSummary]], is_for_nothing: bool
) -> list[JobSummary]:
    """Look until a job has changed, the time is up, or the watcher is roused: often at first, then more seldom."""
    began = time.monotonic()
    until = began + timeout_s
    with bells.sleeping(watcher, frozenset({JOBS})) as sleeper:
        while True:
            sleeper.is_rung = False
            at = time.monotonic()
            try:
                found = [] if is_for_nothing or bells.is_closed else look()
            except BackendUnavailable:
                if not bells.is_closed:
                    raise
                return []
            now = time.monotonic()
            if found or sleeper.is_called or bells.is_closed or now >= until:
                return found
            rest_s = max(WATCH_SOONEST_S, min(WATCH_LATEST_S, (now - began) * 0.3), (now - at) * LEISURE)
            _rest(sleeper, min(until, now + rest_s), now + (now - at) * 2)


def _rest(sleeper: Sleeper, until: float, not_before: float) -> None:
    """Sleep, less long if a bell rings, but some time in any case."""
    while not sleeper.is_called and (now := time.monotonic()) < until:
        if sleeper.is_rung and now >= not_before:
            return
        sleeper.sleep((min(until, not_before) if sleeper.is_rung else until) - now)
        if not sleeper.is_rung and not sleeper.is_called:
            return


def _woken(seen: _Seen) -> Wakeup:
    again_s = seen.look.next_in_s - (time.monotonic() - seen.at)
    return Wakeup(seen.look.has_work, seen.look.cancels, max(0.0, again_s))


def _got(worker: str) -> str:
    return f"got:{worker}"
