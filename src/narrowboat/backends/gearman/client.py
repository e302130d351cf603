"""A small client for gearmand: its packets, its text commands, one connection. Why it is our own: docs/gearman.md.

The protocol is the file PROTOCOL of gearmand. Whatever a server sends or does not send, a call ends in time.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import struct
import time
from collections.abc import Generator, Iterable
from enum import IntEnum
from typing import NamedTuple

from ...core.errors import BackendUnavailable

MAX_BODY = 1 << 20
MAX_ID = 63  # bytes: gearmand takes 64 and forgets the last, so that two of the same are not taken for one
LONGEST = MAX_BODY + 2048  # of an assignment that is kept; its handle, function and id take less than the rest
LONGEST_OTHER = 1 << 16  # of other packets: handles and error texts
LONGEST_LISTING = 16 << 20  # bytes of an answer in text: about 200,000 functions
CONNECT_S = 2.0
_HEADER = struct.Struct(">4sII")
_REQUEST, _RESPONSE = b"\0REQ", b"\0RES"


class Kind(IntEnum):
    """Of a packet. CANT_DO is not here: with it the server takes back all that is held of that function.

    Nor is CAN_DO_TIMEOUT: its unit is milliseconds in the protocol and seconds in gearmand.
    """

    CAN_DO = 1
    PRE_SLEEP = 4
    NOOP = 6
    JOB_CREATED = 8
    NO_JOB = 10
    WORK_COMPLETE = 13
    ECHO_REQ = 16
    ECHO_RES = 17
    SUBMIT_JOB_BG = 18
    ERROR = 19
    SET_CLIENT_ID = 22
    GRAB_JOB_UNIQ = 30
    JOB_ASSIGN_UNIQ = 31
    SUBMIT_JOB_HIGH_BG = 32
    SUBMIT_JOB_LOW_BG = 34


ANSWERS = frozenset({Kind.NOOP, Kind.JOB_CREATED, Kind.NO_JOB, Kind.ECHO_RES, Kind.ERROR, Kind.JOB_ASSIGN_UNIQ})


class Packet(NamedTuple):
    """From a server."""

    kind: Kind
    data: bytes


class Assignment(NamedTuple):
    """A job that a server has given us. handle: its name for it. id: the sender's, which it calls unique."""

    handle: bytes
    function: bytes
    id: bytes
    body: bytes


class Nonsense(Exception):
    """What no gearmand sends."""


class Refused(BackendUnavailable):
    """The server is there and says no."""


def request(kind: Kind, *arguments: bytes) -> bytes:
    """A packet for a server. Only the last argument may hold a null byte."""
    data = b"\0".join(arguments)
    return _HEADER.pack(_REQUEST, kind, len(data)) + data


class Reader:
    """Packets out of what a server sends, however it is cut. Keeps at most one packet, and what came after it.

    An assignment over LONGEST is cut there, so that its body is over MAX_BODY and who reads it can tell.
    """

    def __init__(self) -> None:
        self._bytes, self._skip = bytearray(), 0

    def feed(self, more: bytes) -> None:
        """What came."""
        skipped = min(self._skip, len(more))
        self._skip -= skipped
        self._bytes += more[skipped:]

    def next(self) -> Packet | None:
        """The next packet, when all of it is there. Raises Nonsense."""
        if not _RESPONSE.startswith(self._bytes[:4]):
            raise Nonsense(f"it does not speak Gearman, but says {bytes(self._bytes[:40])!r}")
        if len(self._bytes) < _HEADER.size:
            return None
        _, kind, size = _HEADER.unpack_from(self._bytes)
        if kind not in ANSWERS:
            raise Nonsense(f"it sent a packet of a kind that is not expected: {kind}")
        longest = LONGEST if kind == Kind.JOB_ASSIGN_UNIQ else LONGEST_OTHER
        if size > longest and kind != Kind.JOB_ASSIGN_UNIQ:
            raise Nonsense(f"it sent a packet {Kind(kind).name} of {size:,} bytes; at most {longest:,} are taken")
        end = _HEADER.size + min(size, longest)
        if len(self._bytes) < end:
            return None
        data = bytes(self._bytes[_HEADER.size : end])
        del self._bytes[:end]
        if size > longest:
            rest, self._bytes, self._skip = self._bytes, bytearray(), size - longest
            self.feed(bytes(rest))
        return Packet(Kind(kind), data)


def assignment(packet: Packet) -> Assignment:
    """What a packet JOB_ASSIGN_UNIQ holds. Raises Nonsense."""
    parts = packet.data.split(b"\0", 3)
    if len(parts) < 4 or not parts[0]:
        raise Nonsense(f"it sent an assignment without all its parts: {packet.data[:40]!r}")
    handle, function, unique, body = parts
    if len(unique) == MAX_ID:
        body = body.removeprefix(b"\0")  # instead of the 64th byte of an id gearmand 1.1 writes a null byte more
    return Assignment(handle, function, unique, body)


def refusal(packet: Packet) -> str:
    """What a packet ERROR says."""
    code, _, text = packet.data[:300].partition(b"\0")
    return f"{text.decode(errors='replace')} ({code.decode(errors='replace')})"


class Connection:
    """To one server, for one thread at a time. Calls end by `until`, of time.monotonic, or raise BackendUnavailable.

    After an error it has hung up. server: its name for people.
    """

    def __init__(self, server: str, place: tuple[str, int], until: float) -> None:
        self.server, self.pid, self.is_open = server, os.getpid(), False
        self._reader = Reader()
        with self.trusting():
            self.socket = socket.create_connection(place, min(CONNECT_S, _left(until)))
        self.is_open = True
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)

    @contextlib.contextmanager
    def trusting(self) -> Generator[None]:
        """Hang up when the server is gone or silent, or talks nonsense."""
        try:
            yield
        except TimeoutError as error:
            self.hang_up()
            raise BackendUnavailable(f"{self.server}: no answer in time") from error
        except (OSError, Nonsense) as error:
            self.hang_up()
            raise BackendUnavailable(f"{self.server}: {error}") from error

    def send(self, packets: Iterable[bytes], until: float) -> None:
        """Small packets, or few: it does not read while it writes."""
        with self.trusting():
            self.socket.settimeout(_left(until))
            self.socket.sendall(b"".join(packets))

    def read(self, until: float) -> Packet:
        """Wait for the next packet."""
        with self.trusting():
            while (packet := self._reader.next()) is None:
                self._reader.feed(self._hear(until))
        return packet

    def heard(self, until: float) -> list[Packet]:
        """The packets that are complete with what has come, where the socket is known to be readable."""
        found: list[Packet] = []
        with self.trusting():
            self._reader.feed(self._hear(until))
            while packet := self._reader.next():
                found.append(packet)
        return found

    def distrust(self, packet: Packet) -> BackendUnavailable:
        """What to raise about a packet that is no answer to what was asked. Hangs up."""
        self.hang_up()
        return BackendUnavailable(f"{self.server}: it sent a packet {packet.kind.name}, which is no answer")

    def is_readable(self) -> bool:
        """Whether something has come, or the end."""
        poller = select.poll()
        poller.register(self.socket, select.POLLIN)
        return bool(poller.poll(0))

    def line(self, command: str, until: float) -> str:
        """The answer to a text command that has one line. Only on a connection that has nothing else under way."""
        answer = bytearray()
        with self.trusting():
            self._say(command, until)
            while not answer.endswith(b"\n"):
                answer += self._hear(until)
                if len(answer) > LONGEST_OTHER:
                    raise Nonsense(f"it does not speak Gearman, but says {bytes(answer[:40])!r}")
        return answer.decode(errors="replace").strip()

    def listing(self, command: str, until: float) -> list[str]:
        """The lines of an answer that ends with a dot, each of which has tabs; as above."""
        answer = bytearray(b"\n")  # so that one without lines ends as any other
        with self.trusting():
            self._say(command, until)
            while not answer.endswith(b"\n.\n"):
                answer += self._hear(until)
                head = bytes(answer[1:2048])
                if b"\n" in head and b"\t" not in head and head != b".\n":
                    raise Nonsense(f"it does not speak Gearman, but says {head[:40]!r}")
                if len(answer) > LONGEST_LISTING:
                    raise Nonsense(f"it answered {command} with more than {LONGEST_LISTING:,} bytes")
        return answer.decode(errors="replace").split("\n")[1:-2]

    def hang_up(self) -> None:
        """The server gives to others what this connection holds. Legal twice."""
        if self.is_open:
            self.is_open = False
            self.socket.close()

    def end(self) -> None:
        """Make a thread that reads here hear the end at once; the connection is closed by whoever notices."""
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)

    def _say(self, command: str, until: float) -> None:
        self.socket.settimeout(_left(until))
        self.socket.sendall(f"{command}\n".encode())

    def _hear(self, until: float) -> bytes:
        self.socket.settimeout(_left(until))
        more = self.socket.recv(65_536)
        if not more:
            raise ConnectionResetError("it ended the connection")
        return more


def _left(until: float) -> float:
    """Seconds, more than none: 0 would mean not to wait."""
    seconds = until - time.monotonic()
    if seconds <= 0:
        raise TimeoutError
    return seconds
