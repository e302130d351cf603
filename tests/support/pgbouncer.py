"""PgBouncer in front of a private PostgreSQL server: on a Unix socket only, gone with the tests that wanted it."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import psycopg

from .ending import at_end
from .postgres_server import PostgresServer, shared_server
from .processes import wait_for
from .servers import program

PORT = 6432  # of the name of its socket
WHERE = "/usr/sbin"  # Debian's, which is not in the path of ordinary users
# Consecutive transactions of one client meet as many sessions of the server as can be.
# Sessions do not live long: one that makes the schemas of hundreds of tests gets slow and large, as each function is
# compared with all plans that it keeps.
HARSH = {
    "pool_mode": "transaction",
    "default_pool_size": "5",
    "server_round_robin": "1",
    "max_client_conn": "1000",
    "server_lifetime": "10",
}


class PgBouncer:
    """One pooler. `url` is where it listens."""

    def __init__(self, server: PostgresServer, **settings: str) -> None:
        path = program("pgbouncer", WHERE)
        self.folder, user = Path(tempfile.mkdtemp(prefix="pool-", dir=server.folder)), server.user
        lines = {
            "listen_port": str(PORT),
            "unix_socket_dir": str(self.folder),
            "logfile": str(self.folder / "log"),
            "auth_type": "any",
            "admin_users": "postgres",
            "ignore_startup_parameters": "extra_float_digits",
            **HARSH,
            **settings,
        }
        configuration = self.folder / "pgbouncer.ini"
        configuration.write_text(
            f"[databases]\npostgres = host={server.folder} user=postgres\n[pgbouncer]\n"
            + "".join(f"{name} = {value}\n" for name, value in lines.items())
        )
        for path_of_user in (self.folder, configuration):
            os.chown(path_of_user, user.pw_uid, user.pw_gid)
        self._process = subprocess.Popen(
            [path, "--quiet", configuration],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=self.folder,
            start_new_session=True,
            **server.as_user(),
        )
        at_end(self.stop)
        wait_for("pgbouncer to take connections", self._is_ready)

    @property
    def url(self) -> str:
        """For NARROWBOAT_URL; a query may be added with `&`."""
        return f"postgresql:///postgres?host={self.folder}&port={PORT}&user=postgres"

    def log(self) -> str:
        """What it has written."""
        return (self.folder / "log").read_text()

    def warnings(self) -> list[str]:
        """What it finds strange."""
        return re.findall(r"(?:WARNING|ERROR) .*", self.log())

    def transactions(self) -> int:
        """How many it has passed on to the database."""
        with psycopg.connect(self.url.replace("///postgres", "///pgbouncer"), autocommit=True) as admin:
            for row in admin.execute("SHOW STATS", prepare=False):
                if row[0] == "postgres":
                    return int(row[1])
        return 0

    def stop(self) -> None:
        """At once; legal twice."""
        if self._process.poll() is None:
            self._process.terminate()
            self._process.wait(20)

    def _is_ready(self) -> bool:
        assert self._process.poll() is None, self.log()
        try:
            with psycopg.connect(self.url) as connection:
                connection.execute("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True


@cache
def shared_pooler() -> PgBouncer:
    """One for all tests of this process, in front of their shared server."""
    return PgBouncer(shared_server())
