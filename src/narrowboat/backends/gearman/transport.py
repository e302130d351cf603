"""The port, on Gearman: background jobs are the messages, and functions the channels."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from urllib.parse import quote

from ...core.errors import BackendUnavailable, PayloadTooLarge
from ..transport import Delivery, Depth, Notice, Transport, TransportCapabilities
from .address import Address
from .client import MAX_BODY, MAX_ID, Assignment
from .consumer import ANSWER_S, Consumer
from .health import doubts, setup, statuses
from .link import Held, Link
from .senders import Senders
from .server import Server


class GearmanTransport(Transport):
    """Nothing connects before it is used."""

    capabilities = TransportCapabilities(name="Gearman", max_bytes=MAX_BODY, has_priorities=True)

    def __init__(self, address: Address) -> None:
        self._address = address
        self.location = self.url = address.location
        self._servers = [Server(*place) for place in address.servers]
        self._lock, self._pid, self._is_closed = threading.Lock(), os.getpid(), False
        self._consumers: dict[str, Consumer] = {}
        self._senders = Senders(self._servers)

    def publish(self, notices: Sequence[Notice]) -> None:
        self._mind_fork()
        for notice in notices:
            if len(notice.body) > MAX_BODY:
                raise PayloadTooLarge(f"{notice.id}: {len(notice.body):,} bytes; Gearman is given at most {MAX_BODY:,}")
        self._senders.send([(self._function(n.channel), unique(n.id), n.body, n.priority) for n in notices])

    def receive(self, consumer: str, channels: Sequence[str], most: int, timeout_s: float) -> list[Delivery]:
        names = {self._function(channel): channel for channel in channels}
        found = self._consumer(consumer).receive(frozenset(names), most, timeout_s)
        return [Delivery(names[held.job.function], held.job.body, held) for held in found]

    def rouse(self, consumer: str) -> None:
        self._consumer(consumer).rouse()

    def accept(self, deliveries: Sequence[Delivery]) -> None:
        self._settle(deliveries, Link.complete)

    def give_back(self, deliveries: Sequence[Delivery]) -> None:
        self._settle(deliveries, _put_back)

    def depths(self, channels: Sequence[str]) -> dict[str, Depth]:
        self._mind_fork()
        found = statuses(self._servers)
        depths: dict[str, Depth] = {}
        for channel in channels:
            function = self._function(channel).decode()
            figures = [status[function] for status in found if function in status]
            if figures:
                total, held, consumers = (sum(column) for column in zip(*figures, strict=True))
                depths[channel] = Depth(total - held, held, consumers, is_exact=len(found) == len(self._servers))
        return depths

    def doubts(self) -> list[str]:
        return doubts(self._servers)

    def setup(self) -> list[tuple[str, str, str]]:
        return setup(self._servers, self._address.prefix)

    def close(self) -> None:
        self._mind_fork()
        with self._lock:
            self._is_closed, consumers = True, [*self._consumers.values()]
        for consumer in consumers:
            consumer.close()
        self._senders.close()

    def _function(self, channel: str) -> bytes:
        """Characters that would end a name, or a line of its status, are written as in URLs."""
        return (self._address.prefix + "".join(c if c.isprintable() else quote(c) for c in channel)).encode()

    def _consumer(self, name: str) -> Consumer:
        self._mind_fork()
        with self._lock:
            if name not in self._consumers:
                self._consumers[name] = Consumer(self._servers, name)
                self._consumers[name].is_closed = self._is_closed
            return self._consumers[name]

    def _settle(self, deliveries: Sequence[Delivery], settle: Callable[[Link, list[Assignment], float], None]) -> None:
        """What was lost with a connection comes again, so that is no error."""
        self._mind_fork()
        by_link: defaultdict[Link, list[Assignment]] = defaultdict(list)
        for delivery in deliveries:
            if isinstance(delivery.receipt, Held):
                by_link[delivery.receipt.link].append(delivery.receipt.job)
        for link, jobs in by_link.items():
            if not link.is_open:  # nor may a parent's be touched
                continue
            with contextlib.suppress(BackendUnavailable):
                settle(link, jobs, time.monotonic() + ANSWER_S)
            if link.is_woken or not link.is_open:  # which we have heard in the sleeper's place
                link.stir()

    def _mind_fork(self) -> None:
        if self._pid != os.getpid():
            for consumer in self._consumers.values():
                consumer.forget()
            self._senders.forget()
            self._lock, self._pid, self._consumers = threading.Lock(), os.getpid(), {}
            self._senders = Senders(self._servers)


def unique(id: str) -> bytes:
    """What a job is called at the server, which takes two of one name for one: the id itself where it fits.

    No id is like no other: a random name, since a server that keeps its queue in a table needs one.
    """
    packed = id.encode()
    if not packed:
        return secrets.token_hex(8).encode()
    if packed != b"-" and len(packed) <= MAX_ID and id.isprintable():  # "-": the body is the name
        return packed
    return hashlib.blake2b(packed, digest_size=30).hexdigest().encode()


def _put_back(link: Link, jobs: list[Assignment], until: float) -> None:
    again = secrets.token_hex(4)
    ids = {job.handle: unique(f"{job.id.decode(errors='replace')}~{again}") for job in jobs}
    link.put_back(jobs, ids, until)
