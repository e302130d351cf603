"""Publishing: on a line of its own, driven by whoever publishes; no thread, so that web processes stay without one.

The line is apart from the one that receives, since a server that is short of memory stops reading from whoever
publishes: acknowledgements on the same line would stay unread, and nothing would ever make room.
"""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
from __future__ import annotations

import random
import threading
import time
from collections.abc import Sequence
from typing import Any

from pika import BasicProperties, DeliveryMode
from pika.exceptions import NackError
from pika.spec import Basic

from ...core.errors import BackendUnavailable
from ..transport import Notice
from .address import Address
from .errors import in_our_words
from .line import AMQPError, Line, NoAnswer, Session
from .queues import Desk

# A web process turns its line only while it publishes, so the server must be patient with one that is silent. One that
# it has given up all the same is found lost by the next publish, which connects anew.
HEARTBEAT_S = 600
PART = 500  # messages that are under way before they are confirmed


class Publisher:
    """For one process; one thread publishes at a time."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._lock = threading.Lock()
        self._line: Line | None = None
        self._session: Session | None = None
        self._sent = 0  # in this session: what the server calls a message by when it confirms it
        self._unconfirmed: set[int] = set()
        self._returned: list[str] = []  # queues that are not there
        self._refusal: BaseException | None = None
        self._is_closed = False

    def publish(self, notices: Sequence[Notice]) -> None:
        """See Transport. A line that was lost is replaced, and everything sent again, while there is time."""
        address, failures = self._address, 0
        deadline = time.monotonic() + address.timeout_s
        if not self._lock.acquire(timeout=address.timeout_s):
            raise BackendUnavailable(f"{address.location}: other threads have been publishing for too long")
        try:
            while True:
                is_new = self._line is None
                # A line that a firewall has forgotten looks as one that is slow: half of the time is for a new one.
                until = deadline if is_new else (time.monotonic() + deadline) / 2
                try:
                    self._publish(notices, until, deadline)
                    return
                except (AMQPError, OSError) as error:
                    if self._line is not None and self._line.blocked:
                        raise in_our_words(error, address, self._line.blocked) from error
                    self._hang_up()
                    failures += 1
                    pause_s = random.random() * min(1.0, 0.05 * 2**failures) if is_new else 0.0
                    words = in_our_words(error, address)
                    is_over = time.monotonic() + pause_s >= deadline
                    if is_over or self._is_closed or not isinstance(words, BackendUnavailable):
                        raise words from error
                    time.sleep(pause_s)
        finally:
            self._lock.release()

    def close(self) -> None:
        """Legal twice."""
        self._is_closed = True
        with self._lock:
            self._hang_up(takes_leave=True)

    def _publish(self, notices: Sequence[Notice], until: float, deadline: float) -> None:
        names = [self._address.queue(notice.channel) for notice in notices]
        line, session = self._opened(deadline)
        if line.blocked:
            line.until(lambda: not line.blocked, deadline)
        for start in range(0, len(notices), PART):
            part, queues = notices[start : start + PART], names[start : start + PART]
            self._send(line, session, part, queues, until)
            if missing := set(self._returned):
                self._make(line, sorted(missing), deadline)
                again = [n for n, queue in enumerate(queues) if queue in missing]
                self._send(line, session, [part[n] for n in again], [queues[n] for n in again], deadline)
                if self._returned:
                    raise BackendUnavailable(f"{self._address.location}: {self._returned[0]} is deleted all the time")

    def _send(
        self, line: Line, session: Session, notices: Sequence[Notice], queues: Sequence[str], until: float
    ) -> None:
        """Send these, and wait until each is confirmed: what has no queue was returned before."""
        self._returned = []
        self._unconfirmed = set(range(self._sent + 1, self._sent + len(notices) + 1))
        for notice, queue in zip(notices, queues, strict=True):
            self._sent += 1
            session.basic_publish("", queue, notice.body, _properties(notice), mandatory=True)

        def is_over() -> bool:
            return not self._unconfirmed or self._refusal is not None

        try:
            line.until(is_over, until)
        except NoAnswer:
            if not line.blocked:
                raise
            line.until(is_over, time.monotonic() + self._address.timeout_s / 2)
        if self._refusal is not None:
            raise self._refusal

    def _opened(self, deadline: float) -> tuple[Line, Session]:
        if self._is_closed:
            raise BackendUnavailable(f"{self._address.location}: this transport was closed")
        if self._line is None:
            self._line = Line(self._address, deadline, HEARTBEAT_S)
        line, session = self._line, self._session
        if session is None or not session.is_open:
            session = self._session = line.session(deadline)
            self._sent, self._refusal = 0, None
            session.add_on_close_callback(self._closed)
            session.add_on_return_callback(self._return)
            session.confirm_delivery(self._confirmed)
        return line, session

    def _make(self, line: Line, queues: Sequence[str], deadline: float) -> None:
        desk = Desk(line, self._address, deadline)
        for queue in queues:
            desk.make(queue)

    def _hang_up(self, takes_leave: bool = False) -> None:
        line, self._line, self._session = self._line, None, None
        if line is not None:
            line.hang_up(takes_leave)

    def _confirmed(self, frame: Any) -> None:
        answer = frame.method
        if isinstance(answer, Basic.Nack):
            self._refusal = NackError([])
        if answer.multiple:
            self._unconfirmed = {n for n in self._unconfirmed if n > answer.delivery_tag}
        else:
            self._unconfirmed.discard(answer.delivery_tag)
        if self._line is not None and (not self._unconfirmed or self._refusal is not None):
            self._line.loop.stop()

    def _return(self, _: object, method: Any, __: object, ___: bytes) -> None:
        self._returned.append(method.routing_key)

    def _closed(self, _: object, why: BaseException) -> None:
        self._refusal = why
        if self._line is not None:
            self._line.loop.stop()


def _properties(notice: Notice) -> BasicProperties:
    kept = DeliveryMode.Persistent
    return BasicProperties(content_type="application/json", delivery_mode=kept, message_id=notice.id)
