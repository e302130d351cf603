"""Laws of controls, whatever workers do and whenever they die: rates, limits and breakers keep their word.

Time is the test's. Workers take part in any order; some vanish with what they hold, and others take that over.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, example, given, settings

from narrowboat.backends.base import Backend
from narrowboat.backends.memory import MemoryBackend
from narrowboat.backends.sqlite import SQLiteBackend
from narrowboat.backends.urls import open_backend
from narrowboat.core.controls import BreakerSpec, Controls, LimitSpec, RateSpec
from narrowboat.core.job import Claim
from narrowboat.testing.conformance.bench import Bench, BenchWorker, crashed, failed, released, succeeded
from tests.support import postgres_server
from tests.support.servers import shared_redis

EPSILON = 1e-6


class Act(NamedTuple):
    """What one worker does, after a while: claims, ends some of what it holds, vanishes, or rescues what is left."""

    after_s: float
    worker: int
    claims: int
    ends: int
    how: str


acts = st.lists(
    st.builds(
        Act,
        st.floats(0, 3, allow_nan=False).map(lambda s: round(s, 3)),
        st.integers(0, 2),
        st.integers(0, 6),
        st.integers(0, 4),
        st.sampled_from(("succeed", "succeed", "fail", "trip", "trip", "crash", "release", "vanish", "rescue")),
    ),
    min_size=5,
    max_size=25,
)
ENDS = {"succeed": succeeded, "fail": failed, "crash": crashed, "release": released}


def memory(_: Path) -> Backend:
    return MemoryBackend()


def sqlite(folder: Path) -> Backend:
    return SQLiteBackend(Path(tempfile.mkdtemp(dir=folder)) / "nb.db", durability="normal")


def redis(_: Path) -> Backend:
    return open_backend(shared_redis().namespace())


def postgres(_: Path) -> Backend:
    server = postgres_server.shared_server()
    postgres_server.empty(server, "laws")
    return open_backend(f"{server.url}&schema=laws&listen=no")


class Story:
    """Three workers, and all that was claimed when."""

    def __init__(self, bench: Bench, controls: Controls, offsets_s: Sequence[float]) -> None:
        self.bench, self.controls, self.offsets_s = bench, controls, offsets_s
        self.lost: dict[str, list[Claim]] = {}  # of workers that have vanished, until they are rescued
        self.workers = [self._new() for _ in range(3)]
        self.held: list[list[Claim]] = [[], [], []]
        self.claimed_at: list[float] = []
        bench.add_many(200)

    def _new(self) -> BenchWorker:
        return self.bench.worker(controls=self.controls)

    def play(self, act: Act) -> None:
        self.bench.later(act.after_s)
        for worker, held in zip(self.workers, self.held, strict=True):
            worker.extend(*held)
        for lost in self.lost:  # its lease holds: nobody has noticed yet
            self.bench.backend.extend(lost, 0, [], now=self.bench.now)
        self.bench.now += self.offsets_s[act.worker]
        try:
            self._act(act)
        finally:
            self.bench.now -= self.offsets_s[act.worker]

    def _act(self, act: Act) -> None:
        worker, held = self.workers[act.worker], self.held[act.worker]
        if act.how == "vanish":
            self.lost[worker.id] = held
            self.workers[act.worker], self.held[act.worker] = self._new(), []
            return
        if act.how == "rescue":
            rescued = worker.rescue(dead=list(self.lost))
            assert {claim.id for claim in rescued} == {claim.id for held in self.lost.values() for claim in held}
            self.lost.clear()
            worker.settle(*(crashed(claim) for claim in rescued))
            return
        ending, self.held[act.worker] = held[: act.ends], held[act.ends :]
        ends = [failed(claim, trips=True) if act.how == "trip" else ENDS[act.how](claim) for claim in ending]
        reply = worker.step(ends, wants=[worker.want(act.claims)] if act.claims else [])
        assert reply.refused == ()
        self.held[act.worker] += reply.claimed
        self.claimed_at += [self.bench.now - self.offsets_s[act.worker]] * len(reply.claimed)

    @property
    def running(self) -> int:
        return sum(map(len, self.held)) + sum(map(len, self.lost.values()))


def told(
    make: Callable[[Path], Backend],
    folder: Path,
    controls: Controls,
    story: list[Act],
    offsets_s: Sequence[float] = (0.0, 0.0, 0.0),
) -> Story:
    with Bench(lambda: make(folder)) as bench:
        found = Story(bench, controls, offsets_s)
        for act in story:
            found.play(act)
            check(found)
        assert bench.backend.audit() == []
        return found


def check(story: Story) -> None:
    """The laws, after each act."""
    limit, rate, breaker = story.controls.limit, story.controls.rate, story.controls.breaker
    if limit is not None:
        assert story.running <= limit.most
    if rate is not None:
        times = story.claimed_at
        for first, start in enumerate(times):
            n = len(times) - first
            while_s = times[-1] - start + max(story.offsets_s) - min(story.offsets_s)
            assert n <= rate.burst + while_s / rate.interval_s + EPSILON, (n, start, times[-1])
    if breaker is not None:
        meter = story.bench.backend.meters([f"breaker:{breaker.key}"])[f"breaker:{breaker.key}"]
        if meter.until and meter.since < story.bench.now < meter.until:
            assert not meter.probe
        if meter.probe:
            assert any(claim.id == meter.probe for held in [*story.held, *story.lost.values()] for claim in held)
        assert len(meter.failures) < breaker.failures


EACH = pytest.mark.parametrize("make", [memory, sqlite, redis, postgres])
LAWS = settings(
    max_examples=25, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)


@EACH
@LAWS
@given(
    story=acts,
    burst=st.integers(1, 4),
    interval_s=st.sampled_from((0.3, 1.0, 2.5)),
    offsets_s=st.sampled_from(((0.0, 0.0, 0.0), (0.0, 0.4, -0.7), (5.0, 0.0, 0.0))),
)
def test_in_any_while_no_more_begin_than_the_rate_lets(
    make: Callable[[Path], Backend],
    tmp_path_factory: pytest.TempPathFactory,
    story: list[Act],
    burst: int,
    interval_s: float,
    offsets_s: tuple[float, ...],
) -> None:
    """Clocks that differ add what they differ by; those of Redis and PostgreSQL are the server's, and do not."""
    rate = RateSpec(key="r", interval_s=interval_s, burst=burst)
    told(make, tmp_path_factory.getbasetemp(), Controls(rate=rate), story, offsets_s)


@EACH
@LAWS
@given(story=acts, most=st.integers(1, 4))
def test_no_more_run_than_the_limit_lets(
    make: Callable[[Path], Backend], tmp_path_factory: pytest.TempPathFactory, story: list[Act], most: int
) -> None:
    found = told(make, tmp_path_factory.getbasetemp(), Controls(limit=LimitSpec(key="l", most=most)), story)
    assert found.running <= most


@EACH
@LAWS
@given(story=acts, failures=st.integers(1, 4))
@example(story=[Act(0.0, 0, 6, 0, "trip"), Act(0.0, 0, 0, 4, "trip"), Act(2.0, 1, 6, 0, "trip")], failures=2)
def test_a_breaker_lets_one_try_at_a_time(
    make: Callable[[Path], Backend], tmp_path_factory: pytest.TempPathFactory, story: list[Act], failures: int
) -> None:
    breaker = BreakerSpec(key="b", failures=failures, within_s=5.0, retry_after_s=2.0)
    told(make, tmp_path_factory.getbasetemp(), Controls(breaker=breaker), story)
