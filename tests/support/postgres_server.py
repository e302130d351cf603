"""A private PostgreSQL server: in a folder of its own, on a Unix socket only, gone with the tests that wanted it.

PostgreSQL refuses to run as root, so tests that are root run it as Debian's user `postgres`.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
import shutil
import signal
import subprocess
from collections.abc import Generator
from functools import cache
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from .ending import at_end
from .processes import children_of, is_alive, wait_for
from .servers import free_port, quick_folder

PLACES = ("/usr/lib/postgresql", "/usr/local/pgsql", "/opt/homebrew/opt/postgresql")
QUICK = {"fsync": "off", "full_page_writes": "off"}  # for tests that kill no server
COMMON = {
    "listen_addresses": "",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "log_min_messages": "fatal",
    "logging_collector": "off",
    "max_prepared_transactions": "0",
}


def programs() -> Path | None:
    """The folder of initdb and postgres of the newest version that is installed."""
    found = [Path(place) for root in PLACES for place in Path(root).glob("*/bin") if (place / "initdb").exists()]
    on_path = shutil.which("initdb")
    found += [Path(on_path).resolve().parent] if on_path else []
    return max(found, key=_version, default=None)


def _version(programs: Path) -> list[int]:
    return [int(part) for part in programs.parent.name.split(".") if part.isdigit()]


class PostgresServer:
    """One server. `url` is where it listens. Starting again after a kill is recovery, as after a crash.

    address: of this machine, at which it is to listen, too, and take whoever comes.
    """

    def __init__(self, settings: dict[str, str] | None = None, address: str = "") -> None:
        where = programs()
        assert where is not None
        self._programs, self._settings = where, COMMON | (QUICK if settings is None else settings)
        self.folder = quick_folder("nbpg-")
        self.user = pwd.getpwnam("postgres") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
        os.chown(self.folder, self.user.pw_uid, self.user.pw_gid)
        self._process: subprocess.Popen[bytes] | None = None
        self._run("initdb", "-D", self.data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
        self._address, self.port = address, 5432
        if address:
            self.port = free_port()
            self._settings |= {"listen_addresses": address, "port": str(self.port)}
            with (self.data / "pg_hba.conf").open("a") as rules:
                rules.write("host all all samenet trust\n")
        self.start()

    @property
    def data(self) -> Path:
        """Where its files are."""
        return self.folder / "data"

    @property
    def url(self) -> str:
        """For NARROWBOAT_URL; a query may be added with `&`."""
        return f"postgresql:///postgres?host={self._address or self.folder}&port={self.port}&user=postgres"

    @property
    def pid(self) -> int:
        """Of the postmaster."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it, or start it again; it takes connections on return."""
        options = [word for name, value in self._settings.items() for word in ("-c", f"{name}={value}")]
        options += ["-c", f"unix_socket_directories={self.folder}"]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._programs / "postgres", "-D", self.data, *options],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                cwd=self.folder,
                start_new_session=True,
                **self.as_user(),
            )
        wait_for("the server to take connections", self._is_ready, 60.0)

    def serve(self, **settings: str) -> None:
        """Start it with more settings."""
        self._settings = self._settings | settings
        self.start()

    def kill(self) -> None:
        """kill -9 of every process of it, at once, as when the machine goes down."""
        assert self._process is not None
        os.kill(self.pid, signal.SIGSTOP)  # so that it starts no more
        children = children_of(self.pid)
        for pid in (*children, self.pid):
            os.kill(pid, signal.SIGKILL)
        self._process.wait(30)
        # It does not start again while one of them still has its memory.
        wait_for("its processes to be gone", lambda: not any(map(is_alive, children)))

    @contextlib.contextmanager
    def frozen(self) -> Generator[None]:
        """Every process of it stands still."""
        pids = [self.pid, *children_of(self.pid)]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """SIGINT: fast shutdown. SIGQUIT: immediate, without a word to anyone. Legal twice."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(how)
            self._process.wait(60)

    def remove(self) -> None:
        """Stop it for good."""
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.folder, ignore_errors=True)

    def connect(self) -> psycopg.Connection:
        """A connection of the test's own, in autocommit."""
        return psycopg.connect(self.url, autocommit=True)

    def as_user(self) -> dict[str, Any]:
        """What Popen must be told."""
        if os.geteuid() != 0:
            return {}
        return {"user": self.user.pw_uid, "group": self.user.pw_gid, "extra_groups": []}

    def _is_ready(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self.folder / "log").read_text()
        try:
            with self.connect() as connection:
                connection.execute("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    def _run(self, program: str, *arguments: str | Path) -> None:
        done = subprocess.run(
            [self._programs / program, *arguments],
            capture_output=True,
            text=True,
            cwd=self.folder,
            check=False,
            **self.as_user(),
        )
        assert done.returncode == 0, done.stderr


@cache
def shared_server() -> PostgresServer:
    """One for all tests of this process that kill no server; skips where there is none, fails in CI."""
    require()
    server = PostgresServer()
    at_end(server.remove)
    return server


def require() -> None:
    """Skip the test on a machine without PostgreSQL; a machine of the project's CI must have it."""
    if programs() is None:
        message = "PostgreSQL is not installed (Debian: postgresql)"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)


def new_schema() -> str:
    """A name that no other test has."""
    return f"t{secrets.token_hex(6)}"


def drop(server: PostgresServer, schemas: list[str]) -> None:
    """Forget what tests have made."""
    with server.connect() as connection:
        for schema in schemas:
            connection.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(schema)))


def empty(server: PostgresServer, schema: str) -> None:
    """Forget all jobs, workers, gates and numbers of a schema, if it is there."""
    with server.connect() as connection:
        tables = connection.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = %s AND tablename <> 'schema_version'", [schema]
        ).fetchall()
        names = [sql.Identifier(schema, name) for (name,) in tables]
        if names:
            connection.execute(sql.SQL("TRUNCATE {} RESTART IDENTITY").format(sql.SQL(", ").join(names)))
