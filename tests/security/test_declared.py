"""What a task declares works, and what lies beside it is refused in words: here and as in a container."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from narrowboat import App
from narrowboat.core.job import Job
from tests.support.processes import WorkerProcess, running_worker

from .hosts import machine
from .marks import NEEDS_PYTHON, PLACES, TAKES_TURNS

pytestmark = [*TAKES_TURNS, NEEDS_PYTHON]
SHOP = """
import os, socket
from pathlib import Path
from narrowboat import App, Needs, Retry

app = App("shop")
ONCE = Retry(attempts=1)
HERE = Path(__file__).parent

def hear(family, address):
    with socket.socket(family) as connection:
        connection.settimeout(5)
        connection.connect(tuple(address) if isinstance(address, list) else address)
        return connection.recv(100).decode()

@app.task(retry=ONCE, needs=Needs(network=[PORT]))
def call(host: str, port: int) -> str:
    family, _, _, _, address = socket.getaddrinfo(host, port, socket.AF_INET, socket.SOCK_STREAM)[0]
    return hear(family, list(address))

@app.task(retry=ONCE, needs=Needs(sockets=[HERE / "open.sock"]))
def knock(path: str) -> str:
    return hear(socket.AF_UNIX, path)

@app.task(retry=ONCE)
def resolve(host: str) -> None:
    socket.getaddrinfo(host, 80)

@app.task(retry=ONCE)
def send(port: int) -> None:
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", port))
"""


class Quay(NamedTuple):
    """A worker and servers beside it, each of which greets by its name."""

    app: App
    worker: WorkerProcess
    is_restricted: bool
    folder: Path
    declared: socket.socket
    other: socket.socket
    open: socket.socket
    shut: socket.socket

    def run(self, task: str, *args: object) -> Job:
        """The record of a job that has ended."""
        return self.app.enqueue_by_name(f"shop.{task}", *args).wait(30).record

    def greeted(self, server: socket.socket, task: str, *args: object) -> bytes:
        """The result of a job that this server has greeted."""
        job = self.app.enqueue_by_name(f"shop.{task}", *args)
        connection, _ = server.accept()
        with connection:
            connection.sendall(b"hello")
        return job.wait(30).record.result


@pytest.fixture(
    scope="module",
    params=PLACES.values(),
    ids=PLACES.keys(),
)
def quay(request: pytest.FixtureRequest) -> Iterator[Quay]:
    restricted, user = request.param
    with (
        socket.create_server(("127.0.0.1", 0)) as declared,
        socket.create_server(("127.0.0.1", 0)) as other,
        socket.socket(socket.AF_UNIX) as open_,
        socket.socket(socket.AF_UNIX) as shut,
        machine(
            SHOP.replace("PORT", str(declared.getsockname()[1])), user=user or None, restricted=restricted
        ) as there,
    ):
        for server, name in ((open_, "open.sock"), (shut, "shut.sock")):
            server.bind(str(there.folder / name))
            (there.folder / name).chmod(0o777)
            server.listen()
        for server in (declared, other, open_, shut):
            server.settimeout(20)
        with running_worker("shop:app", there.url, there.folder, "-n", "1", host=there.host) as worker:
            app = App("shop", url=there.url)
            yield Quay(app, worker, restricted, there.folder, declared, other, open_, shut)
            app.close()


def test_a_declared_port_can_be_reached_by_name_and_no_other(quay: Quay) -> None:
    port, other = quay.declared.getsockname()[1], quay.other.getsockname()[1]
    assert quay.greeted(quay.declared, "call", "localhost", port) == b'"hello"'
    ports = sorted((port, other))
    said = f"task shop.call tried to connect to 127.0.0.1:{other}; to allow it, declare needs=Needs(network={ports})"
    assert said in quay.run("call", "localhost", other).reason


def test_a_declared_local_socket_can_be_reached_and_no_other_where_there_are_namespaces(quay: Quay) -> None:
    assert quay.greeted(quay.open, "knock", str(quay.folder / "open.sock")) == b'"hello"'
    shut, said = str(quay.folder / "shut.sock"), "every local socket that its user may use is open"
    if quay.is_restricted:  # the kernel cannot tell them apart, and the worker's start says so
        assert quay.greeted(quay.shut, "knock", shut) == b'"hello"'
        assert said in quay.worker.output()
    else:
        assert quay.run("knock", shut).state == "dead"
        assert said not in quay.worker.output()


def test_names_and_datagrams_are_refused_in_words(quay: Quay) -> None:
    said = "to allow it, declare needs=Needs(network="
    assert f"task shop.resolve tried to connect to localhost.invalid:80; {said}[80])" in (
        quay.run("resolve", "localhost.invalid").reason
    )
    assert f"task shop.send tried to connect to the network; {said}True)" in quay.run("send", 9).reason
