"""Gearman: killed, restarted with nothing left, stopped, replaced by something else, and one of two gone."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import struct
import threading
import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import example, given, settings

from narrowboat.backends.gearman import GearmanTransport, client, open_transport
from narrowboat.backends.gearman.client import Kind, Nonsense, Packet, Reader
from narrowboat.backends.transport import Delivery, Notice
from narrowboat.core.errors import BackendUnavailable
from tests.support.gearman_server import GearmanServer
from tests.support.processes import wait_for
from tests.support.servers import free_port

QUEUE = "queue:default"
IDS = [f"a:{n}" for n in range(20)]  # of both servers, where there are two


@pytest.fixture
def server(tmp_path: Path) -> Iterator[GearmanServer]:
    server = GearmanServer(tmp_path)
    yield server
    server.kill()


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[GearmanServer, GearmanServer]]:
    servers = GearmanServer(tmp_path), GearmanServer(tmp_path)
    yield servers
    for server in servers:
        server.kill()


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor() as threads:
        yield threads


@contextlib.contextmanager
def opened(*places: str) -> Generator[GearmanTransport]:
    transport = open_transport(f"gearman://{','.join(places)}")
    try:
        yield transport
    finally:
        transport.close()


def put(transport: GearmanTransport, *ids: str) -> None:
    transport.publish([Notice(QUEUE, name, name.encode()) for name in ids])


def take(transport: GearmanTransport, most: int = 50, timeout_s: float = 10.0) -> list[Delivery]:
    return transport.receive("w", [QUEUE], most, timeout_s)


def take_all(transport: GearmanTransport, ids: list[str], within_s: float = 20.0) -> None:
    """Receive and accept until each has come."""
    missing, until = {name.encode() for name in ids}, time.monotonic() + within_s
    while missing and time.monotonic() < until:
        deliveries = take(transport, timeout_s=0.5)
        transport.accept(deliveries)
        missing -= {delivery.body for delivery in deliveries}
    assert not missing


def is_waited_for(server: GearmanServer) -> bool:
    """Whether it has a worker."""
    with socket.create_connection(("127.0.0.1", server.port), 5) as connection, connection.makefile() as answer:
        connection.sendall(b"status\n")
        return answer.readline().endswith("\t1\n")


def ends_within(seconds: float, act: Callable[[], object], says: str) -> None:
    began = time.monotonic()
    with pytest.raises(BackendUnavailable, match=says):
        act()
    assert time.monotonic() - began < seconds


# Killed, and back with nothing.


def test_a_receive_goes_on_with_a_server_that_was_killed_and_has_forgotten_everything(
    server: GearmanServer, threads: ThreadPoolExecutor
) -> None:
    with opened(server.place) as transport, opened(server.place) as sender:
        put(sender, "a:1", "a:2")
        held = take(transport, most=1)
        asleep: Future[list[Delivery]] = threads.submit(lambda: take(transport, timeout_s=30))
        second = asleep.result(timeout=20)
        asleep = threads.submit(lambda: take(transport, timeout_s=30))
        wait_for("a sleeper", lambda: is_waited_for(server))
        server.kill()
        with pytest.raises(BackendUnavailable, match=server.place):
            asleep.result(timeout=20)
        ends_within(5, lambda: put(sender, "a:3"), f"took no message: {server.place}: .*refused")
        ends_within(5, lambda: take(transport), f"{server.place}: .*refused")
        ends_within(5, lambda: transport.depths([QUEUE]), f"does not answer: {server.place}: .*refused")
        server.start()
        assert transport.depths([QUEUE]) == {}, "it has forgotten"
        transport.accept(held)
        transport.give_back(second)
        put(sender, "a:4")
        assert [delivery.body for delivery in take(transport)] == [b"a:4"]


def test_a_restart_between_two_calls_is_not_noticed(server: GearmanServer) -> None:
    with opened(server.place) as transport:
        put(transport, "a:1")
        transport.accept(take(transport))
        server.kill()
        server.start()
        put(transport, "a:2")
        assert [delivery.body for delivery in take(transport)] == [b"a:2"]


def test_a_sleeper_whose_server_is_restarted_hears_of_the_next_message(
    server: GearmanServer, threads: ThreadPoolExecutor
) -> None:
    """As a worker does it: a receive that fails is repeated."""
    stop = threading.Event()

    def receive() -> bytes:
        while not stop.is_set():
            try:
                deliveries = take(transport, timeout_s=30)
            except BackendUnavailable:
                stop.wait(0.05)
                continue
            return deliveries[0].body
        return b""

    with opened(server.place) as transport, opened(server.place) as sender:
        received = threads.submit(receive)
        wait_for("a sleeper", lambda: is_waited_for(server))
        server.kill()
        server.start()
        wait_for("a sleeper again", lambda: server.says("status") and is_waited_for(server))
        put(sender, "a:1")
        try:
            assert received.result(timeout=25) == b"a:1"
        finally:
            stop.set()


# One of two.


def test_one_of_two_servers_dies_and_comes_back(pair: tuple[GearmanServer, GearmanServer]) -> None:
    first, second = pair
    with opened(first.place, second.place) as transport, opened(first.place, second.place) as sender:
        for dead, left in ((first, second), (second, first)):
            put(sender, *IDS)
            take_all(transport, IDS)
            dead.kill()
            put(sender, *IDS)
            assert left.says("status").endswith("\t20\t0\t1"), "all of them are at the one that is left"
            take_all(transport, IDS)
            dead.start()
            wait_for("messages at the one that is back", lambda dead=dead: is_used(sender, dead))  # type: ignore[misc]
            take_all(transport, IDS)


def is_used(sender: GearmanTransport, server: GearmanServer) -> bool:
    put(sender, *IDS)
    return server.says("status").startswith("nb:")


def test_a_sleeper_on_two_servers_outlives_either(
    pair: tuple[GearmanServer, GearmanServer], threads: ThreadPoolExecutor
) -> None:
    first, second = pair
    with opened(first.place, second.place) as transport:
        asleep = threads.submit(lambda: take(transport, timeout_s=30))
        for server in pair:
            wait_for("a sleeper", lambda server=server: is_waited_for(server))  # type: ignore[misc]
        first.kill()
        with opened(second.place) as sender:
            put(sender, "a:1")
        assert [delivery.body for delivery in asleep.result(timeout=20)] == [b"a:1"]
        asleep = threads.submit(lambda: take(transport, timeout_s=30))
        first.start()
        with opened(first.place) as sender:
            put(sender, "a:2")
        assert [delivery.body for delivery in asleep.result(timeout=25)] == [b"a:2"], "it is tried again"


def test_a_server_that_stands_still_costs_a_bounded_time(
    pair: tuple[GearmanServer, GearmanServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    still, well = pair
    bound(monkeypatch, 2.0)
    with opened(still.place, well.place) as transport, opened(still.place) as alone:
        put(transport, *IDS)
        take_all(transport, IDS)
        os.kill(still.process.pid, signal.SIGSTOP)
        try:
            began = time.monotonic()
            put(transport, *IDS)
            assert time.monotonic() - began < 6, "half of the time for each"
            began = time.monotonic()
            assert len(take(transport)) == 20
            assert time.monotonic() - began < 8, "the connection that was there, and one more try"
            ends_within(6, lambda: put(alone, "a:1"), f"{still.place}: no answer in time")
            ends_within(8, lambda: take(alone), f"{still.place}: no answer in time")
            ends_within(6, lambda: alone.depths([QUEUE]), f"{still.place}: no answer in time")
        finally:
            os.kill(still.process.pid, signal.SIGCONT)


# What is no gearmand.


class Impostor:
    """Takes connections on a port, and says the same to each, whatever it hears. drips: a byte at a time."""

    def __init__(self, says: bytes, drips: bool = False) -> None:
        self._says, self._drips = says, drips
        self._server = socket.create_server(("127.0.0.1", 0))
        self.place = f"127.0.0.1:{self._server.getsockname()[1]}"
        self._taken: list[socket.socket] = []
        self._thread = threading.Thread(target=self._accept)
        self._thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._server.accept()
                self._taken.append(connection)
                if self._drips:
                    threading.Thread(target=self._drip, args=(connection,), daemon=True).start()
                else:
                    with contextlib.suppress(OSError):
                        connection.sendall(self._says)

    def _drip(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            for byte in self._says:
                connection.sendall(bytes([byte]))
                time.sleep(0.05)  # slower than it may be, faster than a reader's patience

    def close(self) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join(5)
        for connection in self._taken:
            connection.close()


def bound(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Wait no longer than this for one server, nor for all of them together to take a message."""
    for name in ("consumer.ANSWER_S", "transport.ANSWER_S", "health.LOOK_S", "senders.TIMEOUT_S"):
        monkeypatch.setattr(f"narrowboat.backends.gearman.{name}", seconds)


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    bound(monkeypatch, 1.0)


def response(kind: int, data: bytes, size: int | None = None) -> bytes:
    return struct.pack(">4sII", b"\0RES", kind, len(data) if size is None else size) + data


@pytest.mark.usefixtures("patience")
@pytest.mark.parametrize(
    ("says", "names"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n", "does not speak Gearman, but says b'SSH-2.0"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "does not speak Gearman, but says b'HTTP/1.1"),
        (b"-ERR unknown command\r\n", "does not speak Gearman, but says b'-ERR"),
        (b"\0REQ" + bytes(8), "does not speak Gearman"),
        (b"", "no answer in time"),
        (b"\0RES\0\0", "no answer in time"),
        (response(Kind.NOOP, b"") * 5, "NOOP, which is no answer|no answer in time"),
        (response(Kind.ECHO_RES, b"") * 5, "ECHO_RES, which is no answer"),
        (response(99, b""), "kind that is not expected: 99"),
        (response(Kind.ECHO_RES, b"", 1 << 31), "ECHO_RES of 2,147,483,648 bytes"),
        (response(Kind.ERROR, b"SERVER_ERROR\0out of luck"), r"out of luck \(SERVER_ERROR\)"),
    ],
)
def test_another_service_on_that_port_is_an_error_that_says_so(says: bytes, names: str) -> None:
    impostor = Impostor(says)
    try:
        with opened(impostor.place) as transport:
            ends_within(6, lambda: put(transport, "a:1"), names)
            ends_within(6, lambda: take(transport), names)
            ends_within(6, lambda: transport.depths([QUEUE]), impostor.place)
            assert impostor.place in transport.doubts()[-1]
            assert transport.setup()[0][1] == "away"
    finally:
        impostor.close()


@pytest.mark.usefixtures("patience")
@pytest.mark.parametrize(
    ("data", "names"),
    [
        (b"H:1\0nb:queue:default", "without all its parts"),
        (b"\0nb:queue:default\0id\0body", "without all its parts"),
        (b"H:1\0nb:queue:other\0id\0body", "a function that was not asked for"),
        (b"", "without all its parts"),
    ],
)
def test_an_assignment_that_makes_no_sense_is_an_error(data: bytes, names: str) -> None:
    impostor = Impostor(response(Kind.JOB_ASSIGN_UNIQ, data))
    try:
        with opened(impostor.place) as transport:
            ends_within(6, lambda: take(transport, most=1), names)
    finally:
        impostor.close()


@pytest.mark.usefixtures("patience")
def test_a_server_that_drips_is_given_no_more_time() -> None:
    impostor = Impostor(response(Kind.JOB_ASSIGN_UNIQ, b"H:1\0nb:queue:default\0id\0" + b"x" * 1000), drips=True)
    try:
        with opened(impostor.place) as transport:
            ends_within(6, lambda: take(transport, most=1), "no answer in time")
            ends_within(6, lambda: put(transport, "a:1"), "no answer in time")
    finally:
        impostor.close()


@pytest.mark.usefixtures("patience")
def test_the_patience_with_many_silent_servers_does_not_add_up(server: GearmanServer) -> None:
    silent = [Impostor(b"") for _ in range(8)]
    try:
        with opened(*(impostor.place for impostor in silent), server.place) as transport:
            with opened(server.place) as sender:
                put(sender, "a:1")
            began = time.monotonic()
            assert [delivery.body for delivery in take(transport)] == [b"a:1"]
            assert not transport.depths([QUEUE])[QUEUE].is_exact
            assert time.monotonic() - began < 8, "a second each would be sixteen"
    finally:
        for impostor in silent:
            impostor.close()


def test_an_impostor_beside_a_server_stops_nobody(server: GearmanServer) -> None:
    impostor = Impostor(b"SSH-2.0-OpenSSH_9.2\r\n")
    try:
        with opened(impostor.place, server.place) as transport:
            put(transport, *IDS)
            take_all(transport, IDS)
            assert not transport.depths([QUEUE])[QUEUE].is_exact
    finally:
        impostor.close()


# Whatever bytes come.

KINDS = st.one_of(st.sampled_from([*Kind]), st.integers(0, 2**32 - 1))
PACKETS = st.builds(response, KINDS, st.binary(max_size=60), st.one_of(st.none(), st.integers(0, 2**32 - 1)))
STREAMS = st.lists(st.one_of(PACKETS, st.binary(max_size=20)), max_size=8).map(b"".join)


def cut(stream: bytes, sizes: list[int]) -> Iterator[bytes]:
    """A stream in pieces."""
    at = 0
    for size in sizes:
        yield stream[at : at + size]
        at += size
    yield stream[at:]


def read(pieces: Iterator[bytes]) -> Iterator[Packet]:
    reader = Reader()
    for piece in pieces:
        reader.feed(piece)
        while packet := reader.next():
            yield packet


@settings(max_examples=500, deadline=None, derandomize=True, database=None)
@given(STREAMS, st.lists(st.integers(1, 30), max_size=20))
@example(response(Kind.JOB_ASSIGN_UNIQ, b"", 2**32 - 1) + bytes(2 * client.LONGEST), [12, client.LONGEST])
def test_whatever_a_server_sends_is_packets_or_nonsense(stream: bytes, sizes: list[int]) -> None:
    taken = 0
    with contextlib.suppress(Nonsense):
        for packet in read(cut(stream, sizes)):
            taken += 12 + len(packet.data)
            assert packet.kind in client.ANSWERS
            if packet.kind == Kind.JOB_ASSIGN_UNIQ:
                with contextlib.suppress(Nonsense):
                    assert client.assignment(packet).handle
            else:
                assert client.refusal(packet)
    assert taken <= len(stream)


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(
    st.lists(st.tuples(st.sampled_from(sorted(client.ANSWERS)), st.binary(max_size=100)), max_size=10),
    st.lists(st.integers(1, 50), max_size=30),
)
def test_packets_are_the_same_however_they_are_cut(packets: list[tuple[Kind, bytes]], sizes: list[int]) -> None:
    stream = b"".join(response(*packet) for packet in packets)
    assert list(read(cut(stream, sizes))) == packets


@given(st.integers(0, 3 * client.LONGEST), st.lists(st.integers(1, client.LONGEST), max_size=5))
@settings(max_examples=30, deadline=None, derandomize=True, database=None)
def test_what_is_too_long_is_cut_and_the_next_packet_is_whole(size: int, sizes: list[int]) -> None:
    stream = response(Kind.JOB_ASSIGN_UNIQ, bytes(size)) + response(Kind.NO_JOB, b"")
    assert list(read(cut(stream, sizes))) == [
        (Kind.JOB_ASSIGN_UNIQ, bytes(min(size, client.LONGEST))),
        (Kind.NO_JOB, b""),
    ]


def test_whatever_a_server_sends_a_call_ends_with_the_errors_of_the_port(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a real connection, so fewer of them."""
    bound(monkeypatch, 0.1)
    held = response(Kind.JOB_ASSIGN_UNIQ, b"H:1\0nb:queue:default\0id\0body")

    @settings(max_examples=25, deadline=None, derandomize=True, database=None)
    @given(st.one_of(STREAMS, STREAMS.map(lambda stream: held + stream)))
    def tell(stream: bytes) -> None:
        impostor = Impostor(stream)
        transport = open_transport(f"gearman://{impostor.place}")
        began = time.monotonic()
        try:
            with contextlib.suppress(BackendUnavailable):
                put(transport, "a:1")
            with contextlib.suppress(BackendUnavailable):
                deliveries = take(transport, most=1, timeout_s=0.1)
                transport.accept(deliveries)
                transport.give_back(deliveries)
            with contextlib.suppress(BackendUnavailable):
                transport.depths([QUEUE])
            transport.close()
            assert time.monotonic() - began < 10
        finally:
            impostor.close()

    tell()


def test_nobody_there_is_said_at_once() -> None:
    with opened(f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}") as transport:
        ends_within(5, lambda: put(transport, "a:1"), "refused.*; .*refused")
        ends_within(5, lambda: take(transport), "refused")
