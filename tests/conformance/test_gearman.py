"""Gearman, put through the suite of transports; and what only it has: functions, ids, several servers, its tools."""

from __future__ import annotations

import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from narrowboat.backends.gearman import GearmanTransport, client, open_transport
from narrowboat.backends.transport import Delivery, Depth, Notice, Transport
from narrowboat.core.errors import BackendUnavailable, ConfigError, PayloadTooLarge
from tests.conformance.transports import TransportConformance
from tests.support.gearman_server import GearmanServer, shared_gearman
from tests.support.processes import wait_for
from tests.support.servers import free_port, program

QUEUE, TASK = "queue:default", "task:studio.images.draw"


class TestGearman(TransportConformance):
    def make_transport(self) -> Transport:
        return open_transport(shared_gearman().url)

    def reopen(self, transport: Transport) -> Transport:
        return self.make_transport()

    def unreachable(self) -> Transport:
        return open_transport(f"gearman://127.0.0.1:{free_port()}")


class TestTwoGearmans(TransportConformance):
    has_one_order = False

    @pytest.fixture
    def service(self, second: GearmanServer) -> None:
        self._url = f"gearman://{shared_gearman().place},{second.place}"

    def make_transport(self) -> Transport:
        return open_transport(self._url)

    def reopen(self, transport: Transport) -> Transport:
        return self.make_transport()

    def unreachable(self) -> Transport:
        return open_transport(f"gearman://127.0.0.1:{free_port()},127.0.0.1:{free_port()}")


@pytest.fixture(scope="module")
def second(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GearmanServer]:
    server = GearmanServer(tmp_path_factory.mktemp("gearman"), "--round-robin", "--threads", "1")
    yield server
    server.stop()


@pytest.fixture
def prefix() -> str:
    return f"t{secrets.token_hex(4)}:"


@pytest.fixture
def transport(prefix: str) -> Iterator[GearmanTransport]:
    transport = open_transport(f"{shared_gearman().url}?prefix={prefix}")
    yield transport
    transport.close()


def put(transport: Transport, id: str, body: bytes = b"{}", channel: str = QUEUE, priority: int = 0) -> None:
    transport.publish([Notice(channel, id, body, priority)])


def take(transport: Transport, *channels: str, most: int = 10, timeout_s: float = 30.0) -> list[Delivery]:
    return transport.receive("w", channels or (QUEUE,), most, timeout_s)


def ids_at(server: GearmanServer) -> set[str]:
    """The ids of all jobs that it has."""
    shown = subprocess.run(
        [program("gearadmin"), "-p", str(server.port), "-h", "127.0.0.1", "--show-unique-jobs"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return set(shown.stdout.split()) - {"."}


def test_a_channel_is_a_function_and_an_id_is_what_it_calls_unique(transport: GearmanTransport, prefix: str) -> None:
    name = f"studio.images.draw:{secrets.token_hex(10)}"
    put(transport, name)
    assert name in ids_at(shared_gearman())
    status = {line.split("\t")[0] for line in gearadmin_status()}
    assert f"{prefix}queue:default" in status


def test_the_same_id_waits_once(transport: GearmanTransport) -> None:
    for name in ("a:1", "a:" + "ö" * 40, "a:" + "x" * 61, "a:" + "x" * 62, "-"):
        put(transport, name, b"first")
        put(transport, name, b"second")
        [delivery] = take(transport)
        assert delivery.body == b"first"
        transport.accept([delivery])
    assert take(transport, timeout_s=0.2) == []


def test_an_id_that_is_sent_while_it_is_held_is_not_delivered_again(transport: GearmanTransport) -> None:
    """A trap for who sends the next notice of a job before he has accepted the last one: docs/gearman.md says so."""
    put(transport, "a:1")
    held = take(transport)
    put(transport, "a:1")
    transport.accept(held)
    assert take(transport, timeout_s=0.2) == []
    put(transport, "a:1")
    assert len(take(transport)) == 1


def test_what_has_no_id_is_never_taken_for_another(transport: GearmanTransport) -> None:
    put(transport, "", b"1")
    put(transport, "", b"2")
    assert [delivery.body for delivery in take(transport)] == [b"1", b"2"]


def test_a_receive_takes_as_many_as_are_asked_for_and_there(transport: GearmanTransport) -> None:
    transport.publish([Notice(QUEUE, "", b"{}") for _ in range(230)])
    assert len(take(transport, most=210)) == 210
    assert len(take(transport, most=210)) == 20


def test_a_channel_may_have_any_name(transport: GearmanTransport, prefix: str) -> None:
    names = [f"queue:{name}" for name in ("a b", "tab\t", "line\nfeed", "nul\0", "größe/é", "100%", "q" * 300)]
    for name in names:
        put(transport, "a:1", name.encode(), channel=name)
    assert {delivery.channel: delivery.body.decode() for delivery in take(transport, *names)} == {n: n for n in names}
    assert transport.depths(names) == dict.fromkeys(names, Depth(waiting=0, held=1, consumers=1))
    assert f"{prefix}queue:tab%09\t1\t1\t1" in gearadmin_status()


def test_what_is_given_back_is_there_beside_what_stays_held(transport: GearmanTransport) -> None:
    for n in range(3):
        put(transport, f"a:{n}", b"%d" % n)
    held = take(transport)
    assert len(held) == 3
    transport.give_back(held[:1])
    assert transport.depths([QUEUE])[QUEUE] == Depth(waiting=1, held=2, consumers=1)
    [again] = take(transport)
    assert again.body == held[0].body
    transport.accept([again, *held[1:]])
    assert transport.depths([QUEUE])[QUEUE] == Depth(waiting=0, held=0, consumers=1)


def test_what_is_held_stays_so_when_its_channel_is_left(transport: GearmanTransport) -> None:
    put(transport, "a:1", b"1")
    held = take(transport)
    put(transport, "b:1", b"2", channel=TASK)
    [other] = take(transport, TASK)
    assert other.body == b"2"
    assert transport.depths([QUEUE])[QUEUE] == Depth(waiting=0, held=1, consumers=1)
    transport.accept([*held, other])
    assert take(transport, TASK, timeout_s=0.1) == []
    wait_for(
        "the end of the connection for the other channel",
        lambda: transport.depths([QUEUE])[QUEUE] == Depth(waiting=0, held=0, consumers=0),
    )


def test_priorities_hold_within_a_channel(transport: GearmanTransport) -> None:
    for n, priority in enumerate((-1, 0, 1, -100, 0, 100)):
        put(transport, f"a:{n}", b"%d" % priority, priority=priority)
    assert [delivery.body for delivery in take(transport)] == [b"1", b"100", b"0", b"0", b"-1", b"-100"]


def test_channels_of_other_prefixes_are_others(transport: GearmanTransport) -> None:
    other = open_transport(f"{shared_gearman().url}?prefix=t{secrets.token_hex(4)}:")
    put(other, "a:1")
    assert take(transport, timeout_s=0.2) == []
    assert transport.depths([QUEUE, TASK]).keys() == {QUEUE}
    assert len(take(other)) == 1
    other.close()


def test_two_servers_are_told_apart_by_the_id_and_counted_together(tmp_path: Path, prefix: str) -> None:
    servers = [GearmanServer(tmp_path), GearmanServer(tmp_path)]
    url = f"gearman://{servers[0].place},{servers[1].place}?prefix={prefix}"
    transport, other = open_transport(url), open_transport(url)
    ids = {f"a:{n}" for n in range(20)}
    for name in ids:
        put(transport, name)
        put(other, name)
    there = [ids_at(server) for server in servers]
    assert there[0] | there[1] == ids
    assert not there[0] & there[1], "the same id went to both"
    assert all(there)
    assert transport.depths([QUEUE])[QUEUE] == Depth(waiting=20, held=0, consumers=0)
    found: list[Delivery] = []
    while len(found) < 20:
        found += take(transport, most=7)
    assert transport.depths([QUEUE])[QUEUE] == Depth(waiting=0, held=20, consumers=2)
    servers[1].kill()
    assert transport.depths([QUEUE])[QUEUE] == Depth(waiting=0, held=len(there[0]), consumers=1, is_exact=False)
    for handle in (transport, other):
        handle.close()
    servers[0].stop()


# Other programs.


def gearadmin_status() -> list[str]:
    where = [program("gearadmin"), "-h", "127.0.0.1", "-p", str(shared_gearman().port), "--status"]
    return subprocess.run(where, capture_output=True, text=True, timeout=60, check=True).stdout.splitlines()


def gearman(*options: str, body: bytes) -> None:
    """Debian's client sends a message."""
    where = [program("gearman"), "-h", "127.0.0.1", "-p", str(shared_gearman().port)]
    subprocess.run([*where, *options], input=body, timeout=60, check=True)


def test_a_message_of_the_gearman_tool_is_received(transport: GearmanTransport, prefix: str) -> None:
    body = '{"text": "Grüße"}'.encode()
    gearman("-f", f"{prefix}{TASK}", "-b", body=body)
    gearman("-f", f"{prefix}{TASK}", "-b", "-I", "-u", "mine", body=b"{}")
    assert [(d.channel, d.body) for d in take(transport, TASK)] == [(TASK, b"{}"), (TASK, body)]


def test_an_id_of_64_bytes_leaves_the_body_as_it_was(transport: GearmanTransport, prefix: str) -> None:
    gearman("-f", f"{prefix}{TASK}", "-b", "-u", "u" * 64, body=b"{}")
    [delivery] = take(transport, TASK)
    assert delivery.body == b"{}"
    transport.give_back([delivery])
    [delivery] = take(transport, TASK)
    assert delivery.body == b"{}"


def test_a_client_that_waits_for_an_answer_gets_an_empty_one(transport: GearmanTransport, prefix: str) -> None:
    where = [program("gearman"), "-h", "127.0.0.1", "-p", str(shared_gearman().port), "-f", f"{prefix}{TASK}", "-s"]
    with subprocess.Popen(where, stdout=subprocess.PIPE) as waiting:
        deliveries = take(transport, TASK)
        assert len(deliveries) == 1
        transport.accept(deliveries)
        assert waiting.communicate(timeout=60) == (b"", None)
        assert waiting.returncode == 0


SENDER = """
import sys, gear
client = gear.Client("tests")
client.addServer("127.0.0.1", int(sys.argv[1]))
client.waitForServer(timeout=60)
job = gear.Job(sys.argv[2].encode(), b'{"text": "by gear"}', unique=b"of-gear")
client.submitJob(job, background=True, timeout=60)
client.shutdown()
"""


def test_a_message_of_gear_is_received(transport: GearmanTransport, prefix: str) -> None:
    words = [sys.executable, "-W", "ignore", "-c", SENDER, str(shared_gearman().port), f"{prefix}{TASK}"]
    subprocess.run(words, timeout=60, check=True)
    assert "of-gear" in ids_at(shared_gearman())
    [delivery] = take(transport, TASK)
    assert (delivery.channel, delivery.body) == (TASK, b'{"text": "by gear"}')


def test_gearadmin_agrees_with_the_depths(transport: GearmanTransport, prefix: str) -> None:
    for n in range(5):
        put(transport, f"a:{n}")
    held = take(transport, most=2)
    assert len(held) == 2
    assert transport.depths([QUEUE])[QUEUE] == Depth(waiting=3, held=2, consumers=1)
    assert f"{prefix}{QUEUE}\t5\t2\t1" in gearadmin_status(), "total, running, workers"


def test_a_message_of_others_that_is_too_long_is_cut_and_stops_nobody(transport: GearmanTransport, prefix: str) -> None:
    longest = transport.capabilities.max_bytes
    gearman("-f", f"{prefix}{TASK}", "-b", "-I", body=b"x" * (longest + 100_000))
    put(transport, "a:1", b"y" * longest, channel=TASK)
    cut, whole = take(transport, TASK)
    assert longest < len(cut.body) <= client.LONGEST
    assert whole.body == b"y" * longest
    transport.accept([cut, whole])
    assert transport.depths([TASK])[TASK].held == 0


def test_more_than_is_taken_is_not_sent(transport: GearmanTransport) -> None:
    with pytest.raises(PayloadTooLarge, match="1,048,577 bytes"):
        put(transport, "a:1", b"x" * (transport.capabilities.max_bytes + 1))
    assert transport.depths([QUEUE]) == {}


# URLs, and what it says of itself.


def test_nothing_connects_before_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> NoReturn:
        raise AssertionError("it connected")

    monkeypatch.setattr("socket.create_connection", refuse)
    open_transport("gearman://nowhere.invalid").close()


@pytest.mark.parametrize(
    ("url", "location"),
    [
        ("gearman://box", "gearman://box:4730"),
        ("gearman://box/", "gearman://box:4730"),
        ("gearman://box,10.0.0.2:99,box", "gearman://box:4730,10.0.0.2:99"),
        ("gearman://[::1]:99,[fe80::1%25eth0]", "gearman://[::1]:99,[fe80::1%25eth0]:4730"),
        ("gearman://box?prefix=", "gearman://box:4730?prefix="),
        ("gearman://box?prefix=nb:", "gearman://box:4730"),
    ],
)
def test_a_url_names_servers(url: str, location: str) -> None:
    assert open_transport(url).location == location


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("gearman://", "'' is no server"),
        ("gearman://box:0", "'box:0' is no server"),
        ("gearman://box:65536", "is no server"),
        ("gearman://a b", "is no server"),
        ("gearman://box,", "'' is no server"),
        ("gearman://user:secret@box", "knows neither users nor passwords"),
        ("gearman://box?ssl=1", "no setting 'ssl'"),
        ("gearman://box?prefix=a%20b", "a prefix has"),
        ("gearman://" + ",".join(f"box{n}" for n in range(17)), "at most 16"),
    ],
)
def test_a_url_that_cannot_be_understood_is_refused(url: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says) as refused:
        open_transport(url)
    assert "secret" not in str(refused.value)


def test_it_says_that_nobody_is_asked_for_a_password_and_what_is_forgotten(transport: GearmanTransport) -> None:
    guard, forgets = transport.doubts()
    assert "password" in guard
    assert "memory" in forgets
    put(transport, "a:1")
    (name, version, _), (_, queues, what) = transport.setup()
    assert name == shared_gearman().place
    assert version.startswith("gearmand 1.")
    assert queues == "1 message waiting, 0 held"
    assert what.startswith("no worker for t")
    take(transport)
    assert transport.setup()[1][1:] == ("0 messages waiting, 1 held", "each channel with messages has a worker")


def test_a_server_that_is_away_is_named(prefix: str) -> None:
    place = f"127.0.0.1:{free_port()}"
    transport = open_transport(f"{shared_gearman().url},{place}")
    assert len(transport.doubts()) == 3
    assert place in transport.doubts()[2]
    assert (place, "away") in [line[:2] for line in transport.setup()]


def test_a_queue_that_is_full_is_said(transport: GearmanTransport, prefix: str) -> None:
    put(transport, "a:1")
    assert shared_gearman().says(f"maxqueue {prefix}{QUEUE} 2") == "OK"
    with pytest.raises(BackendUnavailable, match="Job queue is full"):
        transport.publish([Notice(QUEUE, f"a:{n}", b"{}") for n in range(2, 6)])
    assert transport.depths([QUEUE])[QUEUE].waiting == 2
    transport.accept(take(transport))
    put(transport, "a:6")
    assert len(take(transport)) == 1
