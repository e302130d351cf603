"""RabbitMQ that is killed, cut off or short of memory: what was published comes, and everybody goes on."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from narrowboat.backends.rabbitmq import RabbitTransport, open_transport
from narrowboat.backends.rabbitmq.address import address_of
from narrowboat.backends.relay.backend import LOOK_S
from narrowboat.backends.transport import Notice, Transport
from narrowboat.core.errors import BackendUnavailable
from narrowboat.core.states import State
from tests.support.processes import ROOT, running_worker, wait_for
from tests.support.proxy import proxy
from tests.support.rabbitmq_server import RabbitServer

from .conftest import Harbour, moored

CHANNEL = "queue:default"


@pytest.fixture(scope="module")
def node() -> Iterator[RabbitServer]:
    server = RabbitServer()
    yield server
    server.remove()


@pytest.fixture(scope="module")
def impatient() -> Iterator[RabbitServer]:
    """One that takes back what is held for longer than a second; the default is half an hour."""
    server = RabbitServer({"consumer_timeout": "1000"})
    yield server
    server.remove()


def until_it_lasts(transport: Transport) -> None:
    """Make the queue, and wait until a killed 3.10.8 would find it again, which it was not seen to do at once.

    Nothing that can be asked tells when it would, so this is the one wait for a time.
    """
    transport.receive("w", [CHANNEL], 1, 0.1)
    threading.Event().wait(8.0)


class Publishing:
    """A thread that publishes batches until it is stopped; `kept` is what a publish that returned has sent."""

    def __init__(self, transport: Transport) -> None:
        self.transport, self.kept, self.refused = transport, set[bytes](), 0
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._publish)
        self._thread.start()

    def _publish(self) -> None:
        n = 0
        while not self._is_over.is_set():
            batch = [b"%d" % number for number in range(n, n + 10)]
            n += 10
            try:
                self.transport.publish([Notice(CHANNEL, body.decode(), body) for body in batch])
            except BackendUnavailable:
                self.refused += 1
            else:
                self.kept |= set(batch)

    def stop(self) -> set[bytes]:
        self._is_over.set()
        self._thread.join(30)
        assert not self._thread.is_alive()
        return self.kept


class Receiving:
    """A thread that receives and accepts until it is stopped."""

    def __init__(self, transport: Transport) -> None:
        self.transport, self.found, self.lost = transport, set[bytes](), 0
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._receive)
        self._thread.start()

    def _receive(self) -> None:
        while not self._is_over.is_set():
            try:
                deliveries = self.transport.receive("w", [CHANNEL], 50, 0.5)
            except BackendUnavailable:
                self.lost += 1
                continue
            self.found |= {delivery.body for delivery in deliveries}
            self.transport.accept(deliveries)

    def until_it_has(self, wanted: set[bytes]) -> None:
        wait_for(f"{len(wanted)} messages", lambda: wanted <= self.found, 60.0)
        self._is_over.set()
        self._thread.join(30)


def test_a_node_killed_and_restarted_between_publishes_and_receives_loses_nothing(node: RabbitServer) -> None:
    url = node.apart()
    one, other = open_transport(url), open_transport(url)
    until_it_lasts(one)
    publishing, receiving = Publishing(one), Receiving(other)
    for round_ in range(1, 3):
        wait_for("messages to flow", lambda round_=round_: len(receiving.found) > round_ * 300)  # type: ignore[misc]
        node.kill()
        node.start()
        flowed = len(publishing.kept)
        wait_for("messages to be taken again", lambda flowed=flowed: len(publishing.kept) > flowed)  # type: ignore[misc]
    kept = publishing.stop()
    receiving.until_it_has(kept)
    print(f"{len(kept)} published, {publishing.refused} publishes and {receiving.lost} receives refused, two kills")
    for transport in (one, other):
        transport.close()


def test_connections_that_are_cut_are_made_anew_within_the_call(node: RabbitServer) -> None:
    with proxy(node.port) as network:
        url = node.apart().replace(f":{node.port}", f":{network.port}")
        one, other = open_transport(url), open_transport(url)
        publishing, receiving = Publishing(one), Receiving(other)
        for round_ in range(1, 6):
            wait_for("messages to flow", lambda round_=round_: len(receiving.found) > round_ * 200)  # type: ignore[misc]
            assert network.cut() >= 1
        kept = publishing.stop()
        receiving.until_it_has(kept)
        assert (publishing.refused, receiving.lost) == (0, 0)
        for transport in (one, other):
            transport.close()


def test_what_was_held_when_the_connection_was_cut_comes_again_and_is_not_accepted_by_its_old_name(
    node: RabbitServer,
) -> None:
    with proxy(node.port) as network:
        transport = open_transport(node.apart().replace(f":{node.port}", f":{network.port}"))
        transport.publish([Notice(CHANNEL, "t:1", b"1"), Notice(CHANNEL, "t:2", b"2")])
        held = [delivery for _ in range(2) for delivery in transport.receive("w", [CHANNEL], 1, 20.0)]
        network.cut()
        again = transport.receive("w", [CHANNEL], 1, 30.0)
        transport.accept(held)  # of a connection that is no more
        again += transport.receive("w", [CHANNEL], 1, 30.0)
        assert {delivery.body for delivery in again} == {b"1", b"2"}
        assert all(delivery.is_redelivered for delivery in again)
        transport.accept(again)
        assert transport.receive("w", [CHANNEL], 1, 0.5) == []
        transport.close()


def test_short_of_memory_it_takes_nothing_says_so_and_still_gives(node: RabbitServer) -> None:
    url = node.apart()
    full, patient = open_transport(f"{url}&timeout=4"), open_transport(f"{url}&timeout=30")
    receiving = open_transport(f"{url}&timeout=4&management={node.management}")
    patient.publish([Notice(CHANNEL, "t:1", b"1")])  # makes the queue, with time enough
    full.publish([Notice(CHANNEL, "t:2", b"2")])
    [first] = receiving.receive("w", [CHANNEL], 1, 20.0)
    watermark = node.ctl("eval", "vm_memory_monitor:get_vm_memory_high_watermark().").strip()
    node.ctl("set_vm_memory_high_watermark", "0.0001")
    try:
        wait_for("the alarm", lambda: any("short of memory" in doubt for doubt in receiving.doubts()))
        for _ in range(2):
            began = time.monotonic()
            with pytest.raises(BackendUnavailable, match=r"takes no messages at the moment \(low on memory\)"):
                full.publish([Notice(CHANNEL, "t:3", b"3")])
            assert time.monotonic() - began < 10.0
        receiving.accept([first])
        [second] = receiving.receive("w", [CHANNEL], 1, 20.0)
        receiving.accept([second])
        wait_for("both to be gone", lambda: node.counted(receiving.address.queue(CHANNEL)) == (0, 0))
        waiting = threading.Thread(target=lambda: patient.publish([Notice(CHANNEL, "t:4", b"4")]))
        waiting.start()
    finally:
        node.ctl("set_vm_memory_high_watermark", watermark)
    waiting.join(40)
    bodies: set[bytes] = set()
    while b"4" not in bodies and (found := receiving.receive("w", [CHANNEL], 10, 5.0)):
        bodies |= {delivery.body for delivery in found}
        receiving.accept(found)
    assert b"4" in bodies
    assert not any("short of memory" in doubt for doubt in receiving.doubts())
    for transport in (full, patient, receiving):
        transport.close()


CONSUMER = """
import sys
from narrowboat.backends.rabbitmq import open_transport
transport = open_transport(sys.argv[1])
while True:
    for delivery in (deliveries := transport.receive("w", ["queue:default"], 5, 1.0)):
        print(delivery.body.decode(), flush=True)
    if "accept" in sys.argv:
        transport.accept(deliveries)
"""


def consumer(url: str, log: Path, *options: str) -> subprocess.Popen[bytes]:
    """A process of its own, which prints what it gets."""
    env = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    with log.open("wb") as output:
        return subprocess.Popen([sys.executable, "-c", CONSUMER, url, *options], env=env, stdout=output)


def test_two_processes_share_a_queue_and_each_message_goes_to_one(node: RabbitServer, tmp_path: Path) -> None:
    url, logs = node.apart(), [tmp_path / "one", tmp_path / "two"]
    transport = open_transport(url)
    consumers = [consumer(url, log, "accept") for log in logs]
    try:
        count = transport.depths
        wait_for("both to come", lambda: (d := count([CHANNEL])) and (d[CHANNEL].consumers or 0) == 2)
        perhaps_twice = set[int]()  # what is not confirmed in time is sent again
        for n in range(0, 400, 4):
            began = time.monotonic()
            transport.publish([Notice(CHANNEL, f"t:{m}", b"%d" % m) for m in range(n, n + 4)])
            if time.monotonic() - began > 0.5:
                perhaps_twice |= set(range(n, n + 4))
        wait_for("all of them", lambda: len({m for log in logs for m in log.read_text().split()}) == 400)
    finally:
        for process in consumers:
            process.kill()
            process.wait(10)
    one, two = (log.read_text().split() for log in logs)
    counted = Counter(map(int, one + two))
    assert set(counted) == set(range(400))
    assert {m for m, times in counted.items() if times > 1} <= perhaps_twice
    assert one and two
    transport.close()


def test_what_a_consumer_held_when_it_was_killed_is_delivered_again(node: RabbitServer, tmp_path: Path) -> None:
    url, log = node.apart(), tmp_path / "log"
    transport = open_transport(url)
    transport.publish([Notice(CHANNEL, f"t:{n}", b"%d" % n) for n in range(20)])
    doomed = consumer(url, log)
    wait_for("it to hold some", lambda: len(log.read_text().split()) >= 10)
    os.kill(doomed.pid, signal.SIGKILL)
    doomed.wait(10)
    found = gathered(transport, 20)
    assert set(log.read_text().split()) <= {body.decode() for body in found}
    assert found == {b"%d" % n for n in range(20)}
    transport.close()


def gathered(transport: RabbitTransport, wanted: int) -> set[bytes]:
    """So many different messages, received and accepted."""
    found: set[bytes] = set()
    while len(found) < wanted and (deliveries := transport.receive("w", [CHANNEL], 20, 10.0)):
        found |= {delivery.body for delivery in deliveries}
        transport.accept(deliveries)
    return found


def test_a_node_that_is_away_is_said_within_the_time_and_a_receive_can_be_roused_meanwhile(
    node: RabbitServer,
) -> None:
    transport = open_transport(f"{node.apart()}&timeout=2")
    until_it_lasts(transport)
    transport.publish([Notice(CHANNEL, "t:1", b"1")])
    transport.accept(transport.receive("w", [CHANNEL], 1, 20.0))
    node.kill()
    try:
        for attempt in (
            lambda: transport.publish([Notice(CHANNEL, "t:2", b"2")]),
            lambda: transport.receive("w", [CHANNEL], 1, 30.0),
            lambda: transport.depths([CHANNEL]),
            transport.doubts,
        ):
            began = time.monotonic()
            with pytest.raises(BackendUnavailable, match="no answer within 2 s"):
                attempt()
            assert time.monotonic() - began < 8.0
        transport.rouse("w")
        assert transport.receive("w", [CHANNEL], 1, 30.0) == []
    finally:
        node.start()

    def is_taken() -> bool:
        try:
            transport.publish([Notice(CHANNEL, "t:3", b"3")])
        except BackendUnavailable:  # the queue elects its leader
            return False
        return True

    wait_for("a publish", is_taken)
    assert b"3" in gathered(transport, 1)
    transport.close()


@pytest.mark.parametrize("answers", [1, 2])
def test_a_node_that_dies_while_a_connection_opens_has_refused_nobody(node: RabbitServer, answers: int) -> None:
    """answers: what it has sent before: how to log in, and what to agree on."""
    with socket.create_server(("127.0.0.1", 0)) as door:

        def slam() -> None:
            with contextlib.suppress(OSError):  # closed
                while True:
                    client, _ = door.accept()
                    with client, socket.create_connection(("127.0.0.1", node.port)) as there:
                        for _ in range(answers):
                            there.sendall(client.recv(65_536))
                            client.sendall(there.recv(65_536))
                        client.recv(65_536)
                        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

        threading.Thread(target=slam, daemon=True).start()
        transport = open_transport(f"amqp://guest:guest@127.0.0.1:{door.getsockname()[1]}?timeout=1")
        for attempt in (
            lambda: transport.publish([Notice(CHANNEL, "t:1", b"1")]),
            lambda: transport.receive("w", [CHANNEL], 1, 30.0),
            transport.doubts,
        ):
            with pytest.raises(BackendUnavailable, match="no answer within 1 s"):
                attempt()
        transport.close()


def test_a_node_that_stands_still_costs_a_publish_its_time_and_no_more(node: RabbitServer) -> None:
    transport = open_transport(f"{node.apart()}&timeout=4")
    transport.publish([Notice(CHANNEL, "t:1", b"1")])
    assert node.process is not None
    node.process.send_signal(signal.SIGSTOP)
    try:
        for _ in range(2):  # on a connection that was there, and on a new one
            began = time.monotonic()
            with pytest.raises(BackendUnavailable, match="no answer within 4 s"):
                transport.publish([Notice(CHANNEL, "t:2", b"2")])
            assert time.monotonic() - began < 10.0
    finally:
        node.process.send_signal(signal.SIGCONT)
    transport.publish([Notice(CHANNEL, "t:3", b"3")])
    assert gathered(transport, 2) >= {b"1"}
    transport.close()


def test_what_is_held_past_the_consumer_timeout_comes_again_and_its_holder_goes_on(impatient: RabbitServer) -> None:
    url = impatient.apart()
    holder, other = open_transport(url), open_transport(url)
    holder.publish([Notice(CHANNEL, "t:1", b"1")])
    held = holder.receive("w", [CHANNEL], 1, 20.0)
    assert [delivery.body for delivery in held] == [b"1"]
    [again] = other.receive("o", [CHANNEL], 1, 20.0)
    assert (again.body, again.is_redelivered) == (b"1", True)
    other.accept([again])
    other.close()
    holder.accept(held)
    holder.publish([Notice(CHANNEL, "t:2", b"2")])

    def has_come() -> bool:
        deliveries = holder.receive("w", [CHANNEL], 1, 1.0)  # the first once more, where its accept came too late
        holder.accept(deliveries)
        return b"2" in {delivery.body for delivery in deliveries}

    wait_for("the next one", has_come)
    holder.close()


@pytest.fixture
def ashore(impatient: RabbitServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Harbour]:
    """The app, with its jobs in SQLite and the news of them by the impatient node."""
    monkeypatch.setenv("NARROWBOAT_STORE", f"sqlite:///{tmp_path / 'harbour.db'}")
    yield from moored(tmp_path, monkeypatch, impatient.apart())


def test_a_worker_that_stood_still_past_the_consumer_timeout_is_told_of_jobs_again(
    impatient: RabbitServer, ashore: Harbour
) -> None:
    queue, nothing = address_of(ashore.url).queue(CHANNEL), ashore.module.nothing
    with running_worker("harbour:app", ashore.url, ashore.folder, "-n", "1") as worker:
        nothing.enqueue().wait(20)
        wait_for("it to sleep", lambda: impatient.counted(queue) == (0, 0))
        worker.freeze()
        said = len(impatient.log.read_bytes())
        job = nothing.enqueue()
        late = b"timed out waiting for delivery acknowledgement"  # so its notice was with the worker
        wait_for("the node to lose its patience", lambda: late in impatient.log.read_bytes()[said:])
        worker.signal(signal.SIGCONT)
        assert job.wait(20).state is State.SUCCEEDED
        took: list[float] = []
        for _ in range(5):
            wait_for("it to sleep", lambda: impatient.counted(queue) == (0, 0))
            began = time.monotonic()
            nothing.enqueue().wait(20)
            took.append(time.monotonic() - began)
        assert sorted(took)[2] < LOOK_S / 2, f"looks find jobs, and no notices: {took}"
        assert worker.stop() == 0
