"""Real workers on this machine and on one like a container, as root and as an ordinary user."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from narrowboat import App
from narrowboat.core.job import Job
from narrowboat.sandbox.findings import PROPERTIES
from tests.support.processes import running_worker

from .hosts import Machine, machine
from .marks import NEEDS_PYTHON, PLACES, TAKES_TURNS

pytestmark = [*TAKES_TURNS, NEEDS_PYTHON]

SHOP = """
import os, socket
from narrowboat import App, Needs, Retry

app = App("shop")
ONCE = Retry(attempts=1)

@app.task
def who() -> int:
    return os.getuid()

@app.task(untrusted=True, memory="100MB")
def scratch() -> list[str]:
    found = os.listdir(".")
    open("left", "w").close()
    return found

@app.task(retry=ONCE)
def connect(port: int) -> None:
    socket.create_connection(("127.0.0.1", port), 2)

@app.task(retry=ONCE, needs=Needs(network=True))
def connect_as_declared(port: int) -> str:
    with socket.create_connection(("127.0.0.1", port), 30) as connection:
        return connection.recv(100).decode()

@app.task(retry=ONCE)
def read(path: str) -> str:
    return open(path).read()

@app.task(retry=ONCE)
def write(path: str) -> None:
    open(path, "w")

@app.task(retry=ONCE, memory="100MB")
def eat() -> int:
    return len(bytes(400_000_000))
"""


class Place(NamedTuple):
    """A machine, whether it is like a container, and who is the worker there."""

    machine: Machine
    is_restricted: bool
    user: int


@pytest.fixture(
    scope="module",
    params=PLACES.values(),
    ids=PLACES.keys(),
)
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    is_restricted, user = request.param
    with machine(SHOP, user=user or None, restricted=is_restricted) as there:
        yield Place(there, is_restricted, user)


def test_a_real_worker_runs_jobs_and_refuses_what_they_did_not_declare(place: Place) -> None:
    import socket

    there = place.machine
    (there.folder / "secret").write_text("of the worker")
    (there.folder / "secret").chmod(0o644)
    options = ("-n", "1", "--sandbox", "best" if place.is_restricted else "require")
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        running_worker("shop:app", there.url, there.folder, *options, host=there.host) as worker,
    ):
        app = App("shop", url=there.url)
        port = server.getsockname()[1]

        def run(task: str, *args: object) -> Job:
            return app.enqueue_by_name(f"shop.{task}", *args).wait(30).record

        assert run("who").result == str(place.user or 64_738).encode()
        assert [run("scratch").result for _ in range(2)] == [b"[]"] * 2
        assert "to allow it, declare needs=Needs(network=" in run("connect", port).reason
        for path in (there.folder / "secret", there.folder / "jobs.db", f"/proc/{worker.pid}/environ"):
            assert run("read", str(path)).reason.startswith(("PermissionError", "FileNotFoundError")), path
        assert run("write", str(there.folder / "new")).state == "dead"
        assert not (there.folder / "new").exists()
        assert run("eat").reason == "crashed: out of memory"
        job = app.enqueue_by_name("shop.connect_as_declared", port)
        connection, _ = server.accept()
        with connection:
            connection.sendall(b"hello")
        assert job.wait(30).result == "hello"
        app.close()


def test_a_temporary_folder_that_only_root_can_enter_is_not_where_executors_work() -> None:
    with machine(SHOP, restricted=True) as there:
        private = Path(there.host.temporary)
        private.chmod(0o700)
        with running_worker("shop:app", there.url, there.folder, "-n", "1", host=there.host):
            app = App("shop", url=there.url)
            assert app.enqueue_by_name("shop.who").wait(30).result == 64738
            assert list(private.glob("narrowboat-worker-*")) == []
            app.close()


# All that doctor says. What is not told apart by place is the same in all.
HELD = dict.fromkeys(PROPERTIES, ("enforced", "")) | {"time": ("enforced", "the worker kills by the clock")}
WITHOUT_NAMESPACES = HELD | {
    "processor": ("partial", "the number of threads is not limited"),
    "clean-up": ("partial", "no pid namespace: helpers are found by their session only"),
}


def test_doctor_says_exactly_what_holds(place: Place) -> None:
    done = place.machine.cli("doctor", "--json")
    told = json.loads(done.stdout)
    expected = WITHOUT_NAMESPACES if place.is_restricted else HELD
    assert {found["name"]: (found["state"], found["why"]) for found in told["findings"]} == expected
    assert done.returncode == int(place.is_restricted)
    layers = told["layers"]
    assert layers["landlock"] > 0
    assert (layers["seccomp"], layers["user"]) == ("", "")
    assert layers["namespaces"] == ("[Errno 1] unshare: Operation not permitted" if place.is_restricted else "")


def test_doctor_says_it_in_words(place: Place) -> None:
    text = place.machine.cli("doctor").stdout
    head, *lines = text.splitlines()
    who = "the worker's own user" if place.user else "user 64738 (the worker is root)"
    assert head.endswith(f"executors run as {who}")
    expected = WITHOUT_NAMESPACES if place.is_restricted else HELD
    for name, (state, why) in expected.items():
        assert any(
            re.fullmatch(rf"{name} +{state} +{re.escape(why or f'against {PROPERTIES[name]}')}", line) for line in lines
        )
    assert ("no namespaces: [Errno 1] unshare: Operation not permitted" in lines) == place.is_restricted
    end = (
        "what is not enforced, tasks can do; docs/security.md says more"
        if place.is_restricted
        else "all of it is enforced"
    )
    assert lines[-1] == end
