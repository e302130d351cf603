"""Promise 4: every death of an executor is a recorded crash with its cause, and its neighbours do not notice."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from narrowboat import kernel
from narrowboat.core.states import State
from tests.support.processes import is_alive, running_worker, wait_for

from .conftest import Harbour


def test_each_kind_of_death_is_recorded_with_its_cause(harbour: Harbour) -> None:
    module = harbour.module
    with running_worker("harbour:app", harbour.url, harbour.folder, "-n", "2"):
        expected = {
            module.segfault.enqueue(): "SIGSEGV",
            module.die_by_signal.enqueue(signal.SIGTERM): "SIGTERM",
            module.die_by_signal.enqueue(signal.SIGKILL): "SIGKILL (from outside",
            module.die_by_signal.enqueue(signal.SIGABRT): "SIGABRT",
            module.exit_at_once.enqueue(0): "exit code 0",
            module.exit_at_once.enqueue(3): "exit code 3",
        }
        for job, cause in expected.items():
            job.wait(20)
            assert job.state is State.DEAD
            assert job.record.reason.startswith(f"crashed: {cause}"), job.record.reason
            assert (job.record.crashes, job.record.errors) == (1, 0)
        [crash] = next(job for job in expected if expected[job] == "SIGSEGV").record.history
        assert crash.error is not None
        assert "in segfault" in crash.error.traceback


def test_a_task_that_eats_memory_is_a_recorded_crash_and_its_neighbour_does_not_notice(harbour: Harbour) -> None:
    go = harbour.folder / "go"
    with running_worker("harbour:app", harbour.url, harbour.folder, "-n", "2"):
        neighbour = harbour.module.wait_for_file.enqueue(str(go))
        wait_for("the neighbour to run", lambda: neighbour.refresh().progress)
        eater = harbour.module.eat_memory.enqueue().wait(20)
        assert (eater.state, eater.record.reason) == (State.DEAD, "crashed: out of memory")
        assert eater.record.crashes == 1
        go.touch()
        assert neighbour.wait(20).result == "unharmed"
        assert neighbour.record.attempts == 1


def test_what_an_executor_leaves_behind_dies_with_it(harbour: Harbour) -> None:
    marker = harbour.folder / "helper"
    with running_worker("harbour:app", harbour.url, harbour.folder, "-n", "1"):
        harbour.module.leave_helpers.enqueue(str(marker)).wait(20)
        wait_for("the helper to be gone", lambda: not is_alive(int(marker.read_text())))


def test_an_executor_cannot_settle_a_job_of_another(harbour: Harbour) -> None:
    go = harbour.folder / "go"
    with running_worker("harbour:app", harbour.url, harbour.folder, "-n", "2"):
        victim = harbour.module.wait_for_file.enqueue(str(go))
        wait_for("the victim to run", lambda: victim.refresh().progress)
        forger = harbour.module.forge.enqueue().wait(20)
        assert forger.record.reason == "crashed: protocol violation"
        go.touch()
        assert victim.wait(20).result == "unharmed"


def test_a_log_handler_opened_at_import_does_not_write_into_the_files_of_a_task(harbour: Harbour) -> None:
    path = harbour.folder / "mine.txt"
    with running_worker("harbour:app", harbour.url, harbour.folder, "-n", "1"):
        descriptors = harbour.module.write_and_log.enqueue(str(path)).wait(20).result
    assert path.read_text() == "mine"
    assert descriptors and not any(descriptors), "the log of the import is open in an executor"
    assert "must not end up" not in Path(harbour.folder / "import.log").read_text()


def test_lines_that_a_task_writes_are_kept_boundedly(harbour: Harbour) -> None:
    with running_worker("harbour:app", harbour.url, harbour.folder, "-n", "1"):
        few = harbour.module.chatter.enqueue(3).wait(20)
        many = harbour.module.chatter.enqueue(100_000).wait(120)
    [attempt] = few.record.history
    assert attempt.logs == tuple(f"INFO harbour.chatter: line {n}" for n in range(3))
    [attempt] = many.record.history
    assert len(attempt.logs) == 201
    assert "dropped" in attempt.logs[-1]


@pytest.mark.parametrize("slots", ["1", "4"])
def test_an_executor_has_one_thread(harbour: Harbour, slots: str) -> None:
    with running_worker("harbour:app", harbour.url, harbour.folder, "-n", slots):
        expected = 1 if kernel.DIES_BY_SIGNAL else 2  # elsewhere one watches over the worker's life
        assert harbour.module.has_one_thread.enqueue().wait(20).result == expected
