"""A private gearmand for the tests: on a free port, in memory only, and gone afterwards."""

from __future__ import annotations

import functools
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

from .ending import at_end
from .processes import wait_for
from .servers import free_port, program


class GearmanServer:
    """Killed and started again it has the same port, and has forgotten everything. options: as on its command line."""

    def __init__(self, folder: Path, *options: str) -> None:
        self._program, self.port = program("gearmand", "/usr/sbin"), free_port()
        self.place = f"127.0.0.1:{self.port}"
        self.url = f"gearman://{self.place}"
        self.log = folder / f"gearmand-{self.port}.log"
        where = ["--listen", "127.0.0.1", "--port", str(self.port), "--log-file", str(self.log)]
        self._options = [*where, "--pid-file", str(folder / f"gearmand-{self.port}.pid"), *options]
        self.process: subprocess.Popen[bytes]
        self.start()
        at_end(self.stop)  # whatever becomes of the test

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self.process = subprocess.Popen([self._program, *self._options], stdout=subprocess.DEVNULL)

        def answers() -> bool:
            if self.process.poll() is not None:
                raise AssertionError(f"gearmand ended with {self.process.returncode}: {self.log.read_text()}")
            return self.says("version").startswith("OK ")

        wait_for("gearmand", answers)

    def says(self, command: str) -> str:
        """The first line of its answer to a text command; empty where there is none."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), 5) as connection, connection.makefile() as answer:
                connection.sendall(f"{command}\n".encode())
                return answer.readline().rstrip("\r\n")
        except OSError:
            return ""

    def status(self, function: str) -> tuple[int, int, int]:
        """By gearadmin: how many messages of a function wait, how many are held, and how many workers there are."""
        where = [program("gearadmin"), "-h", "127.0.0.1", "-p", str(self.port), "--status"]
        said = subprocess.run(where, capture_output=True, text=True, timeout=20, check=True).stdout
        rows = {name: figures for name, *figures in (line.split("\t") for line in said.splitlines())}
        total, held, workers = map(int, rows.get(function, "000"))
        return total - held, held, workers

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
            except subprocess.TimeoutExpired:  # it waits for those who are connected
                self.kill()


@functools.cache
def shared_gearman() -> GearmanServer:
    """The server of all tests that do not harm it; each takes a prefix of its own."""
    folder = Path(tempfile.mkdtemp(prefix="nb-gearman-"))
    at_end(shutil.rmtree, folder, ignore_errors=True)
    return GearmanServer(folder)
