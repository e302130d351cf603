"""Executors that are locked in before an untrusted job is there."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from narrowboat.core.states import State
from tests.support.processes import WorkerProcess, is_alive, running_worker, wait_for

from .conftest import Harbour

pytestmark = pytest.mark.linux


def inner_pid(pid: int) -> int:
    """The number that a process has in its own namespace. Raises FileNotFoundError for one that is gone."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("NSpid:"):
            return int(line.split()[-1])
    raise AssertionError("no NSpid in /proc/PID/status")


def spares(worker: WorkerProcess, count: int) -> list[int]:
    """The pids of its executors, as soon as there are so many."""
    return wait_for(f"{count} executors", lambda: len(pids := worker.executors()) == count and pids)


def two_besides(worker: WorkerProcess, seen: set[int]) -> dict[int, int]:
    """Its executors by their own numbers, if they are two and none has run anything: one that has is about to end."""
    try:
        found = {inner_pid(pid): pid for pid in worker.executors()}
    except FileNotFoundError:
        return {}
    return found if len(found) == 2 and not found.keys() & seen else {}


def test_each_untrusted_attempt_has_a_process_that_was_ready_before_it(harbour: Harbour) -> None:
    with running_worker("harbour:app", harbour.url, harbour.folder, "-n", "2") as worker:
        assert worker.executors() == [], "nothing is forked for a task that was never run"
        seen = {harbour.module.once.enqueue().wait(30).result}
        for _ in range(5):
            ready = wait_for("two new ones", lambda: two_besides(worker, seen))
            pid = harbour.module.once.enqueue().wait(30).result
            assert pid in ready
            seen.add(pid)
        assert len(seen) == 6
        left = spares(worker, 2)
        assert worker.stop() == 0
    wait_for("what was killed with it to be gone", lambda: not any(is_alive(pid) for pid in left))


def test_a_drain_ends_spares_at_once_and_the_job_in_its_time(harbour: Harbour) -> None:
    with running_worker("harbour:app", harbour.url, harbour.folder, "-n", "2") as worker:
        job = harbour.module.once.enqueue(str(harbour.folder / "go"))
        wait_for("it to run", lambda: job.refresh().progress)
        spares(worker, 3)
        worker.signal(signal.SIGTERM)
        spares(worker, 1)
        (harbour.folder / "go").touch()
        assert worker.process.wait(20) == 0
        assert job.refresh().state is State.SUCCEEDED


def test_spares_that_are_killed_cost_no_job_anything(harbour: Harbour) -> None:
    with running_worker("harbour:app", harbour.url, harbour.folder, "-n", "2") as worker:
        seen = {harbour.module.once.enqueue().wait(20).result}
        for pid in wait_for("two spares", lambda: two_besides(worker, seen)).values():
            os.kill(pid, signal.SIGKILL)
        job = harbour.module.once.enqueue().wait(20)
        assert (job.record.crashes, job.record.errors, job.record.attempts) == (0, 0, 1)
