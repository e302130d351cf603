"""What goes wrong with SQS: it forgets, refuses, is slow, or dies; consumers are killed. Nothing hangs."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

import pytest

from narrowboat.backends.sqs import SqsTransport, open_transport
from narrowboat.backends.transport import Notice
from narrowboat.core.errors import BackendUnavailable
from tests.support.aws_server import ENVIRONMENT, AwsServer, shared_aws
from tests.support.meddler import Meddler, meddler, refusal
from tests.support.processes import wait_for

CHANNEL = "queue:images"
BOUND_S = 30.0  # three tries of a service that takes connections and says nothing


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def meddled() -> Iterator[tuple[Meddler, SqsTransport]]:
    with meddler(shared_aws().port) as between:
        made = open_transport(shared_aws().sqs("visibility=2", url=between.url))
        yield between, made
        made.close()


def notices(n: int) -> list[Notice]:
    return [Notice(CHANNEL, f"a:{number}", b"%d" % number) for number in range(n)]


def take(transport: SqsTransport, n: int, within_s: float = 20.0) -> set[bytes]:
    """Different messages, accepted as they come."""
    found: set[bytes] = set()

    def has_all() -> bool:
        deliveries = transport.receive("w", [CHANNEL], 10, 1.0)
        transport.accept(deliveries)
        found.update(delivery.body for delivery in deliveries)
        return len(found) >= n

    wait_for(f"{n} messages", has_all, within_s)
    return found


def test_a_service_that_was_killed_and_forgot_everything_is_used_as_before() -> None:
    server = AwsServer()
    transport = open_transport(server.sqs())
    transport.publish(notices(3))
    [held] = transport.receive("w", [CHANNEL], 1, 20.0)
    with ThreadPoolExecutor() as threads:
        receiving = threads.submit(transport.receive, "idle", ["queue:empty"], 1, 20.0)
        wait_for("a poll", lambda: "queue:empty" in transport.depths(["queue:empty"]))
        server.kill()
        with pytest.raises(BackendUnavailable):
            receiving.result(20.0)
    for attempt in (
        lambda: transport.publish(notices(1)),
        lambda: transport.receive("w", [CHANNEL], 1, 5.0),
        lambda: transport.depths([CHANNEL]),
    ):
        began = time.monotonic()
        with pytest.raises(BackendUnavailable):
            attempt()
        assert time.monotonic() - began < 10.0
    transport.accept([held])  # it cannot be told, and comes again, or not: it is forgotten
    server.start()
    assert transport.receive("w", [CHANNEL], 1, 1.0) == []
    assert transport.depths([CHANNEL])[CHANNEL].waiting == 0, "made again by who receives"
    server.kill()
    server.start()
    transport.publish(notices(3))
    assert take(transport, 3) == {b"0", b"1", b"2"}
    transport.close()
    server.kill()


def test_what_a_killed_consumer_held_or_was_polling_for_comes_again_after_the_visibility_timeout() -> None:
    url = shared_aws().sqs("visibility=2")
    transport = open_transport(url)
    transport.publish(notices(1))
    code = (
        "import sys, signal\n"
        "from narrowboat.backends.sqs import open_transport\n"
        f"transport = open_transport({url!r})\n"
        f"[held] = transport.receive('doomed', [{CHANNEL!r}], 1, 20.0)\n"
        "print(held.body.decode(), flush=True)\n"
        f"transport.receive('doomed', [{CHANNEL!r}], 1, 20.0)\n"
    )
    doomed = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert doomed.stdout is not None
    with doomed.stdout:
        assert doomed.stdout.readline() == "0\n"
    doomed.send_signal(signal.SIGKILL)
    doomed.wait(10)
    transport.publish([Notice(CHANNEL, "a:1", b"1")])  # its poll may still be with the service, and take this one
    assert take(transport, 2) == {b"0", b"1"}
    transport.close()


@pytest.mark.parametrize(
    "answer", [refusal("RequestThrottled"), refusal("InternalError", 500), (503, b"<html>unavailable</html>")]
)
def test_a_refusal_that_passes_is_not_noticed(meddled: tuple[Meddler, SqsTransport], answer: tuple[int, Any]) -> None:
    between, transport = meddled
    refused: set[str] = set()

    def meddle(operation: str, parameters: dict[str, Any]) -> tuple[int, Any] | None:
        if operation in refused or operation == "ReceiveMessage":
            return None
        refused.add(operation)
        return answer

    between.meddle = meddle
    transport.publish(notices(5))
    assert take(transport, 5) == {b"0", b"1", b"2", b"3", b"4"}
    assert {"GetQueueUrl", "CreateQueue", "SendMessageBatch", "DeleteMessageBatch"} <= refused
    assert transport.depths([CHANNEL])[CHANNEL].held == 0, "all were deleted"


@pytest.mark.parametrize("answer", [refusal("RequestThrottled"), refusal("OverLimit"), refusal("InternalError", 500)])
def test_a_refusal_that_lasts_is_said_in_bounded_time_and_the_next_call_tries_again(
    meddled: tuple[Meddler, SqsTransport], answer: tuple[int, Any]
) -> None:
    between, transport = meddled
    transport.publish(notices(1))
    between.meddle = lambda operation, parameters: answer
    attempts: list[Callable[[], object]] = [
        lambda: transport.publish(notices(1)),
        lambda: transport.receive("w", [CHANNEL], 1, 5.0),
        lambda: transport.depths([CHANNEL]),
    ]
    for attempt in attempts:
        began = time.monotonic()
        with pytest.raises(BackendUnavailable, match=answer[1]["__type"].rpartition("#")[2]):
            attempt()
        assert time.monotonic() - began < 10.0
    assert between.asked["ReceiveMessage"] <= 3, "it is not hammered"
    between.meddle = lambda operation, parameters: None
    assert take(transport, 1) == {b"0"}


def test_entries_that_fail_again_and_again_are_given_up_in_bounded_time(meddled: tuple[Meddler, SqsTransport]) -> None:
    between, transport = meddled

    def meddle(operation: str, parameters: dict[str, Any]) -> tuple[int, Any] | None:
        if operation != "SendMessageBatch":
            return None
        return 200, {
            "Successful": [],
            "Failed": [
                {"Id": one["Id"], "SenderFault": False, "Code": "InternalError", "Message": "later"}
                for one in parameters["Entries"]
            ],
        }

    between.meddle = meddle
    with pytest.raises(BackendUnavailable, match=r"10 of 10 messages failed 3 times \(InternalError: later\)"):
        transport.publish(notices(15))
    assert between.asked["SendMessageBatch"] == 3


def test_what_an_accept_could_not_tell_the_service_comes_again(meddled: tuple[Meddler, SqsTransport]) -> None:
    between, transport = meddled
    transport = open_transport(transport.url.replace("visibility=2", "visibility=6"))  # the accept takes some of it
    transport.publish(notices(1))
    deliveries = transport.receive("w", [CHANNEL], 1, 20.0)
    between.meddle = lambda operation, parameters: refusal("InternalError", 500)
    transport.accept(deliveries)
    between.meddle = lambda operation, parameters: None
    assert transport.receive("w", [CHANNEL], 1, 0.5) == [], "it is held back until its time is up"
    [again] = transport.receive("w", [CHANNEL], 1, 30.0)
    assert again.is_redelivered
    transport.close()


def test_a_service_that_never_answers_keeps_nobody_for_long_and_rouse_and_close_work_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        transport = open_transport(f"sqs://eu-west-1?endpoint_url=http://127.0.0.1:{silent.getsockname()[1]}")
        with ThreadPoolExecutor() as threads:
            for end in (lambda: transport.rouse("w"), transport.close):
                receiving = threads.submit(transport.receive, "w", [CHANNEL], 1, 60.0)
                assert not wait([receiving], timeout=0.5).done
                began = time.monotonic()
                end()
                assert receiving.result(20.0) == []
                assert time.monotonic() - began < 5.0
        publishing = open_transport(transport.url)
        began = time.monotonic()
        with pytest.raises(BackendUnavailable):
            publishing.publish(notices(1))
        assert time.monotonic() - began < BOUND_S


def test_no_thread_is_left_when_a_transport_is_closed_and_its_polls_have_ended() -> None:
    transport = open_transport(shared_aws().sqs())
    transport.receive("w", [CHANNEL], 1, 1.0)
    transport.close()
    wait_for("the end of polls", lambda: not any(one.name == "nb-sqs-poll" for one in threading.enumerate()), 25.0)
    with pytest.raises(BackendUnavailable, match="this transport was closed"):
        transport.receive("w", [CHANNEL], 1, 1.0)


def test_a_poll_that_ends_after_the_close_gives_back_what_it_brought(meddled: tuple[Meddler, SqsTransport]) -> None:
    between, transport = meddled
    heir = open_transport(transport.url.replace("visibility=2", "visibility=60"))
    long = open_transport(transport.url.replace("visibility=2", "visibility=60"))
    with ThreadPoolExecutor() as threads:
        receiving = threads.submit(long.receive, "w", [CHANNEL], 1, 20.0)
        wait_for("a poll", lambda: between.asked["ReceiveMessage"])
        long.close()
        assert receiving.result(10.0) == []
    transport.publish(notices(1))
    wait_for("its end", lambda: between.asked["ChangeMessageVisibilityBatch"])
    assert take(heir, 1, within_s=30.0) == {b"0"}
    heir.close()
