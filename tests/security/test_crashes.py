"""How executors die under attack: such a death is final for untrusted input, and costs the zygote."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from narrowboat import App
from tests.support.processes import WorkerProcess, running_worker, wait_for

pytestmark = pytest.mark.linux
REPLACED = "its zygote, whose children all look alike inside, is replaced"
SHOP = """
import ctypes, mmap, os, platform, signal
from narrowboat import App, Retry

app = App("shop")
AGAIN = Retry(attempts=5, crashes=3, delay=0)
# Where a ud2 (x86-64) or udf (aarch64) lies in libc's own code: none can be written.
ILLEGAL = b"\\x0f\\x0b" if platform.machine() == "x86_64" else bytes(4)

def die(how: str) -> None:
    if how == "SIGSEGV":
        ctypes.string_at(0)
    elif how == "SIGBUS":
        with open("short", "w+b") as file:
            file.truncate(mmap.PAGESIZE)
            seen = mmap.mmap(file.fileno(), mmap.PAGESIZE)
            file.truncate(0)
            seen[0]
    elif how == "SIGILL":
        start = ctypes.cast(ctypes.CDLL(None).abort, ctypes.c_void_p).value & ~3
        at = next(at for at in range(start, start + 2**20, 2 if len(ILLEGAL) == 2 else 4)
                  if ctypes.string_at(at, len(ILLEGAL)) == ILLEGAL)
        ctypes.CFUNCTYPE(None)(at)()
    elif how == "SIGABRT":
        os.abort()
    elif how == "SIGSYS":
        ctypes.CDLL(None).ptrace(0, 0, 0, 0)
    elif how == "SIGKILL":
        os.kill(os.getpid(), signal.SIGKILL)

@app.task(untrusted=True, retry=AGAIN)
def strange(how: str): die(how)

@app.task(retry=AGAIN)
def own(how: str): die(how)

@app.task
def echo(value: int) -> int: return value
"""


@contextmanager
def running_shop(folder: Path) -> Iterator[tuple[App, WorkerProcess]]:
    url = f"sqlite:///{folder / 'shop.db'}"
    (folder / "shop.py").write_text(SHOP)
    app = App("shop", url=url)
    try:
        with running_worker("shop:app", url, folder, "-n", "1") as worker:
            yield app, worker
    finally:
        app.close()


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    with running_shop(tmp_path_factory.mktemp("shop")) as (app, _):
        yield app


@pytest.mark.parametrize("how", ["SIGSEGV", "SIGBUS", "SIGILL", "SIGABRT"])
def test_a_crash_is_final_for_untrusted_input_and_tried_again_for_the_apps_own(shop: App, how: str) -> None:
    for task, crashes in (("strange", 1), ("own", 3)):
        record = shop.enqueue_by_name(f"shop.{task}", how).wait(40).record
        assert (record.state, record.attempts, record.crashes) == ("dead", crashes, crashes), record.reason
        assert record.reason.startswith(f"crashed: {how}")


@pytest.mark.parametrize("how", ["SIGSYS", "SIGSEGV"])
def test_a_zygote_whose_child_died_as_under_attack_is_replaced(tmp_path: Path, how: str) -> None:
    with running_shop(tmp_path) as (app, worker):
        before = set(worker.zygotes())
        assert before
        app.enqueue_by_name("shop.strange", how).wait(40)
        wait_for("it to be said", lambda: REPLACED in worker.output())
        assert f"an executor died of {how}" in worker.output()
        wait_for("other zygotes", lambda: (now := worker.zygotes()) and not before & set(now))
        assert app.enqueue_by_name("shop.echo", 5).wait(40).result == 5


def test_a_zygote_whose_child_was_killed_stays(tmp_path: Path) -> None:
    with running_shop(tmp_path) as (app, worker):
        before = worker.zygotes()
        reason = app.enqueue_by_name("shop.own", "SIGKILL").wait(40).record.reason
        assert reason.startswith("crashed: SIGKILL")
        assert app.enqueue_by_name("shop.echo", 5).wait(40).result == 5
        assert REPLACED not in worker.output() and worker.zygotes() == before
