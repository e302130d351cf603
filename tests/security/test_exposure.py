"""Warnings of what a task with the network reaches that hands out secrets without a question."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from narrowboat import kernel
from narrowboat.core.needs import Needs
from narrowboat.core.task import TaskSpec
from narrowboat.worker import exposure
from narrowboat.worker.exposure import Address, exposures
from tests.security.test_worker import cli
from tests.support.hosts import ip
from tests.support.processes import ROOT, running_worker, wait_for
from tests.support.servers import RedisServer, shared_redis


def task(name: str, needs: Needs) -> TaskSpec:
    return TaskSpec(name=name, needs=needs.policy(name))


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[Address]:
    """Where something answers, as the metadata of a cloud would; it is given the time that a busy machine takes."""
    monkeypatch.setattr(exposure, "answering", partial(exposure.answering, patience_s=30.0))
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[:2]


def test_a_cloud_that_answers_is_named_with_the_tasks_that_reach_it(cloud: Address) -> None:
    tasks = [
        task("shop.fetch", Needs(network=True)),
        task("shop.mail", Needs(network=[587])),
        task("shop.old", Needs.trusted()),
        task("shop.resize", Needs()),
    ]
    [warning] = exposures(tasks, ["sqlite:///n.db"], [cloud, ("127.0.0.1", 1)])
    assert warning.startswith("tasks shop.fetch, shop.old can reach the metadata of this cloud at 127.0.0.1, ")


def test_nothing_is_tried_that_no_task_reaches(cloud: Address) -> None:
    assert exposures([task("shop.mail", Needs(network=[587])), task("shop.one", Needs())], [], [cloud]) == []
    assert exposures([task("shop.mail", Needs(network=[cloud[1]]))], [], [cloud]) != []


def test_a_cloud_that_does_not_answer_costs_a_second_at_most() -> None:
    with ExitStack() as stack:
        server = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(8):  # its queue is full then, and the kernel leaves further ones without an answer
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(server.getsockname())
        began = time.monotonic()
        tasks = [task("shop.fetch", Needs(network=True))]
        assert exposures(tasks, [], [server.getsockname()[:2], ("nowhere.invalid", 80)]) == []
        assert time.monotonic() - began < 5  # the patience of resolvers; a connection is tried for minutes


@pytest.mark.parametrize(
    ("url", "is_open"),
    [
        ("redis://db:6379/0", True),
        ("redis://:secret@db", False),
        ("postgresql://app@db/jobs", True),
        ("postgresql://app:secret@db/jobs", False),
        ("postgresql://db/jobs?password=secret", False),
        ("sqlite:///n.db", False),
        ("amqp://guest@box", True),
        ("amqp://guest:guest@box", False),
        ("gearman://[::1]:4730", True),
        ("gearman://box:port", False),
    ],
)
def test_a_backend_that_asks_for_no_password_is_named(url: str, is_open: bool) -> None:
    warnings = exposures([task("shop.fetch", Needs(network=True))], [url], [])
    assert [("asks for no password" in warning) for warning in warnings] == [True] * is_open
    assert exposures([task("shop.mail", Needs(network=[587]))], [url], []) == []


def test_each_of_several_servers_is_named() -> None:
    warnings = exposures([task("shop.fetch", Needs(network=[4730]))], ["gearman://box,other:4730,third:99?prefix="], [])
    assert [words.split(",")[0].rpartition(" ")[2] for words in warnings] == ["box:4730", "other:4730"]


def test_doctor_shows_the_tasks_with_the_network(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(
        "from narrowboat import App, Needs\napp = App('shop')\n"
        "@app.task(needs=Needs(network=[587]))\ndef mail(): pass\n@app.task\ndef resize(): pass\n"
    )
    done = cli(tmp_path, "doctor", "shop:app", "--url", "sqlite:///n.db")
    assert done.returncode == (0 if kernel.HAS_WALLS else 1), done.stderr
    assert "shop.mail" in done.stdout and "TCP 587; UDP for names" in done.stdout
    assert "shop.resize" not in done.stdout


SHOP = """
from narrowboat import App, Needs

app = App("shop")

@app.task(needs=Needs(network=True))
def fetch(): pass

@app.task(needs=Needs(network=[587]))
def mail(): pass

@app.task
def resize(): pass
"""


def warnings_of_both(folder: Path, url: str, through: Sequence[str] = ()) -> tuple[list[str], str]:
    """What `narrowboat doctor` warns of, and what a worker says when it starts."""
    (folder / "shop.py").write_text(SHOP)
    command = [*through, sys.executable, "-m", "narrowboat.cli", "doctor", "shop:app", "--url", url]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = {
        more: subprocess.run([*command, *more], cwd=folder, env=environment, capture_output=True, text=True, timeout=90)
        for more in ((), ("--json",))
    }
    warnings: list[str] = json.loads(done["--json",].stdout)["warnings"]
    shown = " ".join(done[()].stdout.split())
    assert all(f"warning: {' '.join(warning.split())}" in shown for warning in warnings)
    with running_worker("shop:app", url, folder, "-n", "1", through=through) as worker:
        if warnings:
            wait_for("the warning", lambda: warnings[-1] in worker.output())
        assert worker.stop() == 0
        return warnings, worker.output()


def test_doctor_and_the_start_warn_of_a_backend_without_a_password(tmp_path: Path) -> None:
    server = shared_redis()
    warnings, started = warnings_of_both(tmp_path, server.namespace())
    [warning] = [warning for warning in warnings if "the backend" in warning]  # this machine may be in a cloud
    said = f"task shop.fetch can reach the backend at 127.0.0.1:{server.port}, which asks for no password"
    assert warning.startswith(said)
    assert warning in started


def test_neither_warns_of_a_backend_that_has_one(tmp_path: Path) -> None:
    server = RedisServer(tmp_path)
    try:
        assert server.says("CONFIG", "SET", "requirepass", "hunter2") == "+OK"
        warnings, started = warnings_of_both(tmp_path, f"redis://:hunter2@127.0.0.1:{server.port}")
    finally:
        server.stop()
    assert not any("the backend" in warning for warning in warnings)
    assert "can reach the backend" not in started


@pytest.fixture
def lone_host() -> Iterator[tuple[str, ...]]:
    """A network without any other host; the words that run a program there."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)("takes root and `ip` (Debian: iproute2)")
    name = f"nb-lone-{os.getpid()}"
    ip("netns", "add", name)
    try:
        ip("-n", name, "link", "set", "lo", "up")
        yield ("ip", "netns", "exec", name)
    finally:
        ip("netns", "del", name)


@pytest.fixture
def host_in_a_cloud(lone_host: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """The same, where somebody answers at the address at which clouds have their metadata."""
    listen = "import socket; server = socket.create_server(('169.254.169.254', 80)); print('up', flush=True); input()"
    ip("-n", lone_host[-1], "addr", "add", "169.254.169.254/32", "dev", "lo")
    with subprocess.Popen(
        [*lone_host, sys.executable, "-c", listen], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as metadata:
        assert metadata.stdout is not None
        assert metadata.stdout.readline() == b"up\n"
        yield lone_host
        metadata.communicate(b"\n", timeout=20)


@pytest.mark.linux
def test_doctor_and_the_start_warn_of_the_metadata_of_a_cloud(tmp_path: Path, host_in_a_cloud: tuple[str, ...]) -> None:
    [warning], started = warnings_of_both(tmp_path, "sqlite:///n.db", host_in_a_cloud)
    assert warning.startswith("task shop.fetch can reach the metadata of this cloud at 169.254.169.254, ")
    assert warning in started


@pytest.mark.linux
def test_neither_warns_where_nothing_is_to_be_reached(tmp_path: Path, lone_host: tuple[str, ...]) -> None:
    warnings, started = warnings_of_both(tmp_path, "sqlite:///n.db", lone_host)
    assert warnings == []
    assert "can reach the" not in started
