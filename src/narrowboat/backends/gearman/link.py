"""A consumer's connection to one server, and the jobs that it holds there."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from .client import Assignment, Connection, Kind, Nonsense, Packet, Refused, assignment, refusal, request
from .server import Server


class Held(NamedTuple):
    """A job that this process holds: the receipt of a delivery."""

    link: Link
    job: Assignment


class Link:
    """For one set of functions, which never changes: to leave one would give back all that is held of it.

    Calls are safe from any thread, end by `until`, and raise BackendUnavailable. is_woken: the server has said that
    there is work; is_proven: it has answered on this connection. stir: makes the consumer look at that.
    """

    def __init__(
        self, server: Server, functions: frozenset[bytes], name: str, stir: Callable[[], None], until: float
    ) -> None:
        self.server, self.functions, self.stir = server, functions, stir
        self.is_woken = self.is_proven = False
        self.held: set[bytes] = set()
        self._lock = threading.Lock()
        self._connection = Connection(server.name, server.place, until)
        in_any_order = random.sample(sorted(functions), len(functions))  # the server serves them in this order
        about_us = request(Kind.SET_CLIENT_ID, name.encode()[:100])
        self._connection.send([about_us, *(request(Kind.CAN_DO, function) for function in in_any_order)], until)

    @property
    def is_open(self) -> bool:
        """Whether it may be used, by this process."""
        return self._connection.is_open and self._connection.pid == os.getpid()

    def fileno(self) -> int:
        """Of the socket; -1 once it is closed."""
        return self._connection.socket.fileno()

    def grab(self, most: int, until: float) -> list[Assignment]:
        """Take at most so many jobs."""
        found: list[Assignment] = []
        with self._lock:
            self._connection.send([request(Kind.GRAB_JOB_UNIQ)] * most, until)
            for _ in range(most):
                packet = self._reply(until, Kind.JOB_ASSIGN_UNIQ, Kind.NO_JOB)
                if packet.kind == Kind.JOB_ASSIGN_UNIQ:
                    found.append(self._assigned(packet))
            self.held.update(job.handle for job in found)
            self.is_proven = True
        return found

    def doze(self, until: float) -> None:
        """Ask to be woken when there is work, also if there is some already."""
        with self._lock:
            self.is_woken = False
            self._connection.send([request(Kind.PRE_SLEEP)], until)

    def listen(self, until: float) -> None:
        """Take in what the server has said, where there is something to read; another thread may have read it."""
        with self._lock:
            if self.is_open and self._connection.is_readable():
                for packet in self._connection.heard(until):
                    self._note(packet)

    def complete(self, jobs: Sequence[Assignment], until: float) -> None:
        """End jobs that are held."""
        with self._lock:
            self._complete(self._still_held(jobs), until)

    def put_back(self, jobs: Sequence[Assignment], ids: Mapping[bytes, bytes], until: float) -> None:
        """Let others have jobs that are held, as new ones of normal priority. ids: by handle.

        First the new, then the end of the old: twice rather than never. Under the old id the new would be taken for
        the old one, which ends, and both would be gone.
        """
        with self._lock:
            mine = self._still_held(jobs)
            for job in mine:
                words = (job.function, ids[job.handle], job.body)
                self._connection.send([request(Kind.SUBMIT_JOB_BG, *words)], until)
                self._reply(until, Kind.JOB_CREATED)
            self._complete(mine, until)

    def end_if_idle(self) -> None:
        """Hang up if nothing is held."""
        with self._lock:
            if not self.held:
                self._connection.hang_up()

    def hang_up(self) -> None:
        """Give back all that is held; a thread that waits for this connection hears of it."""
        self._connection.end()
        with self._lock:
            self._connection.hang_up()

    def forget(self) -> None:
        """After a fork: the connection is the parent's."""
        self._connection.hang_up()

    def _still_held(self, jobs: Sequence[Assignment]) -> list[Assignment]:
        if not self.is_open:
            return []
        mine = [job for job in jobs if job.handle in self.held]
        self.held.difference_update(job.handle for job in mine)
        return mine

    def _complete(self, jobs: Sequence[Assignment], until: float) -> None:
        """The server says nothing when a job ends, so the echo tells that it has read that far."""
        if not jobs:
            return
        self._connection.send([*(request(Kind.WORK_COMPLETE, job.handle, b"") for job in jobs)], until)
        self._connection.send([request(Kind.ECHO_REQ, b"so far")], until)
        while (packet := self._connection.read(until)).kind != Kind.ECHO_RES:
            self._note(packet)

    def _reply(self, until: float, *kinds: Kind) -> Packet:
        """The answer to a request, of one of these kinds. Raises Refused, after which all that is held comes again."""
        while (packet := self._connection.read(until)).kind == Kind.NOOP:
            self._note(packet)
        if packet.kind == Kind.ERROR:
            self._connection.hang_up()
            raise Refused(f"{self.server.name}: {refusal(packet)}")
        if packet.kind not in kinds:
            raise self._connection.distrust(packet)
        return packet

    def _assigned(self, packet: Packet) -> Assignment:
        with self._connection.trusting():
            job = assignment(packet)
            if job.function not in self.functions:
                raise Nonsense(f"it sent a job of a function that was not asked for: {job.function[:100]!r}")
        return job

    def _note(self, packet: Packet) -> None:
        """Errors on the way are about jobs that were no longer ours, which come again."""
        if packet.kind == Kind.NOOP:
            self.is_woken = True
