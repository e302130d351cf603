"""Warnings of what a task with the network reaches that hands out secrets without a question."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from narrowboat import kernel
from narrowboat.core.needs import Needs
from narrowboat.core.task import TaskSpec
from narrowboat.worker.exposure import Address, exposures
from tests.security.test_worker import cli


def task(name: str, needs: Needs) -> TaskSpec:
    return TaskSpec(name=name, needs=needs.policy(name))


@pytest.fixture
def cloud() -> Iterator[Address]:
    """Where something answers, as the metadata of a cloud would."""
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
        assert time.monotonic() - began < 3


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
