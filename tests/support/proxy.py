"""A network that fails: a TCP proxy on loopback whose connections can be cut, and delayed."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Generator


class Proxy:
    """Forwards to a port of this machine. delay_s: added to what is sent, each way. address: where it listens."""

    def __init__(self, port: int, delay_s: float = 0.0) -> None:
        self._target, self._delay_s = port, delay_s
        self._server = socket.create_server(("127.0.0.1", 0))
        self._pairs: set[tuple[socket.socket, socket.socket]] = set()
        self._lock = threading.Lock()
        self.port: int = self._server.getsockname()[1]
        self.taken = 0  # connections so far
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> int:
        """End every connection with a reset; returns how many there were. New ones are taken."""
        with self._lock:
            pairs, self._pairs = self._pairs, set()
        for pair in pairs:
            for end in pair:
                with contextlib.suppress(OSError):
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                    end.shutdown(socket.SHUT_RDWR)
        return len(pairs)

    def close(self) -> None:
        """Take no more, and cut what there is."""
        self._server.close()
        self.cut()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                client, _ = self._server.accept()
                self.taken += 1
                try:
                    there = socket.create_connection(("127.0.0.1", self._target), 5)
                except OSError:
                    client.close()
                    continue
                for end in (client, there):
                    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    end.settimeout(None)
                pair = (client, there)
                with self._lock:
                    self._pairs.add(pair)
                for source, target in (pair, pair[::-1]):
                    threading.Thread(target=self._forward, args=(source, target, pair), daemon=True).start()

    def _forward(self, source: socket.socket, target: socket.socket, pair: tuple[socket.socket, socket.socket]) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                if self._delay_s:
                    time.sleep(self._delay_s)
                target.sendall(data)
        with self._lock:
            self._pairs.discard(pair)
        for end in pair:
            with contextlib.suppress(OSError):
                end.close()


@contextlib.contextmanager
def proxy(port: int, delay_s: float = 0.0) -> Generator[Proxy]:
    """One for as long as the block."""
    made = Proxy(port, delay_s)
    try:
        yield made
    finally:
        made.close()
