"""A service that delivers, in a few lines and with faults to switch on, and the transport that speaks to it.

It runs in a thread of the tests, or as a process of its own: python -m tests.support.loopback SOCKET. It keeps
everything in memory, so one that is killed has forgotten it all.
"""

from __future__ import annotations

import os
import select
import socket
import socketserver
import sys
import threading
import time
from collections import defaultdict, deque
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from narrowboat.backends.transport import Delivery, Depth, Notice, Transport, TransportCapabilities
from narrowboat.core.errors import BackendUnavailable

FAULTS = ("lose", "duplicate", "misdeliver", "down", "forget")
TIMEOUT_S = 5.0


class Message(NamedTuple):
    """What lies in a channel."""

    channel: str
    body: bytes
    is_again: bool = False


class Service:
    """The channels, and who holds what.

    Faults: lose (what is published), duplicate (the same), misdeliver (to whoever asks, for whatever channels), down
    (hangs up on everyone), forget (that a message is held, and gives it to the next one, too).
    """

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.faults: set[str] = set()
        self.published = 0
        self._numbers = count(1)
        self._waiting: defaultdict[str, deque[Message]] = defaultdict(deque)
        self._held: dict[int, tuple[str, Message]] = {}
        self._roused: set[str] = set()

    def publish(self, line: str, notices: list[tuple[str, bytes]]) -> None:
        with self.changed:
            self.published += len(notices)
            for channel, body in notices:
                copies = 0 if "lose" in self.faults else 2 if "duplicate" in self.faults else 1
                self._waiting[channel].extend([Message(channel, body)] * copies)
            self.changed.notify_all()

    def look(self, line: str, channels: list[str], most: int) -> tuple[list[tuple[str, bytes, int, bool]], bool]:
        """What there is for a line, which then holds it, and whether it was roused."""
        if "forget" in self.faults:
            self._put_back(list(self._held))
        found: list[tuple[str, bytes, int, bool]] = []
        for channel in [*self._waiting] if "misdeliver" in self.faults else channels:
            waiting = self._waiting.get(channel)
            while waiting and len(found) < most:
                message, number = waiting.popleft(), next(self._numbers)
                self._held[number] = line, message
                found.append((channel, message.body, number, message.is_again))
        is_roused = line in self._roused
        self._roused.discard(line)
        return found, is_roused

    def rouse(self, line: str, other: str) -> None:
        with self.changed:
            self._roused.add(other)
            self.changed.notify_all()

    def accept(self, line: str, numbers: list[int]) -> None:
        with self.changed:
            for number in numbers:
                self._held.pop(number, None)

    def give_back(self, line: str, numbers: list[int]) -> None:
        with self.changed:
            self._put_back(numbers)

    def gone(self, line: str) -> None:
        """A line was hung up."""
        with self.changed:
            self._put_back([number for number, (holder, _) in self._held.items() if holder == line])

    def depths(self, line: str, channels: list[str]) -> dict[str, tuple[int, int]]:
        with self.changed:
            held = [message.channel for _, message in self._held.values()]
            counted = {name: (len(self._waiting[name]), held.count(name)) for name in [*self._waiting]}
            return {name: counted[name] for name in channels if name in counted}

    def fail(self, line: str, faults: list[str]) -> None:
        """From now on these are the faults."""
        with self.changed:
            self.faults = set(faults)
            self.changed.notify_all()

    def _put_back(self, numbers: list[int]) -> None:
        for number in numbers:
            _, message = self._held.pop(number, ("", None))
            if message is not None:
                self._waiting[message.channel].append(message._replace(is_again=True))
        self.changed.notify_all()


class _Line(socketserver.BaseRequestHandler):
    server: Server

    def handle(self) -> None:
        service, name = self.server.service, ""
        try:
            while (asked := read(self.request)) is not None:
                verb, name, *words = asked
                if "down" in service.faults and verb != "fail":
                    return
                answer = self._receive(name, *words) if verb == "receive" else getattr(service, verb)(name, *words)
                write(self.request, [answer])
        except OSError:
            pass
        finally:
            service.gone(name)

    def _receive(self, line: str, channels: list[str], most: int, timeout_s: float) -> Any:
        service, until = self.server.service, time.monotonic() + timeout_s
        with service.changed:
            while True:
                found, is_roused = service.look(line, channels, most)
                left = until - time.monotonic()
                if found or is_roused or left <= 0:
                    return found
                service.changed.wait(min(left, 0.05))
                if "down" in service.faults or select.select([self.request], [], [], 0)[0]:
                    raise ConnectionError("it hung up")  # nothing is asked while it receives


class Server(socketserver.ThreadingUnixStreamServer):
    """Serves a service on a socket."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        super().__init__(str(path), _Line)
        self.service, self.url = Service(), f"loopback://{path}"

    def start(self) -> Server:
        """In a thread."""
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def stop(self) -> None:
        """For good."""
        self.shutdown()
        self.server_close()


def read(line: socket.socket) -> Any:
    """The next value on a line; None when it was hung up."""
    size = _exactly(line, 4)
    content = size and _exactly(line, int.from_bytes(size))
    return msgspec.msgpack.decode(content) if content else None


def _exactly(line: socket.socket, n: int) -> bytes | None:
    content = b""
    while len(content) < n:
        part = line.recv(n - len(content))
        if not part:
            return None
        content += part
    return content


def write(line: socket.socket, value: Any) -> None:
    """Put a value on a line."""
    content = msgspec.msgpack.encode(value)
    line.sendall(len(content).to_bytes(4) + content)


class LoopbackTransport(Transport):
    """A line for each consumer, which blocks in `receive`, and one for everything else."""

    capabilities = TransportCapabilities(name="loopback", max_bytes=1_000_000)

    def __init__(self, path: str) -> None:
        self._path, self.location, self.url = path, f"loopback://{path}", f"loopback://{path}"
        self._lock = threading.Lock()
        self._lines: dict[str, socket.socket] = {}
        self._roused: set[str] = set()
        self._busy: set[str] = set()
        self._pid, self._is_closed = os.getpid(), False

    def publish(self, notices: Sequence[Notice]) -> None:
        self._ask("publish", [(notice.channel, notice.body) for notice in notices])

    def receive(self, consumer: str, channels: Sequence[str], most: int, timeout_s: float) -> list[Delivery]:
        name = self._name(consumer)
        with self._lock:
            self._after_fork()
            if self._is_closed:
                return []
            if consumer in self._roused:
                self._roused.discard(consumer)
                return []
            line = self._line(name, timeout_s + TIMEOUT_S)
            self._busy.add(name)
        try:
            write(line, ["receive", name, list(channels), most, timeout_s])
            found = read(line)
        except OSError:
            found = None
        with self._lock:
            self._busy.discard(name)
            if found is None or self._is_closed:
                self._lines.pop(name, None)
                line.close()
            if found is None and self._is_closed:
                return []
        if found is None:
            raise BackendUnavailable(f"{self.location} hung up")
        return [Delivery(channel, body, number, is_again) for channel, body, number, is_again in found[0]]

    def rouse(self, consumer: str) -> None:
        with self._lock:
            self._after_fork()
            if self._name(consumer) not in self._lines:
                self._roused.add(consumer)
                return
        try:
            self._ask("rouse", self._name(consumer))
        except BackendUnavailable:
            pass  # then the receive has ended, too

    def accept(self, deliveries: Sequence[Delivery]) -> None:
        self._ask("accept", [delivery.receipt for delivery in deliveries])

    def give_back(self, deliveries: Sequence[Delivery]) -> None:
        self._ask("give_back", [delivery.receipt for delivery in deliveries])

    def depths(self, channels: Sequence[str]) -> dict[str, Depth]:
        return {name: Depth(*counted) for name, counted in self._ask("depths", list(channels)).items()}

    def doubts(self) -> list[str]:
        self._ask("depths", [])
        return ["it is of the tests, and forgets everything"]

    def setup(self) -> list[tuple[str, str, str]]:
        self._ask("depths", [])
        return [("memory", "everything is in memory", "what waits here is forgotten when the service ends")]

    def fail(self, *faults: str) -> None:
        """Have these faults, and no others, from now on."""
        assert set(faults) <= set(FAULTS)
        self._ask("fail", faults)

    def close(self) -> None:
        with self._lock:
            self._after_fork()
            self._is_closed = True
            for name, line in self._lines.items():
                if name in self._busy:
                    line.shutdown(socket.SHUT_RDWR)
                else:
                    line.close()
            self._lines = {name: line for name, line in self._lines.items() if name in self._busy}

    def _name(self, consumer: str) -> str:
        return f"{os.getpid()}.{id(self)}.{consumer}"

    def _line(self, name: str, timeout_s: float) -> socket.socket:
        if name not in self._lines:
            line = socket.socket(socket.AF_UNIX)
            try:
                line.connect(self._path)
            except OSError as error:
                line.close()
                raise BackendUnavailable(f"{self.location} is out of reach: {error}") from error
            self._lines[name] = line
        self._lines[name].settimeout(timeout_s)
        return self._lines[name]

    def _ask(self, verb: str, *words: Any) -> Any:
        with self._lock:
            self._after_fork()
            if self._is_closed:
                if verb in ("accept", "give_back"):
                    return None
                raise BackendUnavailable("closed")
            for attempt in (1, 2):  # a line that was idle may be of a service that has been started anew
                line = self._line("", TIMEOUT_S)
                try:
                    write(line, [verb, "", *words])
                    answer = read(line)
                    if answer is not None:
                        return answer[0]
                except OSError:
                    pass
                self._lines.pop("").close()
                if attempt == 2:
                    break
            raise BackendUnavailable(f"{self.location} hung up")

    def _after_fork(self) -> None:
        if self._pid != os.getpid():
            for line in self._lines.values():
                line.close()
            self._pid, self._lines, self._roused, self._busy = os.getpid(), {}, set(), set()


def open_transport(url: str) -> Transport:
    """loopback:///path/to/socket"""
    return LoopbackTransport(url.removeprefix("loopback://"))


if __name__ == "__main__":
    Server(Path(sys.argv[1])).serve_forever()
