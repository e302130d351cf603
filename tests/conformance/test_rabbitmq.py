"""RabbitMQ as a transport: the conformance suite, and what is its own."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Iterator
from urllib.parse import quote

import pika
import pytest

from narrowboat.backends.rabbitmq import RabbitTransport, open_transport
from narrowboat.backends.rabbitmq.queues import arguments
from narrowboat.backends.transport import Delivery, Notice, Transport
from narrowboat.core.errors import BackendError, BackendUnavailable, ConfigError
from tests.conformance.transports import TransportConformance
from tests.support.processes import wait_for
from tests.support.rabbitmq_server import RabbitServer, shared_rabbitmq
from tests.support.servers import free_port, program


class TestRabbitMQ(TransportConformance):
    def make_transport(self) -> Transport:
        return open_transport(shared_rabbitmq().apart())

    def reopen(self, transport: Transport) -> Transport:
        assert isinstance(transport, RabbitTransport)
        return open_transport(transport.url)

    def unreachable(self) -> Transport:
        return open_transport(f"amqp://127.0.0.1:{free_port()}?timeout=2")


class TestRabbitMQWithManagement(TransportConformance):
    """What it tells of what is held comes from the HTTP API."""

    def make_transport(self) -> Transport:
        server = shared_rabbitmq()
        return open_transport(f"{server.apart()}&management={server.management}")

    def reopen(self, transport: Transport) -> Transport:
        assert isinstance(transport, RabbitTransport)
        return open_transport(transport.url)


for name in dir(TransportConformance):  # one of its cases is enough
    if name.startswith("test_") and name != "test_the_service_says_how_much_waits_and_is_held":
        setattr(TestRabbitMQWithManagement, name, None)


class Port:
    """The shared node, and transports to it under names of queues that no other test has."""

    def __init__(self, server: RabbitServer) -> None:
        self.server = server
        self.prefix = server.apart().partition("?prefix=")[2]
        self._opened: list[RabbitTransport] = []

    def open(self, place: str = "", more: str = "") -> RabbitTransport:
        """place: instead of that of the user who may do anything."""
        self._opened.append(open_transport(f"{place or self.server.url}?prefix={self.prefix}{more}"))
        return self._opened[-1]

    def informed(self) -> RabbitTransport:
        """One that may ask the HTTP API."""
        return self.open(more=f"&management={self.server.management}")

    def queue(self, channel: str) -> str:
        return f"{self.prefix}.{channel.replace(':', '.', 1)}"

    def about(self, channel: str) -> dict[str, object]:
        """What the HTTP API says of a queue."""
        return self.server.asked(f"queues/%2F/{quote(self.queue(channel))}")

    def close(self) -> None:
        for transport in self._opened:
            transport.close()


@pytest.fixture
def port() -> Iterator[Port]:
    made = Port(shared_rabbitmq())
    yield made
    made.close()


def put(transport: Transport, channel: str, *bodies: bytes) -> None:
    transport.publish([Notice(channel, f"shop.send:{n}", body) for n, body in enumerate(bodies)])


def take(transport: Transport, channel: str, most: int = 10, timeout_s: float = 30.0) -> list[Delivery]:
    return transport.receive("w", [channel], most, timeout_s)


# Queues.


def test_a_channel_is_a_durable_quorum_queue_with_its_name(port: Port) -> None:
    put(port.open(), "queue:default", b"1")
    put(port.open(), "task:studio.images.thumbnail", b"1")
    assert port.queue("task:studio.images.thumbnail") == f"{port.prefix}.task.studio.images.thumbnail"
    for channel in ("queue:default", "task:studio.images.thumbnail"):
        about = port.about(channel)
        assert (about["type"], about["durable"], about["auto_delete"]) == ("quorum", True, False)


def test_without_a_prefix_names_begin_with_nb() -> None:
    transport = open_transport("amqp://localhost")
    assert transport.address.queue("queue:default") == "nb.queue.default"
    with pytest.raises(ConfigError, match="too long"):
        transport.publish([Notice("queue:" + 300 * "q", "t:1", b"")])


def test_a_queue_of_another_kind_is_refused_with_what_to_do(port: Port) -> None:
    port.server.asked(f"queues/%2F/{port.queue('queue:old')}", "PUT", {"durable": True})
    with pytest.raises(ConfigError, match=rf"rabbitmqctl delete_queue {port.queue('queue:old')}"):
        take(port.open(), "queue:old")


def test_a_queue_that_drops_what_came_back_often_is_used_and_said(port: Port) -> None:
    limited = {"x-queue-type": "quorum", "x-delivery-limit": 5}
    port.server.asked(f"queues/%2F/{port.queue('queue:old')}", "PUT", {"durable": True, "arguments": limited})
    transport = port.informed()
    put(transport, "queue:old", b"1")
    assert [found.body for found in take(transport, "queue:old")] == [b"1"]
    assert any("drops what has come back 5 times" in doubt for doubt in transport.doubts())


def test_since_4_0_queues_are_told_to_drop_nothing() -> None:
    assert arguments("3.13.7") == arguments("") == {"x-queue-type": "quorum"}
    assert arguments("4.0.5") == arguments("10.1") == {"x-queue-type": "quorum", "x-delivery-limit": -1}


def test_what_comes_back_more_often_than_the_limit_that_4_0_has_is_still_there(port: Port) -> None:
    transport = port.open()
    put(transport, "task:shop.send", b"1")
    for _ in range(25):
        transport.give_back(take(transport, "task:shop.send"))
    assert [found.body for found in take(transport, "task:shop.send")] == [b"1"]


def test_a_queue_that_is_deleted_is_made_anew_for_who_publishes_and_for_who_receives(port: Port) -> None:
    publishing, receiving = port.open(), port.open()
    put(publishing, "queue:default", b"1")
    receiving.accept(take(receiving, "queue:default"))
    found: list[Delivery] = []
    sleeping = threading.Thread(target=lambda: found.extend(take(receiving, "queue:default", timeout_s=120.0)))
    sleeping.start()
    wait_for("a consumer", lambda: port.open().depths(["queue:default"])["queue:default"].consumers)
    port.server.asked(f"queues/%2F/{port.queue('queue:default')}", "DELETE")
    wait_for("the queue to be made anew", lambda: port.open().depths(["queue:default"]))
    put(publishing, "queue:default", b"2")
    sleeping.join(30)
    assert [delivery.body for delivery in found] == [b"2"]
    receiving.close()  # its consumer comes back to the queue, too, and would be given what another waits for
    port.server.asked(f"queues/%2F/{port.queue('queue:default')}", "DELETE")
    put(publishing, "queue:default", b"3")
    assert [delivery.body for delivery in take(port.open(), "queue:default")] == [b"3"]


# Demand.


def test_who_takes_one_leaves_the_others_to_others(port: Port) -> None:
    busy, idle = port.open(), port.open()
    put(busy, "queue:default", *(b"%d" % n for n in range(50)))
    held = take(busy, "queue:default", most=1)
    found: set[bytes] = set()
    began = time.monotonic()
    while len(found) < 49 and time.monotonic() - began < 30:
        deliveries = take(idle, "queue:default", most=50, timeout_s=1)
        idle.accept(deliveries)
        found |= {delivery.body for delivery in deliveries}
    assert len(found) == 49
    assert held[0].body not in found


def test_who_asked_for_many_and_came_for_few_gives_the_rest_back_soon(port: Port) -> None:
    greedy, other = port.open(), port.open()
    take(greedy, "queue:default", most=100, timeout_s=0.1)
    put(other, "queue:default", *(b"%d" % n for n in range(30)))  # while it is still subscribed
    found: set[bytes] = set()
    began = time.monotonic()
    while len(found) < 30 and time.monotonic() - began < 30:
        deliveries = take(other, "queue:default", most=30, timeout_s=1)
        other.accept(deliveries)
        found |= {delivery.body for delivery in deliveries}
    assert len(found) == 30
    assert other.depths(["queue:default"])["queue:default"].waiting == 0


def test_many_can_be_held_at_once(port: Port) -> None:
    transport = port.open()
    put(transport, "queue:default", *(b"%d" % n for n in range(40)))
    held = [delivery for _ in range(40) for delivery in take(transport, "queue:default", most=1)]
    assert len({delivery.body for delivery in held}) == 40
    transport.accept(held[::2])  # what lies between them stays
    transport.close()
    again: set[bytes] = set()
    heir = port.open()
    while len(again) < 20 and (deliveries := take(heir, "queue:default", most=40)):
        again |= {delivery.body for delivery in deliveries}
    assert again == {delivery.body for delivery in held[1::2]}


def test_publishing_starts_no_thread_and_a_process_has_two_connections(port: Port) -> None:
    name = f"process-of-{port.prefix}"
    port.server.user(name, configure=".*", write=".*", read=".*")
    transport = port.open(f"amqp://{name}:secret@{port.server.place}")
    before = set(threading.enumerate())  # of which some may be about to end

    def threads() -> int:
        return len(set(threading.enumerate()) - before)

    def connections() -> int:
        return port.server.ctl("list_connections", "user").split().count(name)

    put(transport, "queue:default", b"1")
    wait_for("one connection", lambda: connections() == 1)
    assert threads() == 0
    for channel in ("queue:default", "queue:other"):
        take(transport, channel, timeout_s=0.1)
        put(transport, channel, b"2")
    wait_for("two connections", lambda: connections() == 2)
    assert threads() == 1
    transport.close()
    wait_for("the thread to end", lambda: threads() == 0)
    wait_for("the connections to end", lambda: connections() == 0)


# Other programs.


def test_what_amqp_tools_publish_is_received(port: Port) -> None:
    transport = port.open()
    take(transport, "task:shop.send", timeout_s=0.1)  # a worker that knows the task: there is a queue now
    command = [program("amqp-publish"), f"--url=amqp://guest:guest@{port.server.place}", "-p", "-b", '{"to": "Ada"}']
    subprocess.run([*command, "-r", port.queue("task:shop.send")], check=True, timeout=30)
    [delivery] = take(transport, "task:shop.send")
    assert (delivery.channel, delivery.body) == ("task:shop.send", b'{"to": "Ada"}')


def test_what_plain_pika_publishes_is_received_and_what_we_publish_it_reads(port: Port) -> None:
    transport = port.open()
    put(transport, "queue:default", b'{"v": 1}')
    with pika.BlockingConnection(pika.URLParameters(port.server.url)) as connection:
        channel = connection.channel()
        method, properties, body = channel.basic_get(port.queue("queue:default"), auto_ack=True)
        assert method is not None
        channel.basic_publish("", port.queue("queue:default"), b'{"v": 2}')
    assert (body, properties.message_id, properties.delivery_mode) == (b'{"v": 1}', "shop.send:0", 2)
    assert properties.content_type == "application/json"
    assert [delivery.body for delivery in take(transport, "queue:default")] == [b'{"v": 2}']


# Figures.


def test_its_own_figures_and_ours_agree(port: Port) -> None:
    transport = port.informed()
    put(transport, "queue:default", *(b"%d" % n for n in range(7)))
    held = take(transport, "queue:default", most=3)
    queue = port.queue("queue:default")

    def ours() -> tuple[int | None, int | None]:
        depth = transport.depths(["queue:default"])["queue:default"]
        return depth.waiting, depth.held

    expected = (7 - len(held), len(held))
    wait_for("rabbitmqctl to agree", lambda: port.server.counted(queue) == expected)
    wait_for("us to agree", lambda: ours() == expected)
    assert port.open().depths(["queue:default", "queue:none"]).keys() == {"queue:default"}


def test_doctor_tells_how_the_server_is_set_up(port: Port) -> None:
    transport = port.informed()
    put(transport, "queue:default", b"1")
    rows = {what: how for what, how, _ in transport.setup()}
    assert rows["version"] == port.server.ctl("version").strip()
    assert (rows["alarms"], rows["queues"], rows["dropping rules"]) == ("none", "1 (quorum)", "none")
    assert (rows["delivery limit"], transport.doubts()) == ("none", [])
    assert {how for _, how, _ in port.open().setup()} == {rows["version"], "NOT LOOKED AT"}


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ({"max-length": 5}, "drops messages (max-length 5)"),
        ({"message-ttl": 60000}, "drops messages (message-ttl 60000)"),
        ({"delivery-limit": 3}, "drops what has come back 3 times"),
        ({"max-length": 5, "overflow": "reject-publish"}, ""),
    ],
)
def test_policies_that_drop_messages_are_named(port: Port, rules: dict[str, object], said: str) -> None:
    policy = {"pattern": f"^{port.prefix}\\.", "definition": rules, "apply-to": "queues"}
    port.server.asked(f"policies/%2F/{port.prefix}", "PUT", policy)
    transport = port.informed()
    put(transport, "queue:default", b"1")
    if said:
        wait_for("a doubt", lambda: any(said in doubt for doubt in transport.doubts()))
    else:
        wait_for("the policy", lambda: port.about("queue:default").get("policy") == port.prefix)
        assert transport.doubts() == []
    port.server.asked(f"policies/%2F/{port.prefix}", "DELETE")


def test_a_message_that_the_server_refuses_is_said(port: Port) -> None:
    full = {"pattern": f"^{port.prefix}\\.", "definition": {"max-length": 1, "overflow": "reject-publish"}}
    port.server.asked(f"policies/%2F/{port.prefix}", "PUT", full)
    transport = port.open(more="&timeout=1")

    def is_refused() -> bool:
        try:
            put(transport, "queue:default", b"1")
        except BackendUnavailable as error:
            return "RabbitMQ refused a message" in str(error)
        return False

    wait_for("a refusal", is_refused)
    port.server.asked(f"policies/%2F/{port.prefix}", "DELETE")


# Who we are to it.

WRITE = "^amq\\.default$"


def test_a_worker_and_a_web_process_need_these_rights_and_no_others(port: Port) -> None:
    ours = f"^{port.prefix}\\."
    worker = port.open(port.server.user(f"worker-{port.prefix}", configure=ours, write=WRITE, read=ours))
    web = port.open(port.server.user(f"web-{port.prefix}", configure="^$", write=WRITE, read="^$"))
    with pytest.raises(BackendError, match="may not make it"):
        put(web, "queue:default", b"1")
    assert take(worker, "queue:default", timeout_s=0.1) == []
    put(web, "queue:default", b"1")
    put(worker, "queue:other", b"2")
    assert worker.depths(["queue:other"])["queue:other"].waiting == 1
    assert web.depths(["queue:other"])["queue:other"].waiting == 1
    with pytest.raises(BackendError, match="may not do that"):
        take(web, "queue:default")
    deliveries = take(worker, "queue:default")
    worker.accept(deliveries)
    assert [delivery.body for delivery in deliveries] == [b"1"]
    stranger = Port(port.server)
    with pytest.raises(BackendError, match="may not make it"):
        take(stranger.open(worker.url.partition("?")[0]), "queue:default")
    stranger.close()
    silent = port.open(port.server.user(f"silent-{port.prefix}", configure=ours, write="^$", read=ours))
    with pytest.raises(BackendError, match="may not do that"):
        put(silent, "queue:default", b"1")


@pytest.mark.parametrize(
    ("login", "vhost", "said"),
    [
        ("guest:wrong", "", "refused user or password"),
        ("nobody:guest", "", "refused user or password"),
        ("guest:guest", "/none", "rabbitmqctl add_vhost none"),
        ("stranger:secret", "/", "may not use the virtual host"),
    ],
)
def test_who_may_not_come_in_is_told_why_at_once(port: Port, login: str, vhost: str, said: str) -> None:
    port.server.asked("users/stranger", "PUT", {"password": "secret", "tags": ""})
    transport = open_transport(f"amqp://{login}@{port.server.place}{vhost}")
    for attempt in (lambda: put(transport, "queue:default", b"1"), lambda: take(transport, "queue:default")):
        began = time.monotonic()
        with pytest.raises(ConfigError, match=said) as raised:
            attempt()
        assert time.monotonic() - began < 4.0  # what may pass is tried again for 5 s
        assert "wrong" not in str(raised.value)
    transport.close()


def test_over_tls_messages_go_to_a_server_that_can_show_who_it_is_only(port: Port) -> None:
    known, place = port.server.certificates, f"amqps://guest:guest@127.0.0.1:{port.server.tls_port}"
    transport = port.open(place, f"&ssl_ca_certs={known.authority}")
    body = b"x" * 900_000  # many records of TLS
    put(transport, "queue:default", body)
    assert [delivery.body for delivery in take(transport, "queue:default")] == [body]
    doubtful = port.open(place, f"&ssl_ca_certs={known.stranger}")
    for attempt in (lambda: put(doubtful, "queue:default", b"1"), lambda: take(doubtful, "queue:default")):
        began = time.monotonic()
        with pytest.raises(ConfigError, match=r"certificate verify failed|CERTIFICATE_VERIFY_FAILED"):
            attempt()
        assert time.monotonic() - began < 4.0  # what may pass is tried again for 5 s


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("amqp://", "names no server"),
        ("amqp://host:port", "cannot be read"),
        ("amqp://ada:secret@host?heartbeat=0", "there is no setting 'heartbeat'"),
        ("amqp://ada:secret@host?prefix=a/b", "a prefix has"),
        ("amqp://ada:secret@host?timeout=0", "timeout is a number of seconds"),
        ("amqps://ada:secret@host?ssl_ca_certs=/none", "a certificate cannot be read"),
    ],
)
def test_a_url_that_cannot_be_used_says_why_without_its_password(url: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as raised:
        open_transport(url)
    assert "secret" not in str(raised.value)


def test_a_url_names_all_that_amqp_has() -> None:
    address = open_transport("amqp://a%40b:p%2Fw@host/shop%2Fimages?prefix=x").address
    assert (address.user, address.password, address.vhost, address.port) == ("a@b", "p/w", "shop/images", 5672)
    assert (open_transport("amqp://host").address.vhost, open_transport("amqps://host").address.port) == ("/", 5671)
    assert open_transport("amqp://ada:secret@host").location == "amqp://ada:***@host"
