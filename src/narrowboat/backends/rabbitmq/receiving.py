"""Receiving: one line for all consumers of this process, driven by a thread of its own.

The thread answers the server's heartbeats and hears of a loss also while nobody receives.
"""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
from __future__ import annotations

import random
import threading
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import partial

from pika.exceptions import ChannelClosedByBroker

from ...core.errors import BackendUnavailable
from ..transport import Delivery
from .address import Address
from .errors import NOT_FOUND, PRECONDITION, in_our_words
from .line import GOODBYE_S, HEARTBEAT_S, AMQPError, Line, visiting
from .queues import Desk
from .stand import Receipt, Stand

PASSING = (NOT_FOUND, PRECONDITION)  # a queue was deleted; something was held for longer than the server lets


class Receiver:
    """For one process."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._changed = threading.Condition()
        self._opening = threading.Lock()
        self._line: Line | None = None
        self._thread: threading.Thread | None = None
        self._stands: dict[str, Stand] = {}
        self._made: set[str] = set()  # queues that are there, as far as we know
        self._roused: set[str] = set()
        self._is_closed = False

    def receive(self, consumer: str, channels: Sequence[str], most: int, timeout_s: float) -> list[Delivery]:
        """See Transport. A line that is lost meanwhile is replaced, if that can be done soon."""
        until = time.monotonic() + timeout_s
        names = {self._address.queue(channel): channel for channel in channels}
        refused = 0
        try:
            while (stand := self._stand(consumer, names)) is not None:
                with self._changed:
                    found = self._wait(stand, consumer, names, most, until)
                    if found is not None:
                        return found
                    lost = stand.lost
                    if lost is not None and self._stands.get(consumer) is stand:
                        del self._stands[consumer]
                    if stand.gone or isinstance(lost, ChannelClosedByBroker):
                        self._made -= names.keys()
                if isinstance(lost, ChannelClosedByBroker):
                    refused += 1
                    if refused > 1 or lost.reply_code not in PASSING:
                        raise in_our_words(lost, self._address) from lost
            return []
        finally:
            with self._changed:
                self._roused.discard(consumer)

    def rouse(self, consumer: str) -> None:
        """See Transport."""
        with self._changed:
            self._roused.add(consumer)
            self._changed.notify_all()

    def settle(self, deliveries: Sequence[Delivery], *, is_accepted: bool) -> None:
        """Accept them, or give them back."""
        tags: dict[Stand, list[int]] = defaultdict(list)
        for delivery in deliveries:
            if isinstance(delivery.receipt, Receipt):
                tags[delivery.receipt.stand].append(delivery.receipt.tag)
        for stand, those in tags.items():
            with stand.changed:
                stand.settle(those, is_accepted=is_accepted)

    def close(self) -> None:
        """Legal twice."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        with self._opening:
            line, thread = self._line, self._thread
            self._line = self._thread = None
        if line is not None and thread is not None:
            line.do(line.leave)
            thread.join(GOODBYE_S)
            if thread.is_alive():
                line.do(line.cut)
                thread.join(GOODBYE_S)

    def _wait(
        self, stand: Stand, consumer: str, names: Mapping[str, str], most: int, until: float
    ) -> list[Delivery] | None:
        """What has come when the wait is over. None: something was lost, and must be made anew."""
        if stand.lost is not None:
            return None
        stand.attend(names, most)
        try:
            while not stand.arrived:
                if stand.lost is not None or stand.gone:
                    return None
                left_s = until - time.monotonic()
                if consumer in self._roused or self._is_closed or left_s <= 0:
                    return []
                self._changed.wait(left_s)
            return [stand.arrived.popleft() for _ in range(min(most, len(stand.arrived)))]
        finally:
            stand.rest()

    def _stand(self, consumer: str, names: Mapping[str, str]) -> Stand | None:
        """The consumer's, on a line that works, with its queues made. None: roused or closed meanwhile."""
        deadline, failures = time.monotonic() + self._address.timeout_s, 0
        while True:
            try:
                with self._opening:
                    if self._is_closed:
                        return None
                    line = self._opened(deadline)
                    self._make(sorted(names.keys() - self._made), deadline)
                with self._changed:
                    if line.lost is None:
                        if consumer not in self._stands:
                            self._stands[consumer] = Stand(line, self._changed)
                        return self._stands[consumer]
            except (AMQPError, OSError) as error:
                failures += 1
                pause_s = min(1.0, 0.05 * 2**failures) * random.random()
                words = in_our_words(error, self._address)
                if time.monotonic() + pause_s >= deadline or not isinstance(words, BackendUnavailable):
                    raise words from error
                with self._changed:
                    if self._changed.wait_for(lambda: self._is_closed or consumer in self._roused, pause_s):
                        return None

    def _opened(self, deadline: float) -> Line:
        if self._line is None or self._line.lost is not None:
            line = Line(self._address, deadline, HEARTBEAT_S)
            line.on_loss = partial(self._lost, line)
            with self._changed:
                self._line, self._stands = line, {}
            self._thread = threading.Thread(target=line.turn, name="narrowboat-rabbitmq", daemon=True)
            self._thread.start()
        return self._line

    def _make(self, queues: Sequence[str], deadline: float) -> None:
        """On a line of its own, since what is refused there ends a session."""
        if not queues:
            return
        with visiting(self._address, deadline) as line:
            desk = Desk(line, self._address, deadline)
            for queue in queues:
                desk.make(queue)
                self._made.add(queue)

    def _lost(self, line: Line) -> None:
        with self._changed:
            if self._line is line:
                for stand in self._stands.values():
                    stand.end(line.lost or ConnectionError("lost"))
                self._stands = {}
            self._changed.notify_all()
