"""What every transport must do, as tests that any of them can run; see `narrowboat.backends.transport` for the port.

Subclass with a name that pytest collects:

    class TestMine(TransportConformance):
        def make_transport(self) -> Transport: ...           # to a real service, which may be the same each time
        def reopen(self, transport: Transport) -> Transport: ...  # a second handle on it, as another process opens it
        def unreachable(self) -> Transport: ...              # to an address where nobody listens

Messages may come late, twice and in any order, so nothing here asks for more than each of them, in the end. Channels
are new in each case; what is left in them may stay.
"""

from __future__ import annotations

import os
import secrets
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import pytest

from narrowboat.backends.transport import Delivery, Depth, Notice, Transport
from narrowboat.core.errors import BackendUnavailable
from narrowboat.testing.conformance.sleepers import PROMPT_S, is_asleep, woken_by
from tests.support.processes import wait_for

T = TypeVar("T")
ASLEEP_S = 0.3  # a call that has not returned by then sleeps
forks = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")


class TransportConformance:
    """A transport, and a second handle on the same service."""

    has_one_order = True  # of all that lies in a channel
    comes_back_within_s = 10.0  # what was given back, or held by a connection that was closed
    survives_kill_within_s = 15.0  # what was held by a process that was killed
    counts_within_s = 30.0  # until the service's own figures are right
    bounded_s = 15.0  # the longest that a service out of reach may keep a caller

    def make_transport(self) -> Transport:
        """A transport to a service that runs."""
        raise NotImplementedError

    def reopen(self, transport: Transport) -> Transport:
        """A second handle on the service, as another process would open it."""
        raise NotImplementedError

    def unreachable(self) -> Transport:
        """A transport to a service that is not there."""
        raise NotImplementedError

    @pytest.fixture
    def service(self) -> None:
        """Override it to have a service before a transport is made."""

    @pytest.fixture(autouse=True)
    def _transports(self, service: None) -> Iterator[None]:
        self._run = secrets.token_hex(4)
        self._threads = ThreadPoolExecutor(max_workers=16)
        self.transport = self.make_transport()
        self.other = self.reopen(self.transport)
        yield
        for transport in (self.transport, self.other):
            transport.close()  # ends the receives of threads, too
        self._threads.shutdown()

    # Helpers.

    def channel(self, name: str = "queue:default") -> str:
        """A channel of this case only."""
        return f"{name}_{self._run}"

    def put(self, channel: str, *bodies: bytes) -> None:
        """Publish one notice for each body."""
        self.transport.publish([Notice(channel, f"demo.send:{secrets.token_hex(8)}", body) for body in bodies])

    def take(
        self, *channels: str, by: Transport | None = None, most: int = 10, timeout_s: float = 30.0, consumer: str = "w"
    ) -> list[Delivery]:
        """One receive."""
        return (by or self.transport).receive(consumer, channels, most, timeout_s)

    def take_one(self, *channels: str, **options: Any) -> Delivery:
        """One message, which must come."""
        [delivery] = self.take(*channels, most=1, **options)
        return delivery

    def take_all(self, *channels: str, of: set[bytes], within_s: float = 60.0, **options: Any) -> set[bytes]:
        """Receive and accept until each of these bodies has come; what has come."""
        found: set[bytes] = set()
        until, by = time.monotonic() + within_s, options.get("by") or self.transport
        while not of <= found and time.monotonic() < until:
            deliveries = self.take(*channels, timeout_s=0.5, **options)
            by.accept(deliveries)
            found |= bodies(deliveries)
        return found

    def comes_again(self, channel: str, body: bytes, within_s: float, by: Transport) -> bool:
        """Whether a message comes to another consumer in time."""
        return body in self.take_all(channel, of={body}, within_s=within_s, by=by, consumer="heir")

    def meanwhile(self, act: Callable[[], T]) -> Future[T]:
        """Do something in a thread."""
        return self._threads.submit(act)

    def woken_by(self, deed: Callable[[], object], sleeper: Callable[[], T]) -> T:
        """What a sleeping call returns, promptly, after a deed that must wake it."""
        return woken_by(deed, sleeper, self.meanwhile, ASLEEP_S)

    # Publish and receive.

    def test_what_is_published_is_received_as_it_was(self) -> None:
        for name in (
            "queue:default",
            "queue:e-mail_2",
            "queue:größe/é",
            "queue:" + 90 * "q",
            "task:studio.images.draw",
        ):
            channel, body = self.channel(name), '{"v":1,"note":"Grüße\\n"}'.encode()
            self.put(channel, body)
            delivery = self.take_one(channel)
            assert (delivery.channel, delivery.body) == (channel, body)
            self.transport.accept([delivery])

    def test_each_of_a_large_batch_arrives(self) -> None:
        one, two = self.channel("queue:one"), self.channel("queue:two")
        wanted = {b'{"n":%d}' % n for n in range(250)}
        notices = [Notice((one, two)[n % 2], f"demo.send:{n}", body) for n, body in enumerate(sorted(wanted))]
        self.transport.publish(notices)
        assert self.take_all(one, two, of=wanted, most=100) == wanted

    def test_a_message_as_large_as_a_job_may_be_arrives(self) -> None:
        size = min(self.transport.capabilities.max_bytes, 300_000)
        channel, body = self.channel(), b'"' + b"x" * (size - 2) + b'"'
        self.put(channel, body)
        assert self.take_all(channel, of={body}) == {body}

    def test_what_was_published_before_anyone_received_waits(self) -> None:
        channel = self.channel()
        self.put(channel, b"{}")
        assert self.comes_again(channel, b"{}", self.comes_back_within_s, self.other)

    def test_nothing_to_do_is_no_error(self) -> None:
        self.transport.publish([])
        self.transport.accept([])
        self.transport.give_back([])

    def test_a_receive_takes_no_more_than_asked_for(self) -> None:
        channel = self.channel()
        wanted = {b'{"n":%d}' % n for n in range(10)}
        self.put(channel, *sorted(wanted))
        found: set[bytes] = set()
        while found != wanted:
            deliveries = self.take(channel, most=3)
            assert 1 <= len(deliveries) <= 3
            found |= bodies(deliveries)
            self.transport.accept(deliveries)

    def test_a_receive_ends_when_its_time_is_up(self) -> None:
        began = time.monotonic()
        assert self.take(self.channel(), timeout_s=1.0) == []
        assert 0.95 <= time.monotonic() - began < 1.0 + PROMPT_S

    def test_a_publish_wakes_a_receive(self) -> None:
        channel = self.channel()
        for n in range(3):  # the first finds a channel that was not there
            body = b'{"n":%d}' % n
            deliveries = self.woken_by(
                lambda body=body: self.put(channel, body),  # type: ignore[misc]
                lambda: self.take(channel, by=self.other),
            )
            assert bodies(deliveries) == {body}
            self.other.accept(deliveries)

    def test_a_publish_wakes_one_who_receives_from_any_of_many_channels(self) -> None:
        channels = [self.channel(f"queue:{name}") for name in "abc"]
        deliveries = self.woken_by(lambda: self.put(channels[2], b"{}"), lambda: self.take(*channels, by=self.other))
        assert [delivery.channel for delivery in deliveries] == [channels[2]]

    def test_a_consumer_gets_what_is_in_its_channels_only(self) -> None:
        mine, theirs = self.channel("queue:mine"), self.channel("queue:theirs")
        self.put(theirs, b'"theirs"')
        assert self.take(mine, timeout_s=1.0) == []
        self.put(mine, b'"mine"')
        assert self.take_one(mine).body == b'"mine"'
        assert self.take_one(theirs, by=self.other).body == b'"theirs"'

    def test_the_channels_of_a_consumer_may_change(self) -> None:
        one, two = self.channel("queue:one"), self.channel("queue:two")
        for channels, full in (((one,), one), ((two,), two), ((two, one), one), ((one,), one)):
            self.put(full, b"{}")
            delivery = self.take_one(*channels)
            assert delivery.channel == full
            self.transport.accept([delivery])
        self.put(two, b"{}")
        assert self.take(one, timeout_s=0.5) == [], "it is no longer asked for"
        assert self.comes_again(two, b"{}", self.comes_back_within_s, self.other)

    def test_a_priority_is_a_hint_which_the_more_urgent_come_first_by_where_it_is_heeded(self) -> None:
        channel = self.channel()
        for priority in (0, -100, 100, 50):
            self.transport.publish([Notice(channel, f"demo.send:{priority}", b"%d" % priority, priority)])
        found = []
        for _ in range(4):
            delivery = self.take_one(channel)
            self.transport.accept([delivery])
            found.append(int(delivery.body))
        assert sorted(found) == [-100, 0, 50, 100]
        if self.transport.capabilities.has_priorities and self.has_one_order:
            assert found.index(100) < found.index(0) < found.index(-100)
            assert found.index(50) < found.index(-100)

    # What becomes of what is held.

    def test_what_one_holds_comes_to_nobody_else(self) -> None:
        channel = self.channel()
        self.put(channel, b"{}")
        held = self.take_one(channel)
        assert not held.is_redelivered
        assert self.take(channel, by=self.other, timeout_s=1.0) == []
        self.transport.accept([held])

    def test_two_consumers_of_one_process_get_different_messages(self) -> None:
        channel = self.channel()
        self.put(channel, b"1", b"2")
        found = [self.take_one(channel, consumer=name) for name in ("first", "second")]
        assert bodies(found) == {b"1", b"2"}
        self.transport.accept(found)

    def test_what_was_accepted_does_not_come_again(self) -> None:
        channel = self.channel()
        self.put(channel, b"1", b"2", b"3")
        assert self.take_all(channel, of={b"1", b"2", b"3"}) == {b"1", b"2", b"3"}
        self.transport.close()
        assert self.take(channel, by=self.other, timeout_s=1.0) == []

    def test_it_may_be_accepted_by_another_thread_while_the_consumer_receives_again(self) -> None:
        channel = self.channel()
        self.put(channel, b"1")
        held = self.take_one(channel)
        receiving = self.meanwhile(lambda: self.take(channel))
        assert is_asleep(receiving, ASLEEP_S)
        self.meanwhile(lambda: self.transport.accept([held])).result(timeout=PROMPT_S)
        self.put(channel, b"2")
        second = receiving.result(timeout=PROMPT_S)
        assert bodies(second) == {b"2"}
        self.transport.accept(second)
        self.transport.close()
        assert self.take(channel, by=self.other, timeout_s=1.0) == []

    def test_what_was_given_back_comes_to_others(self) -> None:
        channel = self.channel()
        self.put(channel, b"{}")
        self.transport.give_back([self.take_one(channel)])
        assert self.comes_again(channel, b"{}", self.comes_back_within_s, self.other)

    def test_what_is_held_goes_back_with_a_close(self) -> None:
        channel = self.channel()
        self.put(channel, b"{}")
        self.take_one(channel)
        self.transport.close()
        assert self.comes_again(channel, b"{}", self.comes_back_within_s, self.other)

    def test_what_is_no_longer_held_is_passed_over(self) -> None:
        channel = self.channel()
        self.put(channel, b"1", b"2")
        first, second = self.take_one(channel), self.take_one(channel)
        self.transport.accept([first])
        self.transport.accept([first])
        self.transport.give_back([first])
        self.transport.give_back([second])
        self.transport.accept([second])
        self.transport.give_back([second])
        assert self.comes_again(channel, second.body, self.comes_back_within_s, self.other)
        assert self.take(channel, by=self.other, timeout_s=1.0) == []

    @forks
    def test_what_a_killed_process_held_comes_again(self) -> None:
        channel = self.channel()
        self.put(channel, b"{}")

        def hold() -> None:
            [delivery] = self.other.receive("doomed", [channel], 1, 30.0)
            os.write(told, delivery.body)
            signal.pause()

        hears, told = os.pipe()
        child = forked(hold)
        os.close(told)  # the child has its own: if it fails, there is nothing to read
        try:
            assert os.read(hears, 100) == b"{}"
        finally:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            os.close(hears)
        assert self.comes_again(channel, b"{}", self.survives_kill_within_s, self.transport)

    # Rouse and close.

    def test_a_receive_is_ended_by_being_roused_before_or_while_it_lasts(self) -> None:
        channel = self.channel()
        self.transport.rouse("w")
        assert self.meanwhile(lambda: self.take(channel)).result(timeout=PROMPT_S) == []
        assert self.woken_by(lambda: self.transport.rouse("w"), lambda: self.take(channel)) == []
        assert self.take(channel, timeout_s=0.5) == [], "once only"
        began = time.monotonic()
        assert self.take(channel, timeout_s=0.5) == []
        assert time.monotonic() - began >= 0.45, "once only"

    def test_being_roused_loses_no_message(self) -> None:
        channel, wanted = self.channel(), {b"%d" % n for n in range(20)}
        found: set[bytes] = set()
        for body in sorted(wanted):
            receiving = self.meanwhile(lambda: self.take(channel, timeout_s=5.0))
            self.put(channel, body)
            self.transport.rouse("w")
            deliveries = receiving.result(timeout=5.0 + PROMPT_S)
            self.transport.accept(deliveries)
            found |= bodies(deliveries)
        assert found | self.take_all(channel, of=wanted - found) == wanted

    def test_being_roused_ends_no_receive_of_another_consumer(self) -> None:
        channel = self.channel()
        receiving = self.meanwhile(lambda: self.take(channel, consumer="another"))
        assert is_asleep(receiving, ASLEEP_S)
        self.transport.rouse("w")
        assert is_asleep(receiving, ASLEEP_S)
        self.put(channel, b"{}")
        assert bodies(receiving.result(timeout=PROMPT_S)) == {b"{}"}

    def test_a_close_ends_receives_and_is_legal_twice(self) -> None:
        channel = self.channel()
        assert self.woken_by(self.other.close, lambda: self.take(channel, by=self.other)) == []
        self.other.close()

    def test_a_transport_that_was_never_used_can_be_closed(self) -> None:
        self.reopen(self.transport).close()

    # Threads and processes.

    def test_many_threads_publish_and_receive_at_once(self) -> None:
        channel = self.channel()
        wanted = {b'{"n":%d}' % n for n in range(200)}
        shares = [sorted(wanted)[start::4] for start in range(4)]
        found: set[bytes] = set()

        def publish(share: Sequence[bytes]) -> None:
            for body in share:
                self.put(channel, body)

        def consume(name: str, transport: Transport) -> None:
            until = time.monotonic() + 60
            while not wanted <= found and time.monotonic() < until:
                deliveries = self.take(channel, by=transport, timeout_s=0.5, consumer=name)
                found.update(bodies(deliveries))
                transport.accept(deliveries)

        consumers = [self.meanwhile(lambda n=n: consume(f"w{n}", self.transport)) for n in range(3)]  # type: ignore[misc]
        consumers.append(self.meanwhile(lambda: consume("w", self.other)))
        for publisher in [self.meanwhile(lambda share=share: publish(share)) for share in shares]:  # type: ignore[misc]
            publisher.result(timeout=120)
        for consumer in consumers:
            consumer.result(timeout=120)
        assert found == wanted

    @forks
    def test_a_child_process_has_connections_of_its_own(self) -> None:
        channel, back = self.channel("queue:there"), self.channel("queue:back")
        self.put(channel, b"before")  # there is a connection now
        assert self.take_all(channel, of={b"before"}) == {b"before"}

        def answer() -> None:
            for n in range(20):
                [delivery] = self.take(channel, most=1, consumer="child")
                self.transport.accept([delivery])
                self.put(back, b"%d" % n)

        child = forked(answer)
        for n in range(20):
            self.put(channel, b"%d" % n)
        wanted = {b"%d" % n for n in range(20)}
        assert self.take_all(back, of=wanted) == wanted
        assert os.waitpid(child, 0)[1] == 0

    # Figures, and a service that is not there.

    def test_the_service_says_how_much_waits_and_is_held(self) -> None:
        channel, missing = self.channel("queue:counted"), self.channel("queue:missing")
        self.put(channel, b"1", b"2", b"3")
        self.counts(channel, waiting=3, held=0)
        held = self.take_one(channel)
        self.counts(channel, waiting=2, held=1)
        self.transport.accept([held])
        self.counts(channel, waiting=2, held=0)
        assert missing not in self.other.depths([channel, missing])

    def counts(self, channel: str, waiting: int, held: int) -> None:
        """The figures that the service gives are these, soon."""

        def agrees() -> bool:
            depth = last[0] = self.other.depths([channel])[channel]
            return depth.waiting in (waiting, None) and depth.held in (held, None)

        last: list[Depth | None] = [None]
        try:
            wait_for("the service's own figures", agrees, self.counts_within_s)
        except AssertionError:
            pytest.fail(f"{waiting} wait and {held} are held, but it says {last[0]}")

    def test_what_it_says_of_the_service_can_be_shown(self) -> None:
        assert self.transport.capabilities.name
        assert self.transport.capabilities.max_bytes >= 65_536
        assert self.transport.location
        assert all(isinstance(doubt, str) and doubt for doubt in self.transport.doubts())
        assert all(len(line) == 3 and all(isinstance(word, str) for word in line) for line in self.transport.setup())

    def test_a_service_out_of_reach_is_said_within_a_bounded_time(self) -> None:
        transport = self.unreachable()
        for attempt in (
            lambda: transport.publish([Notice("queue:default", "demo.send:1", b"{}")]),
            lambda: transport.receive("w", ["queue:default"], 1, 1.0),
            lambda: transport.depths(["queue:default"]),
        ):
            began = time.monotonic()
            with pytest.raises(BackendUnavailable):
                attempt()
            assert time.monotonic() - began < self.bounded_s
        transport.close()


def bodies(deliveries: Sequence[Delivery]) -> set[bytes]:
    """What they carry."""
    return {delivery.body for delivery in deliveries}


def forked(act: Callable[[], object]) -> int:
    """The pid of a child that does something and ends with 0, or with 1 if that failed."""
    child = os.fork()
    if child == 0:
        signal.alarm(120)  # a deadlock is a failure, not a hang
        try:
            act()
        except BaseException:  # noqa: BLE001 - the parent hears of it by the status
            os._exit(1)
        os._exit(0)
    return child
