"""Sending: to the first server that takes a job, in an order that its id gives."""

from __future__ import annotations

import os
import time
import zlib
from collections import defaultdict, deque
from collections.abc import Sequence

from ...core.errors import BackendUnavailable
from .client import Connection, Kind, Refused, refusal, request
from .server import Server, in_turn

TIMEOUT_S = 6.0  # of a call, all servers together
MOST_AT_ONCE = 100  # jobs that are under way before their answers are read
MOST_IDLE = 4  # connections to each server that are kept for the next call

Job = tuple[bytes, bytes, bytes, int]  # function, id, body, priority


class Senders:
    """Connections for those who send: each is one thread's while it is used."""

    def __init__(self, servers: Sequence[Server]) -> None:
        self._servers, self.is_closed = servers, False
        self._idle: defaultdict[Server, deque[Connection]] = defaultdict(deque)

    def send(self, jobs: Sequence[Job]) -> None:
        """An id begins at the same server each time, so that one which waits there is not taken twice.

        Raises BackendUnavailable when no server takes them, after TIMEOUT_S at most.
        """
        until = time.monotonic() + TIMEOUT_S
        shares: defaultdict[int, list[Job]] = defaultdict(list)
        for job in jobs:
            shares[zlib.crc32(job[1]) % len(self._servers)].append(job)
        for first, share in shares.items():
            order = [*self._servers[first:], *self._servers[:first]]
            self._to_one_of(sorted(order, key=Server.is_away), share, until)

    def close(self) -> None:
        """Close those that are idle; the others when they are given back."""
        self.is_closed = True
        self.forget()

    def forget(self) -> None:
        """Close those that are idle, in this process."""
        for idle in self._idle.values():
            while idle:
                idle.pop().hang_up()

    def _to_one_of(self, servers: Sequence[Server], jobs: Sequence[Job], until: float) -> None:
        troubles: list[str] = []
        for server, until_then in in_turn(servers, until):
            try:
                self._to(server, jobs, until_then)
            except Refused as error:
                troubles.append(str(error))
            except BackendUnavailable as error:
                server.failed()
                troubles.append(str(error))
            else:
                server.answered()
                return
        raise BackendUnavailable(f"Gearman took no message: {'; '.join(troubles)}")

    def _to(self, server: Server, jobs: Sequence[Job], until: float) -> None:
        if self.is_closed:
            raise BackendUnavailable(f"{server.name}: this transport was closed")
        while idle := self._take(server):
            try:
                return self._submit(server, idle, jobs, until)
            except Refused:
                raise
            except BackendUnavailable:  # it may have ended while it was idle, and so may the others
                continue
        return self._submit(server, Connection(server.name, server.place, until), jobs, until)

    def _submit(self, server: Server, connection: Connection, jobs: Sequence[Job], until: float) -> None:
        refused = None
        for start in range(0, len(jobs), MOST_AT_ONCE):
            packets = [_packed(job) for job in jobs[start : start + MOST_AT_ONCE]]
            connection.send(packets, until)
            for _ in packets:
                packet = connection.read(until)
                if packet.kind == Kind.ERROR:
                    refused = f"{server.name}: {refusal(packet)}"
                elif packet.kind != Kind.JOB_CREATED:
                    raise connection.distrust(packet)
        if self.is_closed or len(self._idle[server]) >= MOST_IDLE or connection.pid != os.getpid():
            connection.hang_up()
        else:
            self._idle[server].append(connection)
        if refused is not None:
            raise Refused(refused)

    def _take(self, server: Server) -> Connection | None:
        try:
            return self._idle[server].pop()
        except IndexError:
            return None


def _packed(job: Job) -> bytes:
    function, unique, body, priority = job
    kind = Kind.SUBMIT_JOB_BG
    if priority:
        kind = Kind.SUBMIT_JOB_HIGH_BG if priority > 0 else Kind.SUBMIT_JOB_LOW_BG
    return request(kind, function, unique, body)
