"""Private servers for the tests: on a free port, in a folder of their own, and gone afterwards."""

from __future__ import annotations

import functools
import itertools
import os
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

import pytest

from .ending import at_end
from .processes import wait_for

_namespaces = itertools.count(1)


def program(name: str, also: str = "") -> str:
    """The path of a server program. Skips the test where there is none, or fails where nothing may be skipped.

    also: where to look beside the path.
    """
    found = shutil.which(name) or shutil.which(name, path=also)
    if found is None:
        what = f"{name} is not installed"
        if os.environ.get("CI") == "true":
            pytest.fail(what)
        pytest.skip(what)
    return found


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


def quick_folder(prefix: str) -> Path:
    """A new folder in memory, where there is a file system with room for it: else a slow disk holds up what is timed.

    Its path is short, for sockets. What is on it outlives processes that are killed, though not the machine.
    """
    memory = Path("/dev/shm")
    has_room = memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 1 << 30
    return Path(tempfile.mkdtemp(prefix=prefix, dir=memory if has_room else "/tmp"))


class RedisServer:
    """A redis-server; killed and started again it has the same port and the same data.

    options: as on its command line, such as "--appendonly", "yes".
    """

    def __init__(self, folder: Path, *options: str) -> None:
        self._program, self.folder, self.port = program("redis-server"), folder, free_port()
        self.url = f"redis://127.0.0.1:{self.port}"
        where = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", ""]
        self._options = [*where, *options]
        self.log = folder / "redis.log"
        self.process: subprocess.Popen[bytes]
        self.start()
        at_end(self.stop)  # whatever becomes of the test

    def start(self) -> None:
        """Start it, and wait until it answers and has its data."""
        with self.log.open("ab") as output:
            self.process = subprocess.Popen([self._program, *self._options], stdout=output, stderr=output)

        def answers() -> bool:
            if self.process.poll() is not None:
                raise AssertionError(f"redis-server ended with {self.process.returncode}: {self.log.read_text()}")
            return self.says("PING") == "+PONG"

        wait_for("redis-server", answers, 60.0)

    def says(self, *words: str) -> str:
        """The first line of its answer to a command; empty where there is none."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), 5) as connection:
                packed = f"*{len(words)}\r\n" + "".join(f"${len(word.encode())}\r\n{word}\r\n" for word in words)
                connection.sendall(packed.encode())
                with connection.makefile() as answer:
                    return answer.readline().rstrip("\r\n")
        except OSError:
            return ""

    def value(self, *words: str) -> str:
        """The text that a command answers, of one line; empty where there is none."""
        with socket.create_connection(("127.0.0.1", self.port), 5) as connection:
            packed = f"*{len(words)}\r\n" + "".join(f"${len(word.encode())}\r\n{word}\r\n" for word in words)
            connection.sendall(packed.encode())
            with connection.makefile() as answer:
                return "" if answer.readline().startswith("$-1") else answer.readline().rstrip("\r\n")

    def namespace(self) -> str:
        """A URL under which there is nothing yet."""
        return f"{self.url}?namespace=t{next(_namespaces)}"

    def kill(self) -> None:
        """kill -9, and reap."""
        self.process.kill()
        self.process.wait(20)

    def stop(self) -> None:
        """In good order; legal twice."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:  # it does not end while it rewrites its log
                self.kill()


@functools.cache
def shared_redis() -> RedisServer:
    """The server of all tests that do not harm it; each takes a namespace of its own."""
    folder = Path(tempfile.mkdtemp(prefix="nb-redis-"))
    at_end(shutil.rmtree, folder, ignore_errors=True)
    return RedisServer(folder)
