"""What systemd is told, on sockets such as its own."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Callable, Generator
from pathlib import Path

import pytest

from narrowboat.worker.supervisor import Supervisor, supervisor_here


@pytest.fixture(params=["path", "abstract"])
def ear(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[tuple[str, Callable[[], str]]]:
    """An address, and the next message that came there."""
    name = str(tmp_path / "notify") if request.param == "path" else f"\0narrowboat-{secrets.token_hex(8)}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(name)
        heard.settimeout(5)
        yield name.replace("\0", "@"), lambda: heard.recv(4096).decode()


def test_a_life_as_systemd_hears_it(ear: tuple[str, Callable[[], str]]) -> None:
    address, next_message = ear
    supervisor = Supervisor(address, 20.0)
    supervisor.ready()
    assert next_message() == "READY=1"
    supervisor.reloading()
    assert supervisor.is_reloading
    first, second = next_message().split("\n")
    assert first == "RELOADING=1"
    assert second.removeprefix("MONOTONIC_USEC=").isdigit()
    supervisor.ready()
    assert not supervisor.is_reloading
    assert next_message() == "READY=1"
    for text in ("consuming", "consuming", "draining"):
        supervisor.status(text)
    assert [next_message(), next_message()] == ["STATUS=consuming", "STATUS=draining"]
    supervisor.stopping(30.5)
    assert next_message() == "STOPPING=1\nEXTEND_TIMEOUT_USEC=30500000"


def test_a_sign_of_life_comes_twice_in_the_time_that_silence_is_borne(ear: tuple[str, Callable[[], str]]) -> None:
    address, next_message = ear
    supervisor = Supervisor(address, 20.0)
    for now in (100.0, 105.0, 109.9, 110.0, 119.0):
        supervisor.sign_of_life(now)
    assert supervisor.next_sign == 120.0
    supervisor.status("that was all")
    assert [next_message() for _ in range(3)] == ["WATCHDOG=1", "WATCHDOG=1", "STATUS=that was all"]


def test_the_environment_is_read_once() -> None:
    environment = {
        "NOTIFY_SOCKET": "/run/notify",
        "WATCHDOG_USEC": "30000000",
        "WATCHDOG_PID": str(os.getpid()),
        "A": "b",
    }
    assert supervisor_here(environment).next_sign == 0.0
    assert environment == {"A": "b"}
    assert supervisor_here(environment).next_sign == float("inf")


@pytest.mark.parametrize(
    "environment",
    [{"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, {"WATCHDOG_USEC": "soon"}, {"WATCHDOG_USEC": "0"}, {}],
)
def test_a_watchdog_that_is_not_for_this_process_is_told_nothing(environment: dict[str, str]) -> None:
    assert supervisor_here(environment).next_sign == float("inf")


def test_where_nobody_listens_nothing_happens(tmp_path: Path) -> None:
    for address in ("", str(tmp_path / "nobody"), "vsock:2:1234"):
        supervisor = supervisor_here({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "2000000"})
        supervisor.ready()
        supervisor.sign_of_life(0.0)
        supervisor.stopping(1.0)
        assert supervisor.next_sign == 1.0
