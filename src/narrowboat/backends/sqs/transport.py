"""The transport port on Amazon SQS: a standard queue for each channel."""

from __future__ import annotations

import contextlib
import os
import threading
import weakref
from collections.abc import Callable, Sequence
from typing import TypeVar

from ...core.credentials import AWS
from ...core.errors import BackendUnavailable
from ..transport import Delivery, Depth, Notice, Transport, TransportCapabilities
from . import health
from .address import Address
from .ear import Ear
from .errors import FAILURES, MISSING, code_of
from .held import Held, Receipt
from .messages import LARGEST, body_of, entry_for
from .queues import Queues
from .service import Entry, Service, said

T = TypeVar("T")
_open: weakref.WeakSet[SqsTransport] = weakref.WeakSet()
_leaked: list[object] = []  # of a parent process, which goes on using the sockets


class SqsTransport(Transport):
    """Each request is bounded: a quarter of a minute for a service that is there and does not answer."""

    capabilities = TransportCapabilities(name="Amazon SQS", max_bytes=LARGEST)
    variables = AWS

    def __init__(self, address: Address) -> None:
        self.location, self.url = address.location, address.url
        self._address = address
        self._is_closed = False
        self._begin()
        _open.add(self)

    def publish(self, notices: Sequence[Notice]) -> None:
        """See Transport. Raises PayloadTooLarge, and BackendError for what the service refuses; others may be sent."""
        self._refuse_closed()
        entries: dict[str, list[Entry]] = {}
        for notice in notices:
            entries.setdefault(notice.channel, []).append(entry_for(notice))
        for channel, of_channel in entries.items():
            self._at(channel, lambda url, some=of_channel: self._send(url, some))

    def receive(self, consumer: str, channels: Sequence[str], most: int, timeout_s: float) -> list[Delivery]:
        """See Transport. Messages that are with a poll when this process is killed come again like held ones."""
        self._refuse_closed()
        return self._ear(consumer).receive(channels, most, timeout_s)

    def rouse(self, consumer: str) -> None:
        """See Transport."""
        self._ear(consumer).rouse()

    def accept(self, deliveries: Sequence[Delivery]) -> None:
        """See Transport. What a service out of reach did not hear of comes again."""
        self._settle("delete_message_batch", deliveries)

    def give_back(self, deliveries: Sequence[Delivery]) -> None:
        """See Transport."""
        self._settle("change_message_visibility_batch", deliveries, VisibilityTimeout=0)

    def depths(self, channels: Sequence[str]) -> dict[str, Depth]:
        """See Transport. One request for each channel."""
        self._refuse_closed()
        found = {channel: self._depth(channel) for channel in channels}
        return {channel: depth for channel, depth in found.items() if depth is not None}

    def doubts(self) -> list[str]:
        """See Transport."""
        self._refuse_closed()
        return self._in_our_words(lambda: health.doubts(health.setup_of(self._service)))

    def setup(self) -> list[tuple[str, str, str]]:
        """See Transport."""
        self._refuse_closed()
        return self._in_our_words(lambda: health.explained(health.setup_of(self._service), self._address))

    def close(self) -> None:
        """See Transport. Polls under way end by themselves; what they bring is given back while this process lives."""
        self._is_closed = True
        with self._lock:
            ears = list(self._ears.values())
        for ear in ears:
            ear.close()
        with contextlib.suppress(Exception):  # it comes again all the same
            self._settle_receipts("change_message_visibility_batch", self._held.all(), VisibilityTimeout=0)
        self._service.close()

    def _begin(self) -> None:
        """What belongs to one process."""
        self._lock = threading.Lock()
        self._service = Service(self._address)
        self._queues = Queues(self._service)
        self._held = Held(self._address.visibility_s)
        self._ears: dict[str, Ear] = {}

    def _begin_anew(self) -> None:
        """In the child of a fork."""
        _leaked.append((self._service, self._ears))
        self._begin()

    def _refuse_closed(self) -> None:
        if self._is_closed:
            raise BackendUnavailable(f"{self.location}: this transport was closed")

    def _ear(self, consumer: str) -> Ear:
        with self._lock:
            if consumer not in self._ears:
                self._ears[consumer] = Ear(self._ask, self.give_back)
            ear = self._ears[consumer]
            if self._is_closed:
                ear.close()
            return ear

    def _at(self, channel: str, act: Callable[[str], T]) -> T:
        """Do something at the queue of a channel, which is made, and made again if it was deleted meanwhile."""
        try:
            return act(self._queues.url_of(channel))
        except FAILURES as error:
            if code_of(error) not in MISSING:
                raise self._service.in_our_words(error) from error
        self._queues.forget()
        return self._in_our_words(lambda: act(self._queues.url_of(channel)))

    def _in_our_words(self, act: Callable[[], T]) -> T:
        try:
            return act()
        except FAILURES as error:
            raise self._service.in_our_words(error) from error

    def _send(self, queue_url: str, entries: Sequence[Entry]) -> None:
        if refused := self._service.run("send_message_batch", queue_url, entries):
            raise self._service.refused(f"{len(refused)} of {len(entries)} messages ({said(refused[0])})")

    def _ask(self, channel: str, most: int, wait_s: int) -> list[Delivery] | None:
        """One poll, for an ear, in a thread of its own. None where there is no queue, and none is made: not every task
        is one that other programs send to, and each queue costs requests."""
        held, service = self._held, self._service

        def receive(queue_url: str) -> list[Delivery]:
            reply = service.poll(
                QueueUrl=queue_url,
                MaxNumberOfMessages=most,
                WaitTimeSeconds=wait_s,
                VisibilityTimeout=self._address.visibility_s,
                MessageSystemAttributeNames=["ApproximateReceiveCount"],
                MessageAttributeNames=["encoding"],
            )
            return [
                Delivery(
                    channel=channel,
                    body=body_of(message),
                    receipt=held.add(queue_url, message["ReceiptHandle"]),
                    is_redelivered=int(message.get("Attributes", {}).get("ApproximateReceiveCount", 1)) > 1,
                )
                for message in reply.get("Messages", ())
            ]

        try:
            if channel.startswith("task:") and self._in_our_words(lambda: self._queues.find(channel)) is None:
                return None
            return self._at(channel, receive)
        finally:
            if self._is_closed:
                service.close()

    def _settle(self, operation: str, deliveries: Sequence[Delivery], **more: int) -> None:
        self._settle_receipts(operation, [d.receipt for d in deliveries if isinstance(d.receipt, Receipt)], **more)

    def _settle_receipts(self, operation: str, receipts: Sequence[Receipt], **more: int) -> None:
        entries: dict[str, list[Entry]] = {}
        for receipt in receipts:
            if self._held.let_go(receipt):
                entries.setdefault(receipt.queue_url, []).append({"ReceiptHandle": receipt.handle, **more})
        for queue_url, of_queue in entries.items():
            try:
                self._service.run(operation, queue_url, of_queue)  # what is refused is no longer held
            except FAILURES as error:
                ours = self._service.in_our_words(error)
                if not isinstance(ours, BackendUnavailable) and code_of(error) not in MISSING:
                    raise ours from error
            except BackendUnavailable:
                pass  # it comes again

    def _depth(self, channel: str) -> Depth | None:
        def look() -> Depth | None:
            queue_url = self._queues.find(channel)
            if queue_url is None:
                return None
            found = self._service.attributes(queue_url)
            waiting = int(found.get("ApproximateNumberOfMessages", 0)) + int(
                found.get("ApproximateNumberOfMessagesDelayed", 0)
            )
            held = int(found.get("ApproximateNumberOfMessagesNotVisible", 0))
            return Depth(waiting=waiting, held=held, is_exact=False)

        try:
            return look()
        except FAILURES as error:
            if code_of(error) not in MISSING:
                raise self._service.in_our_words(error) from error
            self._queues.forget()
            return None


def _after_fork() -> None:
    for transport in list(_open):
        transport._begin_anew()  # pyright: ignore[reportPrivateUsage]


os.register_at_fork(after_in_child=_after_fork)
