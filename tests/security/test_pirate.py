"""A task with full control of its executor has its own job, and nothing else: no other job, no backend, no time."""

from __future__ import annotations

import os
import secrets
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from narrowboat import App
from narrowboat.app import JobHandle
from narrowboat.core.job import Job
from tests.faults.test_nothing_to_steal import holds
from tests.support.processes import WorkerProcess, running_worker, wait_for

from . import docker, pirate

pytestmark = pytest.mark.linux
TREASURE = "doubloons-" + secrets.token_hex(16)
SLOTS = 3
MOST = 3.0  # times as long as beside one honest neighbour that is busy; beside 24 of those it was 4.5 times
LATE_S = 6.0  # for a neighbour, where it takes milliseconds alone; who is held up by a flood is so for 8 s


@dataclass
class Sea:
    """A project with pirates, and a worker for it."""

    home: Path
    app: App
    worker: WorkerProcess

    def enqueue(self, task: str, *arguments: object) -> JobHandle[Any]:
        return self.app.enqueue_by_name(f"pirate.{task}", *arguments)

    def run(self, task: str, *arguments: object) -> Job:
        """The record of a job that has ended."""
        return self.enqueue(task, *arguments).wait(40).record


@pytest.fixture(scope="module", params=[False, True], ids=["default", "no namespaces"])
def sea(request: pytest.FixtureRequest) -> Iterator[Sea]:
    home = Path(tempfile.mkdtemp(prefix="nb-pirate-", dir="/var/tmp"))
    home.chmod(0o755)
    (home / "signals").mkdir()
    shutil.copy(pirate.__file__, home / "pirate.py")
    url = f"sqlite:///{home / 'pirate.db'}"
    app = App("pirate", url=url)
    through = [sys.executable, docker.__file__] if request.param else []
    try:
        with running_worker("pirate:app", url, home, "-n", str(SLOTS), through=through) as worker:
            yield Sea(home, app, worker)
            assert app.backend.audit() == []
    finally:
        app.close()
        shutil.rmtree(home)


@pytest.fixture
def victim(sea: Sea) -> Iterator[JobHandle[Any]]:
    """A job beside the attack. It must end with its own result."""
    go = sea.home / "signals" / f"go-{time.monotonic_ns()}"
    job = sea.enqueue("guard", TREASURE, str(go))
    wait_for("the victim to run", lambda: job.refresh().state == "running")
    yield job
    go.touch()
    assert job.wait(40).result == TREASURE[::-1]
    assert job.record.attempts == 1


@pytest.mark.parametrize("how", ["write_out_of_bounds", "write_to_freed_memory", "call_nowhere"])
def test_memory_that_is_corrupted_costs_one_attempt(sea: Sea, victim: JobHandle[Any], how: str) -> None:
    record = sea.run(how, *([100_000_000] if how == "write_out_of_bounds" else []))
    assert (record.state, record.crashes, record.result) == ("dead", 1, b"")
    assert record.reason.startswith(("crashed: SIGSEGV", "crashed: SIGABRT", "crashed: SIGTRAP")), record.reason


def test_no_other_job_is_within_its_reach(sea: Sea, victim: JobHandle[Any]) -> None:
    waiting = [sea.enqueue("guard", TREASURE, "/") for _ in range(20)]
    assert TREASURE not in sea.run("overhear").result.decode()
    for job in waiting:
        job.wait(40)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can look into an executor")
def test_no_other_job_is_in_its_memory(sea: Sea) -> None:
    mark, treasure, go = secrets.token_hex(16), secrets.token_hex(16), sea.home / "signals" / secrets.token_hex(8)
    lurker = sea.enqueue("lurk", mark, str(go))
    victim = sea.enqueue("guard", treasure, str(go))
    waiting = [sea.enqueue("guard", treasure, "/") for _ in range(20)]
    wait_for("both to run", lambda: {job.refresh().state for job in (lurker, victim)} == {"running"})
    try:
        # A job runs from its claim on, a moment before its executor has read it.
        [pid] = wait_for("it to be read", lambda: [pid for pid in sea.worker.executors() if holds(pid, mark.encode())])
        wait_for("the other", lambda: any(holds(other, treasure.encode()) for other in sea.worker.executors()))
        assert not holds(pid, treasure.encode())
        assert holds(pid, mark.encode())  # so it was there to be looked into
    finally:
        go.touch()
        for job in (lurker, victim, *waiting):
            job.wait(40)


@pytest.mark.parametrize("how", pirate.FORGERIES)
def test_an_outcome_is_for_the_jobs_own_executor_to_say(sea: Sea, victim: JobHandle[Any], how: str) -> None:
    record = sea.run("forge", how)
    if how == "next":  # what it said of its own job first counts
        assert (record.state, record.result) == ("succeeded", b'"own"')
    else:
        assert record.reason == "crashed: protocol violation"
    assert sea.run("echo", 5).result == b"5"


def test_what_it_says_of_its_own_job_counts_once(sea: Sea, victim: JobHandle[Any]) -> None:
    assert sea.run("forge_its_own").result == b'"forged"'


def test_descriptors_that_it_sends_are_not_taken(sea: Sea, victim: JobHandle[Any]) -> None:
    before = len(os.listdir(f"/proc/{sea.worker.pid}/fd"))
    sea.run("send_descriptors")
    assert len(os.listdir(f"/proc/{sea.worker.pid}/fd")) < before + 100


def test_the_backend_is_out_of_its_reach(sea: Sea, victim: JobHandle[Any]) -> None:
    paths = sorted(sea.home.glob("pirate.db*"))
    assert {"pirate.db", "pirate.db-wal"} <= {path.name for path in paths}
    inodes = [[path.stat().st_dev, path.stat().st_ino] for path in paths]
    assert sea.run("reach_the_backend", [str(path) for path in paths], inodes).result == b"[]"


def test_nothing_stays_for_the_next_attempt(sea: Sea, victim: JobHandle[Any]) -> None:
    seconds = f"{98_765 + secrets.randbelow(10_000)}.5"

    def helpers() -> list[int]:
        return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit() and _runs(entry, seconds)]

    assert sea.run("leave", seconds).result == b'"1 in memory"'
    assert sea.run("look").result == b"[]"
    wait_for("its helpers to be gone", lambda: not helpers())


def _runs(entry: Path, argument: str) -> bool:
    try:
        return argument.encode() in (entry / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return False


def test_it_cannot_outlive_its_attempt(sea: Sea, victim: JobHandle[Any]) -> None:
    assert sea.run("stay").result == b'"left"'
    # Spares are forked meanwhile, so it is known by what it does, not by its number.
    wait_for("its process to be gone", lambda: not any(is_busy(pid) for pid in sea.worker.executors()))


def test_one_that_hangs_up_is_taken_for_dead_and_is_so_soon(sea: Sea, victim: JobHandle[Any]) -> None:
    assert sea.run("hang_up").reason == "crashed: the process vanished"
    wait_for("its process to be gone", lambda: not any(is_busy(pid) for pid in sea.worker.executors()))


def test_those_that_stay_do_not_take_more_than_their_slots(sea: Sea, victim: JobHandle[Any]) -> None:
    jobs = [sea.enqueue("stay") for _ in range(9)]
    most = 0
    for job in jobs:
        while job.refresh().state != "succeeded":
            most = max(most, len(sea.worker.executors()))
    assert most <= 3 * SLOTS + 1  # besides the slots and as many spares, those that seem to be just ending
    wait_for("them to be gone", lambda: not any(is_busy(pid) for pid in sea.worker.executors()))


def is_busy(pid: int) -> bool:
    """Whether it runs, as those that stay do all the time, and spares never."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "R"
    except OSError:
        return False


@pytest.mark.parametrize("how", pirate.FLOODS)
def test_a_flood_does_not_hold_up_its_neighbours(sea: Sea, victim: JobHandle[Any], how: str) -> None:
    flooder = sea.enqueue("flood", how)
    latencies: list[float] = []
    while not latencies or (len(latencies) < 100 and flooder.refresh().state in ("queued", "running")):
        began = time.monotonic()
        assert sea.enqueue("echo", 1).wait(40).result == 1
        latencies.append(time.monotonic() - began)
    print(how, len(latencies), sorted(latencies)[len(latencies) // 2], max(latencies))
    assert max(latencies) < LATE_S
    record = flooder.wait(40).record
    assert record.reason.startswith(f"crashed: {pirate.FLOODS[how]}"), record.reason
    assert len(record.history[0].logs) <= 201


@pytest.mark.parametrize("how", ["spin_threads", "thrash_memory", "sync_files"])
def test_it_slows_its_neighbours_no_more_than_one_who_is_busy(sea: Sea, how: str) -> None:
    """In turn, since the machine may be busy; by the best of three, since a share that is not kept is kept in none."""
    ratios: list[float] = []
    for _ in range(3):
        busy, hogged = took_beside(sea, "be_busy"), took_beside(sea, "hog", how)
        ratios.append(hogged / busy)
        print(f"{how}: {hogged * 1000:.0f} ms, beside one who is busy {busy * 1000:.0f} ms")
    assert min(ratios) < MOST, ratios


def took_beside(sea: Sea, *neighbour: str) -> float:
    """Seconds from enqueue to result of jobs that work for a moment, while this one runs; their median."""
    job = sea.enqueue(*neighbour)
    wait_for("it to be under way", lambda: job.refresh().progress)
    taken: list[float] = []
    for _ in range(8):
        began = time.monotonic()
        sea.run("work")
        taken.append(time.monotonic() - began)
    assert job.refresh().state == "running"
    job.cancel()
    assert job.wait(40).state == "cancelled"
    return statistics.median(taken)
