"""The verbs of the port."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence

from ..transport import Delivery, Depth, Notice, Transport, TransportCapabilities
from . import health
from .address import Address
from .errors import in_our_words
from .line import AMQPError, visiting
from .publishing import Publisher
from .queues import Desk
from .receiving import Receiver

MOST_BYTES = 16 << 20  # of a message, by default since 4.0; before, 128 MiB
_leaked: list[object] = []  # of a parent process, which goes on using the sockets


class RabbitTransport(Transport):
    """Messages in a RabbitMQ server. Each process has at most two connections: one publishes, one receives."""

    capabilities = TransportCapabilities(name="RabbitMQ", max_bytes=MOST_BYTES)

    def __init__(self, address: Address) -> None:
        self.address, self.location, self.url = address, address.location, address.url
        self._pid, self._is_closed = os.getpid(), False
        self._publisher, self._receiver = Publisher(address), Receiver(address)

    def publish(self, notices: Sequence[Notice]) -> None:
        """See Transport."""
        self._forget_after_fork()
        if notices:
            self._publisher.publish(notices)

    def receive(self, consumer: str, channels: Sequence[str], most: int, timeout_s: float) -> list[Delivery]:
        """See Transport."""
        self._forget_after_fork()
        return self._receiver.receive(consumer, channels, most, timeout_s)

    def rouse(self, consumer: str) -> None:
        """See Transport."""
        self._forget_after_fork()
        self._receiver.rouse(consumer)

    def accept(self, deliveries: Sequence[Delivery]) -> None:
        """See Transport."""
        self._forget_after_fork()
        self._receiver.settle(deliveries, is_accepted=True)

    def give_back(self, deliveries: Sequence[Delivery]) -> None:
        """See Transport."""
        self._forget_after_fork()
        self._receiver.settle(deliveries, is_accepted=False)

    def depths(self, channels: Sequence[str]) -> dict[str, Depth]:
        """See Transport. AMQP does not say how much is held; the HTTP API does, some seconds late."""
        deadline = time.monotonic() + self.address.timeout_s
        found: dict[str, Depth] = {}
        held = health.held(self.address) if self.address.management else {}
        try:
            with visiting(self.address, deadline) as line:
                desk = Desk(line, self.address, deadline)
                for channel in channels:
                    queue = self.address.queue(channel)
                    counted = desk.look(queue)
                    if counted is not None:
                        late = held.get(queue)
                        found[channel] = Depth(counted.waiting, late, counted.consumers, is_exact=late is None)
        except (AMQPError, OSError) as error:
            raise in_our_words(error, self.address) from error
        return found

    def doubts(self) -> list[str]:
        """See Transport."""
        return health.doubts(health.setup_of(self.address))

    def setup(self) -> list[tuple[str, str, str]]:
        """See Transport."""
        return health.explained(health.setup_of(self.address))

    def close(self) -> None:
        """See Transport."""
        self._forget_after_fork()
        self._publisher.close()
        self._receiver.close()

    def _forget_after_fork(self) -> None:
        """In a forked child, leave everything of the parent alone: its connections, and locks that its threads held."""
        if self._pid != os.getpid():
            _leaked.append((self._publisher, self._receiver))
            self._publisher, self._receiver = Publisher(self.address), Receiver(self.address)
            self._pid = os.getpid()
