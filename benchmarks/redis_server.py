"""A Redis of one's own: on a free port, in memory alone, gone afterwards."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
from collections.abc import Generator
from pathlib import Path

from . import measure


@contextlib.contextmanager
def private(folder: Path) -> Generator[tuple[str, int]]:
    """Yields its URL and its process id."""
    program = shutil.which("redis-server")
    if program is None:
        raise RuntimeError("redis-server is not installed (Debian: apt install redis-server)")
    port = free_port()
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", str(folder)]
    process = subprocess.Popen([program, *options], stdout=subprocess.DEVNULL)
    try:
        measure.until(lambda: process.poll() is not None or _answers(port), 10)
        if process.poll() is not None:
            raise RuntimeError(f"redis-server ended at once, with {process.returncode}")
        yield f"redis://127.0.0.1:{port}", process.pid
    finally:
        process.terminate()
        process.wait(20)


def length(url: str, key: str) -> int:
    """Of a list."""
    with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), 5) as connection:
        connection.sendall(f"LLEN {key}\r\n".encode())
        return int(connection.recv(64).decode().removeprefix(":"))


def free_port() -> int:
    """That nobody listens on."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
    except OSError:
        return False
