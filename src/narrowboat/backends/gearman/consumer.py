"""One consumer: it sleeps on a connection to each server at once."""

from __future__ import annotations

import contextlib
import math
import select
import socket
import threading
import time
from collections.abc import Sequence

from ...core.errors import BackendUnavailable
from .link import Held, Link
from .server import Server, in_turn

ANSWER_S = 4.0  # for what a server is to answer at once
LONGEST_S = 5.0  # of a sleep without a look
MOST_AT_ONCE = 50  # jobs that one round trip asks for


class Consumer:
    """is_closed: its receives end, and it takes no more."""

    def __init__(self, servers: Sequence[Server], name: str) -> None:
        self._servers, self._name, self.is_closed = servers, name, False
        self._lock = threading.Lock()  # one receive at a time
        self._links: dict[tuple[Server, frozenset[bytes]], Link] = {}
        self._turn, self._is_roused = 0, False
        self._trouble = BackendUnavailable("there is no server")
        self._ear, self._mouth = socket.socketpair()
        self._ear.setblocking(False)
        self._mouth.setblocking(False)

    @property
    def is_up(self) -> bool:
        """Whether its sleep is over."""
        return self._is_roused or self.is_closed

    def receive(self, functions: frozenset[bytes], most: int, timeout_s: float) -> list[Held]:
        """As the port has it. Raises BackendUnavailable when no server is left."""
        until = time.monotonic() + timeout_s
        with self._lock:
            if self.is_closed:
                raise BackendUnavailable("this transport was closed")
            try:
                links = self._connected(functions, is_first=True)
                while True:
                    found = self._look(links, most)
                    if found or self.is_up:
                        return found
                    awake = [link for link in links if link.is_open]
                    if awake and not self._sleep(awake, until):
                        return []
                    links = self._connected(functions)
            except BackendUnavailable:
                if self.is_closed:
                    return []
                raise
            finally:
                self._is_roused = False
                self._drain()

    def rouse(self) -> None:
        """End the receive that is under way, or else the next one."""
        self._is_roused = True
        self.ring()

    def ring(self) -> None:
        """Have the sleeper look around."""
        with contextlib.suppress(OSError):  # full: it has been rung; closed: nobody sleeps
            self._mouth.send(b"x")

    def close(self) -> None:
        """Give back what is held, and end the receive that is under way. Legal twice."""
        self.is_closed = True
        self.ring()
        for link in [*self._links.values()]:
            link.hang_up()
        with self._lock:  # the receive has ended
            self._ear.close()
            self._mouth.close()

    def forget(self) -> None:
        """After a fork: the connections are the parent's."""
        for link in self._links.values():
            link.forget()
        self._ear.close()
        self._mouth.close()

    def _connected(self, functions: frozenset[bytes], is_first: bool = False) -> list[Link]:
        """A link to each server that is there. One that failed a moment ago is tried only where there is no other."""
        self._tidy(functions)
        links = [link for (_, those), link in self._links.items() if those == functions]
        linked = {link.server for link in links}
        missing = [server for server in self._servers if server not in linked]
        found = links + self._connect([server for server in missing if not server.is_away()], functions)
        if not found and is_first:
            found = self._connect([server for server in missing if server.is_away()], functions)
        if not found:
            raise self._trouble
        return found

    def _connect(self, servers: Sequence[Server], functions: frozenset[bytes]) -> list[Link]:
        found: list[Link] = []
        for server, until in in_turn(servers, time.monotonic() + ANSWER_S):
            try:
                link = Link(server, functions, self._name, self.ring, until)
            except BackendUnavailable as error:
                server.failed()
                self._trouble = error
                continue
            self._links[server, functions] = link
            if self.is_closed:
                link.hang_up()
            found.append(link)
        return found

    def _tidy(self, functions: frozenset[bytes]) -> None:
        """Drop the links that ended, and those for other functions that hold nothing."""
        for key, link in [*self._links.items()]:
            if key[1] != functions:
                link.end_if_idle()
            if not link.is_open:
                del self._links[key]

    def _look(self, links: Sequence[Link], most: int) -> list[Held]:
        """What the first server has that has any: those that have called first, and with another of them each time.

        A silent one ends it, so that the patience with many does not add up.
        """
        self._turn += 1
        at = self._turn % len(links)
        for link in sorted([*links[at:], *links[:at]], key=lambda link: not link.is_woken):
            found = self._take(link, most)
            if found or not link.is_open:
                return found
        return []

    def _take(self, link: Link, most: int) -> list[Held]:
        found: list[Held] = []
        try:
            while asked := min(most - len(found), MOST_AT_ONCE):
                jobs = link.grab(asked, time.monotonic() + ANSWER_S)
                link.server.answered()
                found += [Held(link, job) for job in jobs]
                if len(jobs) < asked:
                    break
        except BackendUnavailable as error:
            self._lost(link, error)
            return []  # they come again
        return found

    def _sleep(self, links: Sequence[Link], until: float) -> bool:
        """Whether to look again: not when the time is up, or the consumer was roused."""
        poller = select.poll()
        poller.register(self._ear, select.POLLIN)
        by_number: dict[int, Link] = {}
        for link in links:
            try:
                link.doze(time.monotonic() + ANSWER_S)
                poller.register(link, select.POLLIN)
            except (BackendUnavailable, ValueError) as error:  # ValueError: it was closed meanwhile
                self._lost(link, error)
                return True
            by_number[link.fileno()] = link
        look_at = min([time.monotonic() + LONGEST_S, *self._due(links)])
        while not self.is_up:
            if any(link.is_woken or not link.is_open for link in links):
                return True
            seconds = min(until, look_at) - time.monotonic()
            if seconds <= 0:
                return time.monotonic() < until
            for number, _ in poller.poll(math.ceil(seconds * 1000)):
                if number in by_number:
                    self._listen(by_number[number])
                else:
                    self._drain()
        return False

    def _due(self, links: Sequence[Link]) -> list[float]:
        """When the servers that are away are worth a try."""
        linked = {link.server for link in links}
        return [server.away_until for server in self._servers if server not in linked]

    def _listen(self, link: Link) -> None:
        try:
            link.listen(time.monotonic() + ANSWER_S)
        except BackendUnavailable as error:
            self._lost(link, error)

    def _lost(self, link: Link, error: Exception) -> None:
        """It may have ended while it was idle, so a server is not to blame unless it fails a new connection, too."""
        if not link.is_proven:
            link.server.failed()
        if isinstance(error, BackendUnavailable):
            self._trouble = error

    def _drain(self) -> None:
        with contextlib.suppress(OSError):
            while self._ear.recv(100):
                pass
