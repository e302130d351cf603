"""Where the messages of one consumer arrive: a session, with a subscription to each queue that is asked for now.

How many messages the server hands over ahead follows what is asked for. A consumer that does not come for more takes
nothing from others: a moment after its last receive the subscriptions end, and what nobody has fetched goes back.
"""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
from __future__ import annotations

import itertools
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from ..transport import Delivery
from .line import Line, Session

LINGER_S = 0.25  # after a receive, within which the next one finds everything as it was
MOST_AHEAD = 1024  # quorum queues take up to 2000; beyond 300 it makes nothing faster
_numbers = itertools.count(1)


class Receipt(NamedTuple):
    """tag: what the server calls the message by in this session."""

    stand: Stand
    tag: int


class Stand:
    """Of one consumer on one line. changed: guards it, and is notified of what happens.

    lost: why there is no session any more. gone: queues that were deleted meanwhile. Methods whose name begins with
    an underscore run in the thread that drives the line, the others wherever `changed` is held.
    """

    def __init__(self, line: Line, changed: threading.Condition) -> None:
        self.lost: BaseException | None = None
        self.gone: set[str] = set()
        self.arrived: deque[Delivery] = deque()
        self.changed, self._line = changed, line
        self._held: dict[int, str] = {}  # tag -> queue, in order: what was delivered and not settled, arrived included
        self._names: Mapping[str, str] = {}  # queue -> channel
        self._ahead = 0
        self._is_attended = self._is_watched = False
        self._left_at = 0.0
        self._session: Session | None = None
        self._granted = 0
        self._tags: dict[str, str] = {}  # queue -> subscription
        line.do(partial(line.ask_session, self._opened))

    def attend(self, names: Mapping[str, str], most: int) -> None:
        """Have messages of these queues come, `most` beyond those that are held."""
        self._is_attended = True
        need = len(self._held) - len(self.arrived) + most
        ahead = self._ahead if need <= self._ahead <= 4 * need else min(MOST_AHEAD, 1 << (need - 1).bit_length())
        if names != self._names or ahead != self._ahead or self.gone:
            self._ahead = ahead
            self._want(names)
            self._line.do(self._subscribe)

    def rest(self) -> None:
        """The receive is over."""
        self._is_attended, self._left_at = False, time.monotonic()
        if not self._is_watched and self.lost is None:
            self._is_watched = True
            self._line.do(self._watch)

    def settle(self, tags: Sequence[int], *, is_accepted: bool) -> None:
        """Accept messages, or give them back; those that are not held are passed over."""
        mine = {tag for tag in tags if tag in self._held}
        if not mine or self.lost is not None:
            return
        up_to = 0  # all that is held up to here is among them: one word does for all
        for tag in self._held:
            if tag not in mine:
                break
            up_to = tag
        for tag in mine:
            del self._held[tag]
        # In the order in which they left `_held`: else a word for all up to a tag could mean one of another settling.
        self._line.do(partial(self._say, up_to, sorted(tag for tag in mine if tag > up_to), is_accepted))

    def end(self, why: BaseException) -> None:
        """There is no session any more."""
        self.lost = self.lost or why
        self._held.clear()
        self.arrived.clear()
        self.changed.notify_all()

    def _want(self, names: Mapping[str, str]) -> None:
        """These queues from now on; what has come from others goes back."""
        self._names = names
        self.gone.clear()
        unwanted = [delivery for delivery in self.arrived if self._held[_tag(delivery)] not in names]
        if unwanted:
            self.arrived = deque(delivery for delivery in self.arrived if self._held[_tag(delivery)] in names)
            self.settle([_tag(delivery) for delivery in unwanted], is_accepted=False)

    def _opened(self, session: Session) -> None:
        session.add_on_close_callback(self._closed)
        session.add_on_cancel_callback(self._cancelled)
        self._session = session
        self._subscribe()

    def _subscribe(self) -> None:
        """Make the subscriptions what they should be."""
        session = self._session
        if session is None or not session.is_open:
            return
        with self.changed:
            names, ahead = self._names, self._ahead
        for queue in [queue for queue in self._tags if queue not in names or ahead != self._granted]:
            session.basic_cancel(self._tags.pop(queue))
        if names and ahead != self._granted:
            session.basic_qos(prefetch_count=ahead)  # of each subscription that is made from now on
            self._granted = ahead
        for queue, channel in names.items():
            if queue not in self._tags:
                tag = self._tags[queue] = f"nb.{next(_numbers)}"
                session.basic_consume(queue, partial(self._arrive, queue, channel), consumer_tag=tag)

    def _arrive(self, queue: str, channel: str, _: object, method: Any, __: object, body: bytes) -> None:
        with self.changed:
            self._held[method.delivery_tag] = queue
            if queue not in self._names:  # it was on its way when it was no longer wanted
                self.settle([method.delivery_tag], is_accepted=False)
                return
            self.arrived.append(Delivery(channel, body, Receipt(self, method.delivery_tag), method.redelivered))
            if len(self.arrived) == 1:
                self._line.do(self._ring)  # once what has come with it is here, too

    def _ring(self) -> None:
        with self.changed:
            self.changed.notify_all()

    def _say(self, up_to: int, others: Sequence[int], is_accepted: bool) -> None:
        session = self._session
        if session is None or not session.is_open:
            return
        say = session.basic_ack if is_accepted else session.basic_nack  # the latter puts it into the queue again
        if up_to:
            say(up_to, multiple=True)
        for tag in others:
            say(tag)

    def _watch(self) -> None:
        with self.changed:
            if self._is_attended or self.lost is not None:
                self._is_watched = False
                return
            left_s = self._left_at + LINGER_S - time.monotonic()
            if left_s > 0:
                self._line.loop.call_later(left_s, self._watch)
                return
            self._is_watched = False
            self._want({})
        self._subscribe()

    def _cancelled(self, frame: Any) -> None:
        """The server has ended a subscription: its queue was deleted."""
        with self.changed:
            for queue in [queue for queue, tag in self._tags.items() if tag == frame.method.consumer_tag]:
                del self._tags[queue]
                self.gone.add(queue)
            self.changed.notify_all()

    def _closed(self, _: object, why: BaseException) -> None:
        with self.changed:
            self.end(why)


def _tag(delivery: Delivery) -> int:
    receipt = delivery.receipt
    assert isinstance(receipt, Receipt)
    return receipt.tag
