"""Promise 5: a timeout, a cancel and a shutdown really stop the work, and a drain hands back what is left."""

from __future__ import annotations

import signal
import time

import pytest

from narrowboat import JobFailed
from narrowboat.core.states import State
from tests.support.processes import is_alive, running_worker, wait_for

from .conftest import Harbour


def test_a_task_that_spins_in_c_with_all_signals_blocked_is_gone_two_seconds_after_its_timeout(
    harbour: Harbour,
) -> None:
    marker = harbour.folder / "pid"
    with running_worker("harbour:app", harbour.url, harbour.folder, "-n", "2") as worker:
        harbour.module.load.enqueue(str(harbour.folder / "ledger"), 0.0).wait(20)
        [pid] = worker.executors()  # the one that is going to spin
        job = harbour.module.spin_in_c.enqueue(str(marker)).wait(20)
        assert marker.exists()
        wait_for("its end", lambda: not is_alive(pid))
        # Two seconds, and a little more where the machine is busy. A loop that looked every TICK_S would take five.
        assert job.record.finished_at - job.record.started_at < 1 + 2 + 1.5
        assert (job.state, job.record.reason, job.record.crashes) == (State.DEAD, "crashed: timeout", 1)


def test_a_task_may_tidy_up_when_its_time_is_over(harbour: Harbour) -> None:
    marker = harbour.folder / "tidy"
    with running_worker("harbour:app", harbour.url, harbour.folder, "-n", "1"):
        job = harbour.module.tidy_up.enqueue(str(marker)).wait(20)
        assert marker.read_text() == "tidied"
        assert job.record.reason == "crashed: timeout"
        with pytest.raises(JobFailed, match="timeout"):
            _ = job.result


def test_a_running_job_is_cancelled_soon(harbour: Harbour) -> None:
    with running_worker("harbour:app", harbour.url, harbour.folder, "-n", "1") as worker:
        job = harbour.module.wait_for_file.enqueue(str(harbour.folder / "never"))
        wait_for("the job to run", lambda: job.refresh().progress)
        began = time.monotonic()
        assert job.cancel("changed my mind") is State.RUNNING
        job.wait(20)
        assert time.monotonic() - began < 4.5, "about a second; who is not told hears of it with a third of the lease"
        assert (job.state, job.record.reason) == (State.CANCELLED, "changed my mind")
        assert worker.stop() == 0


def test_a_running_job_that_ignores_its_cancel_is_killed(harbour: Harbour) -> None:
    marker = harbour.folder / "pid"
    with running_worker("harbour:app", harbour.url, harbour.folder, "-n", "1") as worker:
        job = harbour.module.spin_for_long.enqueue(str(marker))
        wait_for("the spinning executor", lambda: marker.exists() and marker.read_text())
        [pid] = worker.executors()
        job.cancel()
        wait_for("its end", lambda: not is_alive(pid))
        assert job.wait(20).state is State.CANCELLED


def test_a_drain_finishes_what_runs_and_hands_back_the_rest_uncharged(harbour: Harbour) -> None:
    ledger, go = str(harbour.folder / "ledger"), harbour.folder / "go"
    with running_worker("harbour:app", harbour.url, harbour.folder, "-n", "1", "--drain", "30s") as worker:
        running = harbour.module.load_until.enqueue(ledger, str(go))
        wait_for("it to run", lambda: running.refresh().record.started_at)
        waiting = harbour.app.enqueue_many([harbour.module.load.job(ledger, 0.0) for _ in range(20)])
        worker.signal(signal.SIGTERM)
        wait_for("the drain", lambda: "stopping" in worker.output())
        go.touch()
        assert worker.process.wait(40) == 0
        assert running.refresh().state is State.SUCCEEDED
        states = {job.refresh().state for job in waiting}
        assert states == {State.QUEUED}
        assert all(job.record.crashes == job.record.errors == 0 for job in waiting)
        assert harbour.backend.workers() == []


def test_what_does_not_finish_in_the_drain_is_handed_back_uncharged(harbour: Harbour) -> None:
    with running_worker("harbour:app", harbour.url, harbour.folder, "-n", "1", "--drain", "1.5s") as worker:
        job = harbour.module.wait_for_file.enqueue(str(harbour.folder / "never"))
        wait_for("it to run", lambda: job.refresh().progress)
        assert worker.stop() == 0
        record = job.refresh().record
        assert (record.state, record.errors, record.crashes) == (State.QUEUED, 0, 0)


def test_a_second_signal_hands_back_now(harbour: Harbour) -> None:
    with running_worker("harbour:app", harbour.url, harbour.folder, "-n", "1", "--drain", "10m") as worker:
        job = harbour.module.wait_for_file.enqueue(str(harbour.folder / "never"))
        wait_for("it to run", lambda: job.refresh().progress)
        worker.signal(signal.SIGTERM)
        wait_for("the drain", lambda: "stopping" in worker.output())
        assert worker.process.poll() is None
        worker.signal(signal.SIGINT)
        assert worker.process.wait(40) == 0
        assert job.refresh().state is State.QUEUED
