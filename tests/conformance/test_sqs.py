"""Amazon SQS, as moto plays it over HTTP: what is its own, beside what every transport does."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from narrowboat.backends import urls
from narrowboat.backends.base import Filter
from narrowboat.backends.sqs import SqsTransport, address_of, ear, open_transport, queues
from narrowboat.backends.transport import Delivery, Notice, Transport
from narrowboat.core.errors import BackendError, ConfigError
from narrowboat.core.states import FINAL, State
from tests.conformance.transports import TransportConformance
from tests.support.aws_server import ENVIRONMENT, REGION, shared_aws
from tests.support.meddler import Meddler, meddler
from tests.support.processes import running_worker, wait_for
from tests.support.servers import free_port, program


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)


class TestSqs(TransportConformance):
    comes_back_within_s = 20.0
    survives_kill_within_s = 40.0

    def make_transport(self) -> Transport:
        return open_transport(shared_aws().sqs("visibility=10"))  # what is held must stay so until it is accepted

    def reopen(self, transport: Transport) -> Transport:
        return open_transport(transport.url)

    def unreachable(self) -> Transport:
        return open_transport(f"sqs://eu-west-1?endpoint_url=http://127.0.0.1:{free_port()}")


@pytest.fixture
def transport() -> Iterator[SqsTransport]:
    made = open_transport(shared_aws().sqs("visibility=30"))
    yield made
    made.close()


@pytest.fixture
def sqs() -> Any:
    """Amazon's own client, for looking behind."""
    return shared_aws().client("sqs")


@pytest.fixture
def meddled() -> Iterator[tuple[Meddler, SqsTransport]]:
    """A transport whose service answers as a test says."""
    with meddler(shared_aws().port) as between:
        made = open_transport(shared_aws().sqs(url=between.url))
        yield between, made
        made.close()


def prefix_of(transport: SqsTransport) -> str:
    return address_of(transport.url).prefix


def attributes(sqs: Any, name: str) -> dict[str, str]:
    url = sqs.get_queue_url(QueueName=name)["QueueUrl"]
    found: dict[str, str] = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    return found


def notices(n: int, channel: str = "queue:images") -> list[Notice]:
    return [Notice(channel, f"a:{number}", b'{"n":%d}' % number) for number in range(n)]


def received(transport: SqsTransport, n: int, *channels: str) -> list[Delivery]:
    """So many, accepted."""
    found: list[Delivery] = []

    def has_all() -> bool:
        found.extend(transport.receive("w", channels or ["queue:images"], 100, 1.0))
        return len(found) >= n

    wait_for(f"{n} messages", has_all)
    transport.accept(found)
    return found


# Queues.


def test_queues_are_made_with_the_longest_retention_and_a_queue_for_dead_letters(
    transport: SqsTransport, sqs: Any
) -> None:
    transport.publish(notices(1))
    made = attributes(sqs, f"{prefix_of(transport)}queue-images")
    dead = attributes(sqs, f"{prefix_of(transport)}dead")
    assert json.loads(made["RedrivePolicy"]) == {"deadLetterTargetArn": dead["QueueArn"], "maxReceiveCount": 100}
    assert made["MessageRetentionPeriod"] == dead["MessageRetentionPeriod"] == str(14 * 86_400)


def test_a_queue_that_is_there_is_used_as_it_is(transport: SqsTransport, sqs: Any) -> None:
    name = f"{prefix_of(transport)}queue-images"
    sqs.create_queue(QueueName=name, Attributes={"MessageRetentionPeriod": "3600", "VisibilityTimeout": "7"})
    before = attributes(sqs, name)
    transport.publish(notices(1))
    received(transport, 1)
    assert attributes(sqs, name) == before
    with pytest.raises(sqs.exceptions.QueueDoesNotExist):
        attributes(sqs, f"{prefix_of(transport)}dead")


def test_what_is_received_too_often_goes_to_the_dead_letters(
    transport: SqsTransport, sqs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queues, "MOST_RECEIVES", 2)
    transport.publish(notices(1))
    for is_again in (False, True):
        [delivery] = transport.receive("w", ["queue:images"], 1, 20.0)
        assert delivery.is_redelivered == is_again
        transport.give_back([delivery])
    assert transport.receive("w", ["queue:images"], 1, 1.0) == []
    assert attributes(sqs, f"{prefix_of(transport)}dead")["ApproximateNumberOfMessages"] == "1"


def test_a_queue_that_was_deleted_is_made_again(transport: SqsTransport, sqs: Any) -> None:
    for _ in range(2):
        transport.publish(notices(3))
        assert len(received(transport, 3)) == 3
        sqs.delete_queue(QueueUrl=sqs.get_queue_url(QueueName=f"{prefix_of(transport)}queue-images")["QueueUrl"])
        assert transport.depths(["queue:images"]) == {}


def test_a_queue_for_a_task_is_found_and_not_made_by_who_receives(
    transport: SqsTransport, sqs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ear, "ABSENT_S", 0.1)
    assert transport.receive("w", ["task:shop.send", "queue:images"], 10, 1.0) == []
    assert set(transport.depths(["task:shop.send", "queue:images"])) == {"queue:images"}
    made = sqs.create_queue(QueueName=f"{prefix_of(transport)}task-shop--send")
    sqs.send_message(QueueUrl=made["QueueUrl"], MessageBody='{"to": "Ada"}')
    [delivery] = received(transport, 1, "task:shop.send", "queue:images")
    assert (delivery.channel, delivery.body) == ("task:shop.send", b'{"to": "Ada"}')


# Messages.


def test_curl_sends_arguments_to_a_task(transport: SqsTransport, sqs: Any) -> None:
    queue = sqs.create_queue(QueueName=f"{prefix_of(transport)}task-shop--send")["QueueUrl"]
    arguments = {"to": "Ada", "greeting": "Grüße\n", "$job": {"priority": 5}}
    message = json.dumps({"QueueUrl": queue, "MessageBody": json.dumps(arguments)})
    words = ["--silent", "--fail", "--show-error", "--aws-sigv4", f"aws:amz:{REGION}:sqs", "--user", "key:secret"]
    words += ["-H", "X-Amz-Target: AmazonSQS.SendMessage", "-H", "Content-Type: application/x-amz-json-1.0"]
    sent = subprocess.run(
        [program("curl"), *words, "--data", message, shared_aws().url], capture_output=True, timeout=30, text=True
    )
    assert sent.returncode == 0, sent.stderr
    assert "MessageId" in json.loads(sent.stdout)
    [delivery] = received(transport, 1, "task:shop.send")
    assert json.loads(delivery.body) == arguments


SHOP = """
from narrowboat import App

app = App("shop")


@app.task
def greet(to: str, greeting: str = "Hello") -> str:
    return f"{greeting}, {to}!"
"""


def aws(*words: str) -> str:
    """What Amazon's command line answers of SQS, as text."""
    where = ["--endpoint-url", shared_aws().url, "--region", REGION, "--output", "text"]
    done = subprocess.run([program("aws"), "sqs", *words, *where], capture_output=True, timeout=60, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_what_the_aws_command_line_sends_is_run_or_dead_with_its_reason(
    transport: SqsTransport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shop.py").write_text(SHOP)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("NARROWBOAT_STORE", f"sqlite:///{tmp_path / 'shop.db'}")
    made = [f"{prefix_of(transport)}{name}" for name in ("queue-default", "task-shop--greet")]
    queue, inbox = (aws("create-queue", "--queue-name", name) for name in made)
    whole = {"v": 1, "task": "shop.greet", "args": {"to": "Ada"}, "id": "01J8ZQ5Y7RAEKXB0N3TS4M6WCD", "priority": 5}
    sent = [
        (queue, json.dumps(whole)),
        (inbox, json.dumps({"to": "Bob", "greeting": "Grüße", "$job": {"tags": ["cli"]}}, ensure_ascii=False)),
        (queue, '{"v": 1}'),
        (inbox, "hello"),
        (inbox, '{"whom": "Eve"}'),
    ]
    for url, body in sent:
        assert aws("send-message", "--queue-url", url, "--message-body", body)
    with (
        running_worker("shop:app", transport.url, tmp_path, "-n", "1") as worker,
        closing(urls.open_backend(f"sqlite:///{tmp_path / 'shop.db'}")) as store,
    ):
        wait_for("their jobs", lambda: sum(job.state in FINAL for job in store.find(Filter()).jobs) == len(sent))
        jobs = store.get([job.id for job in store.find(Filter()).jobs])
        assert worker.stop() == 0
    done = [job for job in jobs if job.state is State.SUCCEEDED]
    assert {(job.result.decode(), job.priority, job.tags) for job in done} == {
        ('"Hello, Ada!"', 5, ()),
        ('"Grüße, Bob!"', 0, ("cli",)),
    }
    assert f"shop.greet:{whole['id']}" in {job.id for job in done}
    reasons = {job.args: (job.task, job.reason) for job in jobs if job.state is State.DEAD}
    assert len(reasons) == 3
    for body, task, reason in (
        (b'\\"v\\"', "narrowboat.message", "BadMessage: a message in the queue default cannot be read: .*`task`"),
        (b"hello", "shop.greet", "BadMessage: a message in the inbox of shop.greet cannot be read: as JSON"),
        (b"whom", "shop.greet", "BadArguments: shop.greet: .*`whom`"),
    ):
        [found] = [why for arguments, why in reasons.items() if body in arguments]
        assert found[0] == task
        assert re.match(reason, found[1])


@pytest.mark.parametrize("body", [b"\0\xff", '"\ufffe"'.encode(), b" \r\n\t{}  ", "\U0001f6a4".encode()])
def test_what_xml_cannot_carry_arrives_as_it_was(transport: SqsTransport, body: bytes) -> None:
    transport.publish([Notice("queue:images", "a:1", body)])
    [delivery] = received(transport, 1)
    assert delivery.body == body


def test_ten_messages_are_a_request_for_sending_and_for_deleting(meddled: tuple[Meddler, SqsTransport]) -> None:
    between, transport = meddled
    transport.publish(notices(35))
    assert between.asked["SendMessageBatch"] == 4
    deliveries: list[Delivery] = []
    wait_for(
        "all", lambda: deliveries.extend(transport.receive("w", ["queue:images"], 100, 1.0)) or len(deliveries) > 34
    )
    transport.give_back(deliveries[:12])
    transport.accept(deliveries[12:])
    assert (between.asked["ChangeMessageVisibilityBatch"], between.asked["DeleteMessageBatch"]) == (2, 3)


def test_only_what_failed_of_a_batch_is_sent_again(meddled: tuple[Meddler, SqsTransport]) -> None:
    between, transport = meddled
    sizes: list[int] = []
    real = shared_aws().client("sqs")

    def meddle(operation: str, parameters: dict[str, Any]) -> tuple[int, Any] | None:
        if operation != "SendMessageBatch":
            return None
        entries = parameters["Entries"]
        sizes.append(len(entries))
        if len(sizes) > 1:
            return None
        done = real.send_message_batch(QueueUrl=parameters["QueueUrl"], Entries=entries[:7])["Successful"]
        failed = [{"Id": one["Id"], "SenderFault": False, "Code": "InternalError"} for one in entries[7:]]
        return 200, {"Successful": done, "Failed": failed}

    between.meddle = meddle
    transport.publish(notices(10))
    assert sizes == [10, 3]
    assert sorted(d.body for d in received(transport, 10)) == sorted(n.body for n in notices(10))


def test_what_the_service_refuses_of_a_batch_is_said_and_the_rest_is_sent(
    meddled: tuple[Meddler, SqsTransport], sqs: Any
) -> None:
    _, transport = meddled
    sqs.create_queue(QueueName=f"{prefix_of(transport)}queue-images", Attributes={"MaximumMessageSize": "1024"})

    def meddle(operation: str, parameters: dict[str, Any]) -> tuple[int, Any] | None:
        if operation != "SendMessageBatch":
            return None
        entries = parameters["Entries"]
        done = sqs.send_message_batch(QueueUrl=parameters["QueueUrl"], Entries=entries[1:])["Successful"]
        return 200, {
            "Successful": done,
            "Failed": [{"Id": "0", "SenderFault": True, "Code": "InvalidMessageContents", "Message": "too long"}],
        }

    meddled[0].meddle = meddle
    with pytest.raises(BackendError, match=r"refuses 1 of 3 messages \(InvalidMessageContents: too long\)"):
        transport.publish(notices(3))
    assert len(received(transport, 2)) == 2


def test_what_an_accept_cannot_do_for_some_is_done_for_the_others(meddled: tuple[Meddler, SqsTransport]) -> None:
    between, transport = meddled
    transport.publish(notices(3))
    deliveries = transport.receive("w", ["queue:images"], 10, 20.0)
    assert len(deliveries) == 3
    real = shared_aws().client("sqs")

    def meddle(operation: str, parameters: dict[str, Any]) -> tuple[int, Any] | None:
        if operation != "DeleteMessageBatch":
            return None
        real.delete_message_batch(QueueUrl=parameters["QueueUrl"], Entries=parameters["Entries"][1:])
        failed = {"Id": "0", "SenderFault": True, "Code": "ReceiptHandleIsInvalid"}
        return 200, {"Successful": [], "Failed": [failed]}

    between.meddle = meddle
    transport.accept(deliveries)
    assert between.asked["DeleteMessageBatch"] == 1, "what is no longer held is passed over"
    depth = transport.depths(["queue:images"])["queue:images"]
    assert (depth.waiting, depth.held, depth.is_exact) == (0, 1, False)


# Receiving.


def test_a_message_in_any_of_more_channels_than_are_polled_at_once_arrives(transport: SqsTransport) -> None:
    channels = [f"queue:{n}" for n in range(ear.POLLS + 8)]
    transport.publish([Notice(channel, "a:1", channel.encode()) for channel in channels])
    assert {d.body.decode() for d in received(transport, len(channels), *channels)} == set(channels)
    transport.publish(notices(1, channels[-1]))
    assert [d.channel for d in received(transport, 1, *channels)] == [channels[-1]]


def test_what_a_roused_receive_would_have_got_comes_to_others_soon(meddled: tuple[Meddler, SqsTransport]) -> None:
    between, transport = meddled
    with ThreadPoolExecutor() as threads:
        receiving = threads.submit(transport.receive, "idle", ["queue:images"], 1, 20.0)
        wait_for("a poll", lambda: between.asked["ReceiveMessage"])
        transport.rouse("idle")
        assert receiving.result(10.0) == []
    began = time.monotonic()
    transport.publish(notices(1))  # the poll that is still under way may take it
    [delivery] = received(transport, 1)
    assert delivery.body == b'{"n":0}'
    assert time.monotonic() - began < 20.0, "long before it would be visible again"


def test_the_next_receive_goes_on_with_the_polls_of_a_roused_one(meddled: tuple[Meddler, SqsTransport]) -> None:
    between, transport = meddled
    with ThreadPoolExecutor() as threads:
        for _ in range(5):
            receiving = threads.submit(transport.receive, "w", ["queue:images"], 1, 20.0)
            wait_for("a poll", lambda: between.asked["ReceiveMessage"] == 1)
            transport.rouse("w")
            assert receiving.result(10.0) == []
        assert between.asked["ReceiveMessage"] == 1
        transport.publish(notices(1))
        [delivery] = transport.receive("w", ["queue:images"], 1, 20.0)
        assert not delivery.is_redelivered


def test_one_who_sleeps_asks_once_in_twenty_seconds_however_often_it_wakes(
    meddled: tuple[Meddler, SqsTransport],
) -> None:
    between, transport = meddled
    waits: list[int] = []

    def meddle(operation: str, parameters: dict[str, Any]) -> None:
        waits.extend([parameters["WaitTimeSeconds"]] if operation == "ReceiveMessage" else [])

    between.meddle = meddle
    for _ in range(2):
        assert transport.receive("w", ["queue:images"], 1, ear.SLEEP_S) == []
    assert waits == [20]


# What is wrong is said.


def test_without_credentials_the_error_says_what_to_give(
    transport: SqsTransport, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    for attempt in (lambda: transport.publish(notices(1)), lambda: transport.receive("w", ["queue:images"], 1, 20.0)):
        with pytest.raises(ConfigError, match=r"no AWS credentials .*AWS_PROFILE"):
            attempt()


def test_without_a_region_the_error_says_what_to_write(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    with pytest.raises(ConfigError, match=r"no region: write sqs://eu-west-1, or set AWS_REGION"):
        open_transport("sqs://").publish(notices(1))


def test_region_and_endpoint_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", REGION)
    monkeypatch.setenv("AWS_ENDPOINT_URL_SQS", shared_aws().url)
    transport = open_transport("sqs://?prefix=environment-")
    transport.publish(notices(1))
    assert len(received(transport, 1)) == 1
    transport.close()


def test_a_fifo_queue_of_that_name_is_named(transport: SqsTransport, sqs: Any) -> None:
    sqs.create_queue(QueueName=f"{prefix_of(transport)}queue-images.fifo", Attributes={"FifoQueue": "true"})
    with pytest.raises(ConfigError, match=r"there is a FIFO queue t\d+-queue-images\.fifo, and no standard queue"):
        transport.publish(notices(1))


@pytest.mark.parametrize("answer", [(200, b"<html>hello</html>"), (404, b"<html>no</html>"), (200, b"{}"), (404, b"")])
def test_an_endpoint_that_is_something_else_is_said_to_be(
    meddled: tuple[Meddler, SqsTransport], answer: tuple[int, bytes]
) -> None:
    between, transport = meddled
    between.meddle = lambda operation, parameters: answer
    with pytest.raises(ConfigError, match=r"does not speak as SQS does .*is the endpoint right"):
        transport.publish(notices(1))


def test_doctor_hears_how_the_queues_are_set_up(transport: SqsTransport, sqs: Any) -> None:
    assert {row[0]: row[1] for row in transport.setup()}["queues"].startswith("0 queues beginning with t")
    transport.publish(notices(1))
    rows = {row[0]: row[1] for row in transport.setup()}
    prefix = prefix_of(transport)
    assert rows == {
        "endpoint": shared_aws().url,
        "queues": f"1 queue beginning with {prefix}",
        "visibility": "30 s",
        "retention": "14 d",
        "dead letters": f"{prefix}dead after 100 receives",
        "encryption": "SSE-SQS",
    }
    assert transport.doubts() == [
        f"{shared_aws().url} is asked without TLS: messages and their signatures can be read on the way"
    ]
    by_hand = {"DelaySeconds": "30", "SqsManagedSseEnabled": "false", "MessageRetentionPeriod": "3600"}
    sqs.create_queue(QueueName=f"{prefix}queue-slow", Attributes=by_hand)
    rows = {row[0]: row[1] for row in transport.setup()}
    assert rows["dead letters"] == f"none: {prefix}queue-slow"
    assert rows["encryption"] == "NONE, SSE-SQS"
    assert rows["retention"] == "60 min"
    assert any(
        doubt.startswith(f"the queue {prefix}queue-slow delays each message by 30 s") for doubt in transport.doubts()
    )
