"""What an attempt leaves in its scratch folder is gone after it, however it ends: here and as in a container."""

from __future__ import annotations

import os
import secrets
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from narrowboat import App
from narrowboat.app import JobHandle
from tests.support.processes import WorkerProcess, is_alive, running_worker, wait_for

from .hosts import Machine, machine
from .marks import NEEDS_PYTHON, PLACES, TAKES_TURNS

pytestmark = [*TAKES_TURNS, NEEDS_PYTHON]
SHOP = """
import ctypes, os, signal, time
from narrowboat import App, Retry, progress

app = App("shop")
ONCE = Retry(attempts=1)

def litter(mark: str, outside: str) -> None:
    os.makedirs("deep/er")
    for path in (mark, f"deep/er/{mark}"):
        open(path, "w").close()
    os.mkdir("shut", 0)
    os.symlink(outside, "link")
    progress(0, 1, "littered")

@app.task(retry=ONCE)
def end(how: str, mark: str, outside: str) -> None:
    litter(mark, outside)
    if how == "raises":
        raise ValueError
    if how == "is killed for a call":
        ctypes.CDLL(None).ptrace(0, 0, 0, 0)

@app.task(retry=ONCE, timeout=1)
def never_end(mark: str, outside: str) -> None:
    litter(mark, outside)
    signal.pthread_sigmask(signal.SIG_BLOCK, range(1, signal.NSIG))
    while True:
        pass

@app.task(retry=ONCE)
async def end_on_a_loop(mark: str, outside: str) -> None:
    litter(mark, outside)

@app.task(retry=ONCE)
async def look_on_a_loop() -> list[str]:
    return os.listdir(".")

@app.task(retry=Retry(attempts=1, crashes=1))
def go_on(mark: str, outside: str) -> None:
    litter(mark, outside)
    time.sleep(600)

@app.task(retry=ONCE)
def look() -> list[str]:
    return os.listdir(".")
"""


class Yard:
    """A place for workers."""

    def __init__(self, there: Machine, has_namespaces: bool) -> None:
        self.machine, self.has_namespaces = there, has_namespaces
        self.app = App("shop", url=there.url)
        self.outside = there.folder / "outside"
        self.outside.mkdir()
        self.outside.chmod(0o777)
        (self.outside / "kept").touch()

    def worker(self) -> Any:
        """A running one."""
        return running_worker("shop:app", self.machine.url, self.machine.folder, "-n", "1", host=self.machine.host)

    def start(self, task: str, *arguments: str) -> tuple[JobHandle[Any], str]:
        """A job, and the name of what it leaves."""
        mark = f"left-{secrets.token_hex(8)}"
        return self.app.enqueue_by_name(f"shop.{task}", *arguments, mark, str(self.outside)), mark

    def littered(self) -> tuple[JobHandle[Any], str]:
        """One whose scratch folder is full, and which goes on."""
        job, mark = self.start("go_on")
        wait_for("its folder to be full", lambda: job.refresh().progress)
        assert self.seen(mark), "it must be found while it is there"
        return job, mark

    def seen(self, mark: str) -> list[str]:
        """Where it is: in the file system that some process has, or in the temporary folder."""
        views = [f"/proc/{name}/root/scratch/own/{mark}" for name in os.listdir("/proc") if name.isdigit()]
        walk = os.walk(self.machine.host.temporary)  # unlike rglob, it does not mind folders that go meanwhile
        folders = [f"{folder}/{mark}" for folder, names, files in walk if mark in (*names, *files)]
        return [path for path in views if os.path.lexists(path)] + folders

    def left(self) -> list[str]:
        """Scratch folders, where executors have such."""
        return [path.name for path in Path(self.machine.host.temporary).glob("narrowboat-worker-*/scratch-[0-9]*")]


@contextmanager
def yard_at(place: tuple[bool, int]) -> Iterator[Yard]:
    is_restricted, user = place
    with machine(SHOP, user=user or None, restricted=is_restricted) as there:
        yard = Yard(there, has_namespaces=not is_restricted)
        yield yard
        assert [path.name for path in yard.outside.iterdir()] == ["kept"], "no link was followed"
        yard.app.close()


@pytest.fixture(scope="module", params=PLACES.values(), ids=PLACES.keys())
def yard(request: pytest.FixtureRequest) -> Iterator[Yard]:
    with yard_at(request.param) as yard:
        yield yard


@pytest.fixture(scope="module")
def worker(yard: Yard) -> Iterator[WorkerProcess]:
    with yard.worker() as worker:
        yield worker


@pytest.mark.parametrize("how", ["returns", "raises", "is killed by the clock", "is killed for a call"])
def test_it_is_gone_however_the_attempt_ends(yard: Yard, worker: WorkerProcess, how: str) -> None:
    job, mark = yard.start("never_end") if how == "is killed by the clock" else yard.start("end", how)
    reason = {
        "returns": "",
        "raises": "ValueError",
        "is killed by the clock": "crashed: timeout",
        "is killed for a call": "crashed: SIGSYS",
    }
    assert job.wait(40).record.reason.startswith(reason[how])
    wait_for("it to be gone", lambda: not yard.seen(mark))
    assert yard.app.enqueue_by_name("shop.look").wait(40).result == []


def test_it_is_gone_when_an_async_attempt_ends(yard: Yard, worker: WorkerProcess) -> None:
    job, mark = yard.start("end_on_a_loop")
    assert job.wait(40).state == "succeeded"
    wait_for("it to be gone", lambda: not yard.seen(mark))
    assert yard.app.enqueue_by_name("shop.look_on_a_loop").wait(40).result == []


def test_it_is_gone_when_the_executor_is_killed(yard: Yard, worker: WorkerProcess) -> None:
    job, mark = yard.littered()
    for pid in worker.executors():
        with suppress(ProcessLookupError):  # one of a test before, which has just ended
            os.kill(pid, signal.SIGKILL)
    assert job.wait(40).record.reason.startswith("crashed: SIGKILL")
    wait_for("it to be gone", lambda: not yard.seen(mark))
    assert yard.app.enqueue_by_name("shop.look").wait(40).result == []
    wait_for("no folder to be left", lambda: len(yard.left()) <= len(worker.executors()))


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES.keys())
def test_it_is_gone_when_the_worker_is_killed_or_when_the_next_one_starts(place: tuple[bool, int]) -> None:
    with yard_at(place) as yard:
        yards = Path(yard.machine.host.temporary)
        with yard.worker() as first:
            job, mark = yard.littered()
            others = [*first.executors(), *first.zygotes()]
            first.kill()
            wait_for("its processes to be gone", lambda: not any(is_alive(pid) for pid in others))
            if yard.has_namespaces:  # others of its namespaces, which may end a moment later, can have it in sight
                wait_for("it to be gone", lambda: not yard.seen(mark))
        with yard.worker() as second:
            assert yard.seen(mark) == []
            assert len(list(yards.glob("narrowboat-worker-*"))) == 1
            assert job.wait(40).record.reason.startswith("crashed: ")
            assert second.stop() == 0
        assert list(yards.glob("narrowboat-worker-*")) == []
