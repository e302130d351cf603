"""What a real worker tells whoever sets NOTIFY_SOCKET, as systemd does."""

from __future__ import annotations

import os
import signal
import socket
import struct
from collections.abc import Generator
from pathlib import Path

import pytest

from narrowboat import App
from narrowboat.core.states import State
from tests.support.processes import running_worker, wait_for

CODE = """
import os, time
from narrowboat import App, Needs
app = App("shop")

@app.task(needs=Needs.trusted())
def wait_for_file(path: str) -> None:
    while not os.path.exists(path):
        time.sleep(0.005)

@app.task(needs=Needs.trusted())
def environment() -> list[str]:
    return [name for name in os.environ if name.startswith(("NOTIFY", "WATCHDOG"))]
"""
pytestmark = pytest.mark.linux


class Ear:
    """The socket, and all that came so far: (who, what)."""

    def __init__(self, folder: Path) -> None:
        self.path = str(folder / "notify")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._socket.bind(self.path)
        self._came: list[tuple[int, str]] = []

    def all(self) -> list[tuple[int, str]]:
        while True:
            try:
                data, ancillary, _, _ = self._socket.recvmsg(4096, 1024)
            except BlockingIOError:
                return self._came
            [(_, _, credentials)] = ancillary
            self._came.append((struct.unpack("3i", credentials)[0], data.decode()))

    def count(self, start: str) -> int:
        return sum(text.startswith(start) for _, text in self.all())

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def ear(tmp_path: Path) -> Generator[Ear]:
    ear = Ear(tmp_path)
    yield ear
    ear.close()


@pytest.fixture
def shop(tmp_path: Path) -> Generator[App]:
    (tmp_path / "shop.py").write_text(CODE)
    app = App("shop", url=f"sqlite:///{tmp_path}/shop.db")
    yield app
    assert app.backend.audit() == []
    app.close()


def test_a_worker_says_when_it_takes_work_moves_over_lives_and_ends(shop: App, ear: Ear, tmp_path: Path) -> None:
    env = {"NOTIFY_SOCKET": ear.path, "WATCHDOG_USEC": "400000"}
    with running_worker(
        "shop:app", f"sqlite:///{tmp_path}/shop.db", tmp_path, "-n", "1", "--drain", "20s", env=env
    ) as worker:
        wait_for("it to be ready", lambda: ear.count("READY=1"))
        wait_for("signs of life from a worker that has nothing to do", lambda: ear.count("WATCHDOG=1") >= 5)
        wait_for("its state", lambda: ear.count("STATUS=consuming, 0 jobs running, backend in contact"))
        assert shop.enqueue_by_name("shop.environment").wait(20).result == []
        assert ear.count("RELOADING=1") == 0
        for code, said in ((CODE + "# new", "moved over"), ("broken =", "the old code stays")):
            (tmp_path / "shop.py").write_text(code)
            already = ear.count("READY=1")
            worker.signal(signal.SIGHUP)
            wait_for("the end of the reload", lambda already=already: ear.count("READY=1") > already)
            assert said in worker.output()
        assert ear.count("RELOADING=1") == 2
        job = shop.enqueue_by_name("shop.wait_for_file", str(tmp_path / "go"))
        # The socket is emptied all the while: there is not room for much, and what finds none is lost.
        wait_for("it to run", lambda: ear.all() and job.refresh().record.started_at)
        worker.signal(signal.SIGTERM)
        wait_for("the end to be told", lambda: ear.count("STOPPING=1\nEXTEND_TIMEOUT_USEC=30000000"))
        alive = ear.count("WATCHDOG=1")
        wait_for("signs of life in the drain", lambda: ear.count("WATCHDOG=1") > alive)
        (tmp_path / "go").touch()
        assert worker.process.wait(40) == 0
        assert {who for who, _ in ear.all()} == {worker.pid}
        assert job.refresh().state is State.SUCCEEDED


def test_a_keeper_speaks_for_its_workers(shop: App, ear: Ear, tmp_path: Path) -> None:
    env = {"NOTIFY_SOCKET": ear.path, "WATCHDOG_USEC": "400000", "WATCHDOG_PID": ""}
    options = ("-n", "1", "--max-run-time", "2s")
    with running_worker("shop:app", f"sqlite:///{tmp_path}/shop.db", tmp_path, *options, env=env) as keeper:
        wait_for("it to be ready, and a second worker after it", lambda: ear.count("READY=1") >= 2)
        wait_for("signs of life", lambda: ear.count("WATCHDOG=1") >= 5)
        worker_pids = {worker.info.pid for worker in shop.backend.workers()}
        assert keeper.stop() == 0
        assert ear.count("STOPPING=1") == 1
        assert {who for who, _ in ear.all()} == {keeper.pid}
        assert worker_pids and os.getpid() not in worker_pids and keeper.pid not in worker_pids
