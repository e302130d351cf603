"""New code beside the old: HUP and --reload move over without refusing or charging a job."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from narrowboat import App
from narrowboat.core.states import State
from tests.support.processes import WorkerProcess, running_worker, wait_for

CODE = """
import asyncio, os, time
from narrowboat import App, Needs
app = App("shop")
VERSION = {version}

@app.task
def version(seconds: float = 0.0) -> int:
    time.sleep(seconds)
    return VERSION

@app.task(needs=Needs.trusted())
def version_in_the_end(path: str) -> int:
    while not os.path.exists(path):
        time.sleep(0.005)
    return VERSION

@app.task(concurrency=20)
async def version_async(seconds: float = 0.0) -> int:
    await asyncio.sleep(seconds)
    return VERSION
"""
NEW_TASK = """
@app.task(queue="new")
def added() -> str:
    return "new"
"""


class Shop:
    """A project whose code changes, and an app that enqueues into it by name."""

    def __init__(self, folder: Path) -> None:
        self.writes = 0
        self.folder, self.url = folder, f"sqlite:///{folder / 'shop.db'}"
        self.app = App("shop", url=self.url)
        self.write(CODE.format(version=1))

    def write(self, code: str) -> None:
        """Another length each time: Python compares files by size and whole seconds."""
        self.writes += 1
        (self.folder / "shop.py").write_text(code + "#" * self.writes)

    def until_moved(self, worker: WorkerProcess, times: int = 1) -> None:
        wait_for("the move", lambda: worker.output().count("moved over to the new code") >= times)


@pytest.fixture
def shop(tmp_path: Path):
    shop = Shop(tmp_path)
    yield shop
    assert shop.app.backend.audit() == []
    shop.app.close()


def test_hup_moves_over_under_load_without_refusing_or_charging_a_job(shop: Shop) -> None:
    with running_worker("shop:app", shop.url, shop.folder, "-n", "2") as worker:
        jobs = [shop.app.enqueue_by_name("shop.version", 0.01) for _ in range(200)]
        wait_for("some to be done", lambda: jobs[5].refresh().is_finished)
        shop.write(CODE.format(version=2))
        worker.signal(signal.SIGHUP)

        def is_moved_while_more_come() -> bool:
            jobs.extend(shop.app.enqueue_by_name(*job) for job in (("shop.version", 0.01), ("shop.version_async", 0.1)))
            return "moved over to the new code" in worker.output()

        wait_for("the move", is_moved_while_more_come)
        later = [shop.app.enqueue_by_name("shop.version") for _ in range(20)]
        later += [shop.app.enqueue_by_name("shop.version_async") for _ in range(20)]
        assert {job.wait(30).result for job in jobs} <= {1, 2}
        assert jobs[5].result == 1
        assert {job.wait(30).result for job in later} == {2}
        for job in [*jobs, *later]:
            record = job.record
            assert (record.state, record.errors, record.crashes, record.snoozes) == (State.SUCCEEDED, 0, 0, 0)
            assert not any(attempt.outcome == "released" for attempt in record.history)


def test_a_long_job_ends_in_the_code_that_it_began_in(shop: Shop) -> None:
    with running_worker("shop:app", shop.url, shop.folder, "-n", "2") as worker:
        go = shop.folder / "go"
        long = shop.app.enqueue_by_name("shop.version_in_the_end", str(go))
        wait_for("it to begin", lambda: long.refresh().record.started_at)
        shop.write(CODE.format(version=2))
        worker.signal(signal.SIGHUP)
        shop.until_moved(worker)
        assert shop.app.enqueue_by_name("shop.version").wait(30).result == 2
        go.touch()
        assert long.wait(20).result == 1


def test_new_tasks_and_their_queues_are_taken_up(shop: Shop) -> None:
    with running_worker("shop:app", shop.url, shop.folder, "-n", "1") as worker:
        shop.write(CODE.format(version=2) + NEW_TASK)
        worker.signal(signal.SIGHUP)
        shop.until_moved(worker)
        wait_for("the task to be published", lambda: "shop.added" in shop.app.backend.published())
        assert shop.app.enqueue_by_name("shop.added").wait(30).result == "new"


@pytest.mark.parametrize("broken", ["def f(:\n", "1 / 0\n", "import nowhere_to_be_found\n", "import os; os._exit(3)\n"])
def test_code_that_cannot_be_imported_changes_nothing(shop: Shop, broken: str) -> None:
    with running_worker("shop:app", shop.url, shop.folder, "-n", "1") as worker:
        assert shop.app.enqueue_by_name("shop.version").wait(30).result == 1
        shop.write(broken)
        worker.signal(signal.SIGHUP)
        wait_for("the complaint", lambda: "the old code stays" in worker.output())
        assert shop.app.enqueue_by_name("shop.version").wait(30).result == 1
        shop.write(CODE.format(version=3))
        worker.signal(signal.SIGHUP)
        shop.until_moved(worker)
        assert shop.app.enqueue_by_name("shop.version").wait(30).result == 3


def test_reload_moves_over_when_a_file_changes_and_shows_what_is_wrong(shop: Shop) -> None:
    shop.write("def broken(:\n")
    worker = WorkerProcess("shop:app", shop.url, shop.folder, "-n", "1", "--reload", "--log-format", "human")
    try:
        wait_for("the complaint", lambda: "SyntaxError" in worker.output())
        shop.write(CODE.format(version=1))
        worker.until_ready()
        assert shop.app.enqueue_by_name("shop.version").wait(30).result == 1
        shop.write("def broken(:\n")
        wait_for(
            "another", lambda: worker.output().count("SyntaxError") >= 2 and "the old code stays" in worker.output()
        )
        assert shop.app.enqueue_by_name("shop.version").wait(30).result == 1
        shop.write(CODE.format(version=2))
        wait_for("the new code", lambda: shop.app.enqueue_by_name("shop.version").wait(30).result == 2)
        assert worker.stop() == 0
    finally:
        if worker.process.poll() is None:
            worker.kill()
