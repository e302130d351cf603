"""Async tasks: many in one executor, and nobody pays for a neighbour."""

from __future__ import annotations

import time

from narrowboat.core.states import State
from tests.support.processes import running_worker, wait_for

from .conftest import Harbour


def test_many_async_jobs_share_one_slot_beside_sync_ones(harbour: Harbour) -> None:
    go = str(harbour.folder / "go")
    with running_worker("harbour:app", harbour.url, harbour.folder, "-n", "2") as worker:
        many = harbour.app.enqueue_many([harbour.module.wait_async.job(go) for _ in range(30)])
        wait_for("all of them to run", lambda: all(job.refresh().progress for job in many))
        assert len(worker.executors()) == 1
        assert harbour.module.load.enqueue(str(harbour.folder / "ledger"), 0.0).wait(30).result == 1
        (harbour.folder / "go").touch()
        assert len({job.wait(30).result for job in many}) == 1
        assert many[0].record.progress is not None


def test_each_async_job_keeps_its_own_lines(harbour: Harbour) -> None:
    with running_worker("harbour:app", harbour.url, harbour.folder, "-n", "1"):
        jobs = [harbour.module.wait_async.enqueue(str(number), seconds=0.2) for number in range(5)]
        for number, job in enumerate(jobs):
            [attempt] = job.wait(30).record.history
            assert attempt.logs == (f"waiting for {number}",)


def test_an_async_job_past_its_timeout_is_cancelled_in_the_loop_and_its_neighbours_go_on(harbour: Harbour) -> None:
    go, marker = str(harbour.folder / "go"), harbour.folder / "marker"
    with running_worker("harbour:app", harbour.url, harbour.folder, "-n", "1"):
        neighbour = harbour.module.wait_async.enqueue(go)
        wait_for("it to run", lambda: neighbour.refresh().progress)
        slow = harbour.module.too_slow.enqueue(str(marker)).wait(30)
        assert (slow.state, slow.record.reason) == (State.DEAD, "crashed: timeout")
        (harbour.folder / "go").touch()
        assert neighbour.wait(30).result == marker.read_text()  # both say which process they ran in
        assert (neighbour.record.attempts, neighbour.record.crashes) == (1, 0)


def test_one_of_many_is_cancelled_soon(harbour: Harbour) -> None:
    go = str(harbour.folder / "go")
    with running_worker("harbour:app", harbour.url, harbour.folder, "-n", "1"):
        one, other = (harbour.module.wait_async.enqueue(go) for _ in range(2))
        wait_for("both to run", lambda: one.refresh().progress and other.refresh().progress)
        began = time.monotonic()
        one.cancel("not any more")
        assert one.wait(20).record.reason == "not any more"
        assert time.monotonic() - began < 4.5, "about a second; who is not told hears of it with a third of the lease"
        (harbour.folder / "go").touch()
        assert other.wait(30).state is State.SUCCEEDED


def test_one_that_will_not_go_is_killed_and_its_neighbours_are_run_again_uncharged(harbour: Harbour) -> None:
    go, marker = str(harbour.folder / "go"), harbour.folder / "pid"
    with running_worker("harbour:app", harbour.url, harbour.folder, "-n", "1"):
        neighbours = [harbour.module.wait_async.enqueue(go) for _ in range(5)]
        job = harbour.module.stubborn.enqueue(str(marker)).wait(30)
        assert (job.state, job.record.reason) == (State.DEAD, "crashed: timeout")
        (harbour.folder / "go").touch()
        for neighbour in neighbours:
            record = neighbour.wait(30).record
            assert (record.state, record.crashes, record.errors) == (State.SUCCEEDED, 0, 0)
            assert neighbour.result != marker.read_text()


def test_a_job_that_stops_the_loop_is_found_by_running_its_neighbours_alone(harbour: Harbour) -> None:
    with running_worker("harbour:app", harbour.url, harbour.folder, "-n", "1"):
        neighbours = [harbour.module.brief.enqueue(1.0) for _ in range(3)]
        wait_for("them to run", lambda: all(job.refresh().record.started_at for job in neighbours))
        culprit = harbour.module.stand_still.enqueue()
        for neighbour in neighbours:
            record = neighbour.wait(20).record
            assert (record.state, record.crashes, record.errors) == (State.SUCCEEDED, 0, 0)
        culprit.cancel()
        culprit.wait(30)


def test_after_a_crash_of_unknown_cause_the_suspects_run_alone_and_only_the_culprit_is_charged(
    harbour: Harbour,
) -> None:
    with running_worker("harbour:app", harbour.url, harbour.folder, "-n", "1") as worker:
        neighbours = [harbour.module.wait_async.enqueue(str(harbour.folder / "go")) for _ in range(5)]
        culprit = harbour.module.crash_async.enqueue(str(harbour.folder / "now"))
        wait_for("all to run", lambda: all(job.refresh().record.started_at for job in [*neighbours, culprit]))
        (harbour.folder / "now").touch()
        wait_for("the crash of all", lambda: "each is run again alone" in worker.output())
        (harbour.folder / "go").touch()
        for neighbour in neighbours:
            record = neighbour.wait(20).record
            assert (record.state, record.crashes, record.errors) == (State.SUCCEEDED, 0, 0)
        record = culprit.wait(20).record
        assert (record.state, record.crashes) == (State.DEAD, 1)


def test_async_jobs_without_end_leave_room_for_sync_ones(harbour: Harbour) -> None:
    """One slot; async jobs that never leave it empty must give a sync job its turn."""
    with running_worker("harbour:app", harbour.url, harbour.folder, "-n", "1"):
        # For twelve seconds, since no more than fifty run at a time.
        *_, last = harbour.app.enqueue_many([harbour.module.brief.job(0.2) for _ in range(3000)])
        wait_for("the first", lambda: harbour.backend.stats()[0].counts.get(State.SUCCEEDED))
        sync = harbour.module.load.enqueue(str(harbour.folder / "ledger"), 0.0).wait(30)
        assert sync.result == 1
        ended = last.refresh().record.finished_at
        assert ended is None or ended > sync.record.finished_at, "the async jobs were not done before it"
