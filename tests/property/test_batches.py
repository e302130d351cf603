"""Laws of batches, whatever workers and people do and whenever they die: the numbers are those of the jobs, and the
final job is written in the moment in which it is due, once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings

from narrowboat.backends.base import Backend, Filter
from narrowboat.core.batch import ENDED, HEADER, SUCCEEDED, BatchPart, blank, told
from narrowboat.core.job import Claim
from narrowboat.core.states import FINAL, State
from narrowboat.testing.conformance.bench import (
    OTHER_TASK,
    Bench,
    BenchWorker,
    cancelled,
    crashed,
    failed,
    released,
    succeeded,
)
from tests.property.test_controls import memory, postgres, redis, sqlite

IDS = ("01J9ZK00000000000000000ONE", "01J9ZK00000000000000000TWO")
ENDS = {
    "succeed": succeeded,
    "fail": failed,
    "die": lambda claim: crashed(claim, to=State.DEAD),
    "give up": cancelled,
    "release": released,
}


class Act(NamedTuple):
    """What somebody does: a caller writes a part of a batch, a worker works, vanishes or leaves, a person cancels or
    retries. repeats: the reply was lost, and it is asked again.
    """

    what: str
    who: int
    n: int
    how: str
    repeats: bool


acts = st.lists(
    st.builds(
        Act,
        st.sampled_from(("write", "write", "seal", "work", "work", "work", "vanish", "leave", "cancel", "retry")),
        st.integers(0, 1),
        st.integers(0, 5),
        st.sampled_from(("succeed", "succeed", "succeed", *ENDS)),
        st.booleans(),
    ),
    min_size=5,
    max_size=30,
)


class Story:
    """Two batches, two workers, and what must be true of them."""

    def __init__(self, bench: Bench, when: str) -> None:
        self.bench, self.when = bench, when
        self.thens = [bench.new(OTHER_TASK, headers={HEADER: blank(id_)}) for id_ in IDS]
        self.workers = [bench.worker() for _ in IDS]
        self.held: list[list[Claim]] = [[], []]
        self.members: list[list[str]] = [[], []]
        self.is_sealed = [False, False]
        self.finals: list[tuple[int, int, int, int] | None] = [None, None]  # the totals when each was due
        self.finished_at: list[float | None] = [None, None]

    def play(self, act: Act) -> None:
        self.bench.later(3.0)
        for worker, held in zip(self.workers, self.held, strict=True):
            worker.extend(*held)
        getattr(self, act.what)(act)

    def write(self, act: Act, is_last: bool = False) -> None:
        if self.is_sealed[act.who] and not is_last:
            return
        batch = IDS[act.who]
        jobs = [self.bench.new(batch=batch) for _ in range(act.n if not self.is_sealed[act.who] else 0)]
        part = BatchPart(id=batch, then=self.thens[act.who], when=self.when, is_last=is_last)
        for _ in range(1 + act.repeats):
            self.bench.backend.enqueue(jobs, now=self.bench.now, batches=[part])
        self.members[act.who] += [job.id for job in jobs]
        self.is_sealed[act.who] |= is_last

    def seal(self, act: Act) -> None:
        self.write(act, is_last=True)

    def work(self, act: Act) -> None:
        worker, held = self.workers[act.who], self.held[act.who]
        ending, self.held[act.who] = held[: act.n], held[act.n :]
        reply = worker.step([ENDS[act.how](claim) for claim in ending], wants=[worker.want(act.n)])
        assert reply.refused == ()
        if act.repeats:
            assert worker.step_again().claimed == reply.claimed
        self.held[act.who] += reply.claimed

    def vanish(self, act: Act) -> None:
        lost = self.workers[act.who]
        self.workers[act.who], self.held[act.who] = self.bench.worker(), []
        rescued = self.workers[act.who].rescue(dead=[lost.id])
        self._settle_each(self.workers[act.who], [ENDS[act.how](claim) for claim in rescued])

    def leave(self, act: Act) -> None:
        self.workers[act.who].leave()
        self.workers[act.who], self.held[act.who] = self.bench.worker(), []

    def cancel(self, act: Act) -> None:
        for _ in range(1 + act.repeats):
            self.bench.backend.cancel(self.members[act.who][: act.n], now=self.bench.now)

    def retry(self, act: Act) -> None:
        for _ in range(1 + act.repeats):
            self.bench.backend.retry(self.members[act.who], now=self.bench.now)

    def to_the_end(self) -> None:
        """Both batches are sealed, and each job succeeds at last: what is held, what waits, what a person retries."""
        for who in range(2):
            self.play(Act("seal", who, 1, "succeed", False))
            self.check()
        for _ in range(100):
            if all(batch is not None and batch.succeeded == batch.total for batch in self.bench.backend.batches(IDS)):
                return
            for who in range(2):
                for what in ("retry", "work"):
                    self.play(Act(what, who, 5, "succeed", False))
                    self.check()
        raise AssertionError("some job never succeeded")

    def _settle_each(self, worker: BenchWorker, ends: list[object]) -> None:
        for end in ends:
            assert worker.settle(end) == ()  # type: ignore[arg-type]
            self.check()

    def check(self) -> None:
        """The laws, after each act."""
        found = self.bench.backend.batches(IDS)
        there = {job.id for job in self.bench.backend.find(Filter(task=OTHER_TASK), now=self.bench.now).jobs}
        for n, batch in enumerate(found):
            if batch is None:
                assert not self.members[n]
                continue
            counts = Counter(self.bench.states(self.members[n]))
            totals = (len(self.members[n]), counts[State.SUCCEEDED], counts[State.DEAD], counts[State.CANCELLED])
            assert (batch.total, batch.succeeded, batch.dead, batch.cancelled) == totals
            ended = sum(counts[state] for state in (FINAL if self.when == ENDED else {State.SUCCEEDED}))
            if self.is_sealed[n] and ended == batch.total and self.finals[n] is None:
                self.finals[n] = totals
                self.finished_at[n] = self.bench.now
            assert (self.thens[n].id in there) == (self.finals[n] is not None)
            assert batch.finished_at == self.finished_at[n]

    def check_what_final_jobs_are_told(self) -> None:
        """Each is claimed once, with the totals of its moment."""
        claims = self.bench.worker(tasks=(OTHER_TASK,)).claim(10)
        found = {claim.id: told(claim.headers) for claim in claims}
        assert len(claims) == len(found)
        for then, totals in zip(self.thens, self.finals, strict=True):
            batch = found.pop(then.id, None)
            assert totals == (batch and (batch.total, batch.succeeded, batch.dead, batch.cancelled))
        assert not found


@pytest.mark.parametrize("make", [memory, sqlite, redis, postgres])
@pytest.mark.parametrize("when", [SUCCEEDED, ENDED])
@settings(max_examples=30, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
@given(story=acts)
def test_the_final_job_is_written_once_in_the_moment_in_which_it_is_due(
    make: Callable[[Path], Backend], when: str, tmp_path_factory: pytest.TempPathFactory, story: list[Act]
) -> None:
    with Bench(lambda: make(tmp_path_factory.getbasetemp())) as bench:
        found = Story(bench, when)
        for act in [Act("write", 0, 4, "", False), Act("write", 1, 2, "", False), Act("seal", 1, 0, "", False), *story]:
            found.play(act)
            found.check()
        found.to_the_end()
        found.check_what_final_jobs_are_told()
        assert bench.backend.audit() == []
