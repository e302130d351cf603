"""Watch: sleep until a job changes; what changed before counts too."""

from __future__ import annotations

import time

from ...core.job import JobSummary, Progress
from ...core.states import State
from .bench import Bench, succeeded
from .sleepers import PROMPT_S


def test_a_watch_answers_at_once_when_a_job_is_newer_already(bench: Bench) -> None:
    job_id = bench.add(args=b'{"n":1}')
    [seen] = bench.backend.watch({job_id: 0}, 30.0, now=bench.now)
    assert (seen.id, seen.state) == (job_id, State.QUEUED)
    assert type(seen) is JobSummary, "never the arguments"
    assert seen.revision == bench.job(job_id).revision


def test_a_watch_without_change_ends_when_its_time_is_up(bench: Bench) -> None:
    job_id = bench.add()
    assert bench.backend.watch({job_id: bench.job(job_id).revision}, 0.1, now=bench.now) == []
    assert bench.backend.watch({job_id: bench.job(job_id).revision}, 0, now=bench.now) == []


def test_each_change_wakes_a_watch(bench: Bench) -> None:
    job_id = bench.add()
    worker = bench.worker()

    def watch(revision: int) -> list[JobSummary]:
        return bench.backend.watch({job_id: revision}, 30.0, now=bench.now)

    def next_change(deed: object) -> JobSummary:
        assert callable(deed)
        revision = bench.job(job_id).revision
        [seen] = bench.woken_by(deed, lambda: watch(revision))
        assert seen.revision > revision
        return seen

    assert next_change(worker.claim_one).state is State.RUNNING
    [claim] = worker.step_again().claimed
    assert next_change(lambda: worker.step(started=[claim])).started_at == bench.now
    seen = next_change(lambda: worker.step(progress=[(claim, Progress(1, 2, "half"))]))
    assert seen.progress == Progress(1, 2, "half")
    assert next_change(lambda: bench.backend.cancel([job_id], now=bench.now)).is_cancel_asked
    assert next_change(lambda: worker.settle(succeeded(claim))).state is State.SUCCEEDED


def test_a_watch_answers_with_all_that_changed_and_only_that(bench: Bench) -> None:
    still, one, two = bench.add_many(3)
    known = {job_id: bench.job(job_id).revision for job_id in (still, one, two)}
    bench.backend.cancel([one, two], now=bench.now)
    changed = bench.backend.watch(known, 30.0, now=bench.now)
    assert {job.id: job.state for job in changed} == {one: State.CANCELLED, two: State.CANCELLED}


def test_jobs_that_do_not_exist_never_change(bench: Bench) -> None:
    assert bench.backend.watch({bench.new().id: 0}, 0.05, now=bench.now) == []
    job_id = bench.add()
    assert [job.id for job in bench.backend.watch({bench.new().id: 0, job_id: 0}, 30.0, now=bench.now)] == [job_id]


def test_a_watch_may_begin_before_the_job_is_there(bench: Bench) -> None:
    new = bench.new()

    def watch() -> list[JobSummary]:
        return bench.backend.watch({new.id: 0}, 30.0, now=bench.now)

    [seen] = bench.woken_by(lambda: bench.backend.enqueue([new], now=bench.now), watch)
    assert seen.id == new.id


def test_a_watch_is_ended_by_being_roused_before_or_while_it_lasts(bench: Bench) -> None:
    known = {job_id: bench.job(job_id).revision for job_id in bench.add_many(2)}

    def watch() -> list[JobSummary]:
        return bench.backend.watch(known, 30.0, now=bench.now, watcher="me")

    bench.backend.rouse("me")
    assert bench.meanwhile(watch).result(timeout=PROMPT_S) == []
    assert bench.woken_by(lambda: bench.backend.rouse("me"), watch) == []
    began = time.monotonic()
    assert bench.backend.watch(known, 0.2, now=bench.now, watcher="me") == []
    assert time.monotonic() - began >= 0.19, "once only"


def test_a_roused_watch_answers_with_what_has_changed_by_then(bench: Bench) -> None:
    job_id = bench.add()
    bench.backend.rouse("me")
    assert [job.id for job in bench.backend.watch({job_id: 0}, 30.0, now=bench.now, watcher="me")] == [job_id]


def test_being_roused_ends_no_watch_of_another_name_or_of_none(bench: Bench) -> None:
    known = {job_id: bench.job(job_id).revision for job_id in [bench.add()]}
    began = time.monotonic()
    watches = [
        bench.meanwhile(lambda name=name: bench.backend.watch(known, 0.3, now=bench.now, watcher=name))
        for name in ("other", "")
    ]
    bench.backend.rouse("me")
    assert [watch.result(timeout=30) for watch in watches] == [[], []]
    assert time.monotonic() - began >= 0.29


def test_a_watch_of_nothing_is_answered_by_nothing(bench: Bench) -> None:
    assert bench.backend.watch({}, 0, now=bench.now) == []
