"""A Redis of one's own: on a free port, in memory alone, gone afterwards."""

from __future__ import annotations

import contextlib
import shutil
import socket
import statistics
import subprocess
import time
from collections import Counter
from collections.abc import Generator
from pathlib import Path
from typing import NamedTuple

from . import measure


class Redis(NamedTuple):
    """It, while it runs."""

    url: str
    pid: int

    def fresh(self) -> str:
        """The URL, when everything in it is forgotten."""
        self.ask("FLUSHALL")
        return self.url

    def used(self) -> int:
        """Bytes that it keeps, without the buffers of its clients."""
        lines = self.ask("INFO", "memory").splitlines()
        info = dict(line.split(":", 1) for line in lines if ":" in line)
        return int(info["used_memory"]) - int(info["mem_clients_normal"])

    def calls(self) -> Counter[str]:
        """How often each command was called so far, by clients and by scripts."""
        lines = self.ask("INFO", "commandstats").splitlines()
        stats = (line.removeprefix("cmdstat_").split(":calls=") for line in lines if ":calls=" in line)
        return Counter({name: int(rest.partition(",")[0]) for name, rest in stats})

    def length(self, key: str) -> int:
        """Of a list."""
        return int(self.ask("LLEN", key))

    def round_trip_ms(self, count: int = 2000) -> float:
        """The median of what a bare PING takes from here, over one connection."""
        took: list[float] = []
        with self._connected() as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for _ in range(count):
                began = time.perf_counter()
                connection.sendall(b"PING\r\n")
                connection.recv(16)
                took.append(time.perf_counter() - began)
        return 1000 * statistics.median(took)

    def ask(self, *words: str) -> str:
        """A command whose answer is one value. Raises RuntimeError for an error."""
        with self._connected() as connection, connection.makefile("rb") as answer:
            connection.sendall(" ".join(words).encode() + b"\r\n")
            first = answer.readline().decode().strip()
            if first.startswith("-"):
                raise RuntimeError(f"Redis refused {words[0]}: {first}")
            return answer.read(int(first[1:])).decode() if first.startswith("$") else first[1:]

    def _connected(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", int(self.url.rpartition(":")[2])), 30)


@contextlib.contextmanager
def private(folder: Path) -> Generator[Redis]:
    """One, from start to end."""
    program = shutil.which("redis-server")
    if program is None:
        raise RuntimeError("redis-server is not installed (Debian: apt install redis-server)")
    port = free_port()
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", str(folder)]
    process = subprocess.Popen([program, *options], stdout=subprocess.DEVNULL)
    server = Redis(f"redis://127.0.0.1:{port}", process.pid)
    try:
        measure.until(lambda: process.poll() is not None or _answers(server), 10)
        if process.poll() is not None:
            raise RuntimeError(f"redis-server ended at once, with {process.returncode}")
        yield server
    finally:
        process.terminate()
        process.wait(20)


def version() -> str:
    """What is installed."""
    said = subprocess.run(["redis-server", "--version"], capture_output=True, text=True, check=True).stdout
    return f"Redis {said.partition('v=')[2].split()[0]}"


def free_port() -> int:
    """That nobody listens on."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


def _answers(server: Redis) -> bool:
    try:
        return server.ask("PING") == "PONG"
    except OSError:
        return False
