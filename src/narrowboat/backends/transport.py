"""The transport port: what a service that only delivers must do.

A transport keeps no jobs. What it carries are **notices**, each of which says that a job waits in a channel, and what
other programs have put there. A backend keeps the record and is the truth; the relay joins the two. So a notice may
come late, twice, to the wrong worker or never, and a transport need not promise more than it can.

A **channel** is a name: "queue:<queue>" for the jobs of a queue, "task:<task>" for bare arguments that other programs
send to one task. What the service calls it is the transport's affair.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import msgspec


class Notice(msgspec.Struct, frozen=True, gc=False):
    """One message. id: of the job, at most 64 bytes where the service has such a field. priority: a hint, -100..100."""

    channel: str
    id: str
    body: bytes
    priority: int = 0


class Delivery(msgspec.Struct, frozen=True):
    """A message that this consumer holds until it accepts it or gives it back. receipt: the transport's own."""

    channel: str
    body: bytes
    receipt: object
    is_redelivered: bool = False


class Depth(msgspec.Struct, frozen=True):
    """A channel in the service's own figures; None: it does not say. is_exact: not an estimate."""

    waiting: int | None
    held: int | None = None  # delivered, neither accepted nor given back
    consumers: int | None = None
    is_exact: bool = True


class TransportCapabilities(msgspec.Struct, frozen=True, kw_only=True):
    """What a service can do. max_bytes: of the body of a message that it is given."""

    name: str
    max_bytes: int
    has_priorities: bool = False


class Transport(ABC):
    """A service that delivers. Safe to call from any thread, and after a fork. Nothing connects before it is used."""

    capabilities: TransportCapabilities
    location: str  # for people: the URL without its password
    url: str = ""  # with the password, if any; tasks must not get it
    hidden: tuple[str, ...] = ()  # real paths that tasks must not see
    variables: tuple[str, ...] = ()  # of the environment, with credentials for it; tasks must not get them

    @abstractmethod
    def publish(self, notices: Sequence[Notice]) -> None:
        """Send messages. When it returns, the service has said that it has them (as durably as it can).

        Channels that are not there are made. Sending again is harmless. Raises BackendUnavailable within a bounded
        wait, and then some may have been sent.
        """

    @abstractmethod
    def receive(self, consumer: str, channels: Sequence[str], most: int, timeout_s: float) -> list[Delivery]:
        """Sleep until there are messages in these channels, and take at most `most`; none when the time is up.

        A consumer that is gone (kill -9 included) loses what it held, which is delivered again, sooner or later.
        The channels may differ from call to call. Raises BackendUnavailable; the service may be back at the next call.
        """

    @abstractmethod
    def rouse(self, consumer: str) -> None:
        """End at once the `receive` that this process has under way for a consumer, or else the next one."""

    @abstractmethod
    def accept(self, deliveries: Sequence[Delivery]) -> None:
        """These need not come again. What is no longer held (a connection was lost) is passed over: it comes again."""

    @abstractmethod
    def give_back(self, deliveries: Sequence[Delivery]) -> None:
        """Let others have these, soon. What is no longer held is passed over."""

    @abstractmethod
    def depths(self, channels: Sequence[str]) -> dict[str, Depth]:
        """How much lies in channels, by the service's own count; those that are not there are left out."""

    def doubts(self) -> list[str]:
        """What people should know of the service as it is set up, one sentence each."""
        return []

    def setup(self) -> list[tuple[str, str, str]]:
        """How the service is set up: (what, how it is, what that means). For `narrowboat doctor`."""
        return []

    @abstractmethod
    def close(self) -> None:
        """Give up connections and end receives; what is held goes back. Legal twice."""
