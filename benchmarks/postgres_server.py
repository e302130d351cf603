"""A PostgreSQL of one's own: on a free port, as durable as by default, gone afterwards.

It refuses to run as root; then it runs as Debian's user `postgres`.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import measure
from .redis_server import free_port

SELECT = Path(__file__).resolve().parent / "pgbench" / "select.sql"
PLACES = ("/usr/lib/postgresql", "/usr/local/pgsql", "/opt/homebrew/opt/postgresql")


@dataclass
class Postgres:
    """It, while it runs."""

    programs: Path
    port: int
    pid: int
    databases: int = 0

    def fresh(self) -> str:
        """The URL of a new, empty database; the one before is dropped."""
        if self.databases:
            self.ask(f"DROP DATABASE bench{self.databases} WITH (FORCE)")
        self.databases += 1
        self.ask(f"CREATE DATABASE bench{self.databases}")
        return f"postgresql://postgres@127.0.0.1:{self.port}/bench{self.databases}"

    def used(self) -> int:
        """Bytes of the latest database, with what vacuum has not taken back."""
        return int(self.ask(f"SELECT pg_database_size('bench{self.databases}')"))

    def round_trip_ms(self, count: int = 2000) -> float:
        """What a bare SELECT 1 takes, by pgbench over one connection."""
        return 1000 / self.pgbench(SELECT, count)

    def ask(self, query: str) -> str:
        """A query whose answer is one value."""
        return self.run("psql", "-qAtX", "-c", query, "-d", "postgres").strip()

    def pgbench(self, script: Path, transactions: int, clients: int = 1, **variables: int | str) -> float:
        """Transactions a second of a script in the latest database, each client so many times."""
        words = ["-n", "-M", "prepared", "-c", str(clients), "-j", str(clients), "-t", str(transactions)]
        words += [word for name, value in variables.items() for word in ("-D", f"{name}={value}")]
        said = self.run("pgbench", *words, "-f", str(script), f"bench{self.databases}")
        found = re.search(r"^tps = ([\d.]+)", said, re.MULTILINE)
        if found is None or "number of failed transactions: 0 " not in said:
            raise RuntimeError(f"pgbench: {said}")
        return float(found[1])

    def run(self, program: str, *words: str) -> str:
        """What one of PostgreSQL's programs prints. Raises RuntimeError."""
        command = [self.programs / program, "-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres", *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{program}: {done.stderr.strip()}")
        return done.stdout


@contextlib.contextmanager
def private(connections: int = 100) -> Generator[Postgres]:
    """One, from start to end, for so many connections."""
    programs, user = _programs(), _user()
    folder = Path(tempfile.mkdtemp(prefix="nb-bench-pg-", dir="/tmp"))  # a socket's path may have 107 bytes
    try:
        if user:
            shutil.chown(folder, user["user"], user["group"])
        initdb = [programs / "initdb", "-D", folder / "data", "-U", "postgres", "-A", "trust", "-E", "UTF8"]
        subprocess.run([*initdb, "--locale=C"], check=True, capture_output=True, cwd="/tmp", **user)
        port = free_port()
        options = {"port": port, "listen_addresses": "127.0.0.1", "unix_socket_directories": folder}
        options["max_connections"] = connections
        words = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        with (folder / "log").open("wb") as log:
            command = [programs / "postgres", "-D", folder / "data", *words]
            process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, **user)
        try:
            server = Postgres(programs, port, process.pid)
            measure.until(lambda: process.poll() is not None or _answers(server), 30)
            if process.poll() is not None:
                raise RuntimeError(f"postgres ended at once:\n{(folder / 'log').read_text()}")
            yield server
        finally:
            process.send_signal(signal.SIGINT)  # fast shutdown
            process.wait(60)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def version() -> str:
    """What would run."""
    said = subprocess.run([_programs() / "postgres", "--version"], check=True, capture_output=True, text=True).stdout
    return said.replace("postgres (PostgreSQL)", "PostgreSQL").strip()


def _programs() -> Path:
    found = [folder for place in PLACES for folder in Path(place).glob("*/bin") if (folder / "initdb").exists()]
    if not found:
        raise RuntimeError("PostgreSQL is not installed (Debian: apt install postgresql)")
    return max(found, key=lambda folder: float(folder.parent.name))


def _user() -> dict[str, Any]:
    if os.geteuid() != 0:
        return {}
    entry = pwd.getpwnam("postgres")
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def _answers(server: Postgres) -> bool:
    try:
        return server.ask("SELECT 1") == "1"
    except RuntimeError:
        return False
