"""How a consumer listens to many queues at once, and can be roused: each poll has a thread of its own.

A long poll cannot be called off: the service may be about to answer it. So a receive that ends early leaves its polls
under way; the next receive goes on with them, and what they bring while nobody receives is given back. For the same
reason they may last longer than a receive, and cost fewer requests.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from ..transport import Delivery
from .service import LONGEST_POLL_S, MOST

POLLS = 32  # that one receive has under way; with more channels than that, they take turns
TURN_S = 2  # the longest poll where they do
HOLD_S = 0.5  # for how long the next receive may take what came while there was none
SLEEP_S = 3.0  # a receive that lasts so long is of one who sleeps, and will go on with its polls in the next
GRACE_S = 1.0  # for answers that are due when the time is up
ABSENT_S = 30.0  # after so long a queue that is not there, and is not ours to make, is looked for again

Ask = Callable[[str, int, int], list[Delivery] | None]  # channel, most, wait_s; None: it is not there


class Ear:
    """One consumer's. ask: one request to one queue; give_back: for what nobody took."""

    def __init__(self, ask: Ask, give_back: Callable[[Sequence[Delivery]], None]) -> None:
        self._ask, self._give_back = ask, give_back
        self._news = threading.Condition()
        self._found: list[Delivery] = []
        self._due: dict[str, float] = {}  # channel -> when its poll is to be answered
        self._asked_at: dict[str, float] = {}
        self._absent_until: dict[str, float] = {}
        self._room: dict[str, int] = {}  # channel -> how many the receive under way would take
        self._failure: Exception | None = None
        self._is_roused = self._is_closed = False

    def receive(self, channels: Sequence[str], most: int, timeout_s: float) -> list[Delivery]:
        """See Transport. Raises what a poll has raised."""
        until = time.monotonic() + timeout_s
        looked: set[str] = set()
        with self._news:
            self._failure = None
            self._room = dict.fromkeys(channels, most)
            try:
                while True:
                    if taken := self._take(channels, most):
                        return taken
                    if self._failure:
                        raise self._failure
                    if self._is_roused or self._is_closed:
                        self._is_roused = False
                        return []
                    left_s = until - time.monotonic()
                    if left_s > 0 or not looked:
                        self._poll(channels, most, left_s, timeout_s >= SLEEP_S, looked)
                    is_due = any(self._due.get(channel, until + GRACE_S) < until + GRACE_S for channel in channels)
                    if left_s <= (-GRACE_S if is_due else 0):
                        return []
                    self._news.wait(left_s if left_s > 0 else left_s + GRACE_S)
            finally:
                self._room = {}

    def rouse(self) -> None:
        """End the receive under way, or else the next one."""
        with self._news:
            self._is_roused = True
            self._news.notify_all()

    def close(self) -> None:
        """End receives for good."""
        with self._news:
            self._is_closed = True
            self._news.notify_all()

    def _take(self, channels: Sequence[str], most: int) -> list[Delivery]:
        taken = [delivery for delivery in self._found if delivery.channel in channels][:most]
        if taken:
            chosen = set(map(id, taken))
            self._found = [delivery for delivery in self._found if id(delivery) not in chosen]
            self._news.notify_all()
        return taken

    def _poll(self, channels: Sequence[str], most: int, left_s: float, is_asleep: bool, looked: set[str]) -> None:
        """Begin a poll of each channel that has none; near the end of the time a short look, once."""
        now = time.monotonic()
        channels = [channel for channel in channels if self._absent_until.get(channel, 0.0) <= now]
        longest_s = LONGEST_POLL_S if len(channels) <= POLLS else TURN_S
        wait_s = longest_s if is_asleep else max(0, min(longest_s, int(left_s + 0.51)))
        idle = [channel for channel in channels if channel not in self._due and (wait_s or channel not in looked)]
        looked.update(channels)
        idle.sort(key=lambda channel: self._asked_at.get(channel, 0.0))
        for channel in idle[: POLLS - sum(channel in self._due for channel in channels)]:
            self._asked_at[channel] = now
            self._due[channel] = now + wait_s
            threading.Thread(target=self._listen, args=(channel, most, wait_s), name="nb-sqs-poll", daemon=True).start()

    def _listen(self, channel: str, most: int, wait_s: int) -> None:
        mine: list[Delivery] = []
        try:
            while True:
                answer = self._ask(channel, min(MOST, most), wait_s)
                came = answer or []
                mine += came
                with self._news:
                    self._found += came
                    self._news.notify_all()
                    if answer is None:
                        self._absent_until[channel] = time.monotonic() + ABSENT_S
                    if len(came) < MOST or len(self._found) >= self._room.get(channel, 0):
                        break
                wait_s = 0
        except Exception as error:  # noqa: BLE001 - it is the receive's to raise
            with self._news:
                self._failure = error
        with self._news:
            del self._due[channel]
            self._news.notify_all()
            ids = set(map(id, mine))

            def is_taken() -> bool:
                return not any(id(delivery) in ids for delivery in self._found)

            self._news.wait_for(lambda: self._is_closed or is_taken(), HOLD_S)
            left = [delivery for delivery in self._found if id(delivery) in ids]
            self._found = [delivery for delivery in self._found if id(delivery) not in ids]
        if left:
            self._give_back(left)
