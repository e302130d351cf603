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
import http.server, os, socket
from pathlib import Path
from narrowboat import App, Needs, Retry

app = App("shop")
ONCE = Retry(attempts=1)
HERE = Path(__file__).parent

def hear(family, address):
    with socket.socket(family) as connection:
        connection.settimeout(30)
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

@app.task(retry=ONCE)
def serve(port: int) -> None:
    socket.create_server(("127.0.0.1", port))

@app.task(retry=ONCE)
def serve_pages(port: int) -> None:
    http.server.HTTPServer(("127.0.0.1", port), http.server.BaseHTTPRequestHandler)

@app.task(retry=ONCE, needs=Needs(network=[PORT]))
def serve_though_it_may_connect(port: int) -> None:
    socket.create_server(("127.0.0.1", port))

@app.task(retry=ONCE, needs=Needs(network=[PORT]))
def bind(port: int) -> None:
    socket.socket().bind(("127.0.0.1", port))

@app.task(retry=ONCE, needs=Needs(network=[PORT]))
def listen_anywhere() -> None:
    socket.socket().listen()

@app.task(needs=Needs(network=True))
def serve_as_declared() -> bool:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()):
        return server.accept()[0].fileno() > 2

@app.task(retry=ONCE, needs=Needs(sockets=[HERE / "open.sock"]))
def make_a_socket(path: str) -> None:
    socket.socket(socket.AF_UNIX).bind(path)

@app.task(needs=Needs(sockets=[HERE / "open.sock"]))
def make_a_socket_in_scratch() -> bool:
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind("own.sock")
        server.listen()
        client.connect("own.sock")
        return os.path.exists("own.sock")
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
    assert f"task shop.send tried to use the network; {said}True)" in quay.run("send", 9).reason


@pytest.mark.parametrize("task", ["serve", "serve_pages", "serve_though_it_may_connect", "bind"])
def test_listening_is_refused_in_words_also_on_a_port_that_may_be_connected_to(quay: Quay, task: str) -> None:
    port = quay.declared.getsockname()[1]
    said = f"task shop.{task} tried to listen on 127.0.0.1:{port}; to allow it, declare needs=Needs(network=True)"
    assert said in quay.run(task, port).reason


def test_who_may_connect_to_a_port_may_not_listen_on_whichever_is_free(quay: Quay) -> None:
    said = "task shop.listen_anywhere tried to use the network; to allow it, declare needs=Needs(network=True)"
    assert said in quay.run("listen_anywhere").reason


def test_who_declares_the_network_may_listen(quay: Quay) -> None:
    assert quay.run("serve_as_declared").result == b"true"


def test_local_sockets_are_made_in_scratch_and_nowhere_else(quay: Quay) -> None:
    assert quay.run("make_a_socket_in_scratch").result == b"true"
    path, declare = str(quay.folder / "new.sock"), f'declare needs=Needs(write=["{quay.folder}"])'
    said = f"tried to make the socket {path}; to allow it outside its scratch folder, {declare}"
    assert said in quay.run("make_a_socket", path).reason
