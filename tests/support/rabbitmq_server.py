"""A private RabbitMQ: a node of its own name, ports, cookie and data, with an epmd of its own; gone with the tests."""

from __future__ import annotations

import functools
import itertools
import json
import os
import shutil
import socket
import subprocess
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from .certificates import issued
from .ending import at_end
from .processes import wait_for
from .servers import free_port, program, quick_folder

_names = itertools.count(1)
SCRIPTS = "/usr/lib/rabbitmq/bin"  # Debian's in /usr/sbin change to the user of the system's own node
# How often it counts again, and looks for what is held for too long, in ms; otherwise 5 s, and a minute.
TICKS = ("collect_statistics_interval", "quorum_tick_interval", "channel_tick_interval")
FIGURES = f"[{{rabbit, [{', '.join(f'{{{name}, 500}}' for name in TICKS)}]}}].\n"
# As few threads as will do: the machine is shared.
THREADS = "+S 2:2 +SDio 4 -kernel inet_dist_use_interface {127,0,0,1}"


class RabbitServer:
    """A node; killed and started again it has the same ports and the same data.

    settings: as in rabbitmq.conf. certificates: it takes TLS, too, at `tls_port`, and shows `certificates`.
    folder: an empty one, for all that it writes.
    """

    def __init__(
        self,
        settings: Mapping[str, str] | None = None,
        *,
        certificates: bool = False,
        folder: Path | None = None,
    ) -> None:
        self._server, self._ctl = _script("rabbitmq-server"), _script("rabbitmqctl")
        self.folder = folder or quick_folder("nbrq-")
        self.port, self.management_port, self._epmd_port = free_port(), free_port(), free_port()
        self.log = self.folder / "output"
        lines = {
            "listeners.tcp.1": f"127.0.0.1:{self.port}",
            "management.tcp.ip": "127.0.0.1",
            "management.tcp.port": str(self.management_port),
            "log.console": "true",
            "log.console.level": "warning",
            "log.file": "false",
            **(settings or {}),
        }
        if certificates:
            self.certificates, self.tls_port = issued(self.folder), free_port()
            lines |= {
                "listeners.ssl.1": f"127.0.0.1:{self.tls_port}",
                "ssl_options.cacertfile": str(self.certificates.authority),
                "ssl_options.certfile": str(self.certificates.certificate),
                "ssl_options.keyfile": str(self.certificates.key),
            }
        (self.folder / "rabbitmq.conf").write_text("".join(f"{name} = {value}\n" for name, value in lines.items()))
        (self.folder / "advanced.config").write_text(FIGURES)
        (self.folder / "plugins").write_text("[rabbitmq_management].\n")
        self._env = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),  # where the cookie is
            "LANG": "C.UTF-8",
            "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": f"nb{self.port}@localhost",
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "data"),
            "RABBITMQ_LOG_BASE": str(self.folder / "log"),
            "RABBITMQ_CONFIG_FILE": str(self.folder / "rabbitmq.conf"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(self.folder / "advanced.config"),
            "RABBITMQ_CONF_ENV_FILE": str(self.folder / "none"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "plugins"),
            "RABBITMQ_PID_FILE": str(self.folder / "pid"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": THREADS,
            "RUNNING_UNDER_SYSTEMD": "1",  # so that its scripts become the node, whose pid is then ours
        }
        with self.log.open("ab") as output:
            self._epmd = subprocess.Popen(
                [program("epmd", "/usr/lib/erlang/bin")], env=self._env, stdout=output, stderr=output
            )
        self.process: subprocess.Popen[bytes] | None = None
        at_end(self.remove)  # whatever becomes of the test
        self.start()

    @property
    def place(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """For NARROWBOAT_URL, as the user who may do anything."""
        return f"amqp://guest:guest@{self.place}"

    @property
    def management(self) -> str:
        """The URL of the HTTP API."""
        return f"http://127.0.0.1:{self.management_port}"

    def apart(self) -> str:
        """A URL under which there are no queues yet."""
        return f"{self.url}?prefix=t{next(_names)}"

    def clear(self, url: str) -> None:
        """Delete the queues of a test: hundreds keep the node busy with counting what is in them."""
        prefix = url.partition("?prefix=")[2]
        for queue in self.asked("queues/%2F?disable_stats=true&enable_queue_totals=true"):
            if queue["name"].startswith(f"{prefix}."):
                self.asked(f"queues/%2F/{quote(queue['name'], safe='')}", "DELETE")

    def start(self) -> None:
        """Start it, and wait until it takes connections."""
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [self._server],
                env=self._env,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        process = self.process

        def answers() -> bool:
            assert process.poll() is None, f"it ended with {process.returncode}: {self.log.read_text()[-3000:]}"
            try:
                with socket.create_connection(("127.0.0.1", self.port), 5) as connection:
                    connection.sendall(b"AMQP\0\0\x09\x01")
                    return bool(connection.recv(10))
            except OSError:
                return False

        wait_for("rabbitmq-server", answers, 180.0)

    def ctl(self, *words: str) -> str:
        """What `rabbitmqctl` prints, without headings."""
        bare = ("--no-table-headers",) if words[0].startswith("list_") else ()
        done = subprocess.run(
            [self._ctl, "--quiet", *words, *bare],
            env=self._env,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=60,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        assert done.returncode == 0, f"rabbitmqctl {' '.join(words)}: {done.stdout}{done.stderr}"
        return done.stdout

    def counted(self, queue: str) -> tuple[int, int]:
        """By rabbitmqctl: how many messages of a queue wait, and how many are held."""
        rows = (line.split("\t") for line in self.ctl("list_queues", *_COLUMNS).splitlines())
        return next((int(ready), int(held)) for name, ready, held in rows if name == queue)

    def asked(self, path: str, method: str = "GET", body: Any = None) -> Any:
        """What the HTTP API answers."""
        request = urllib.request.Request(
            f"{self.management}/api/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": "Basic Z3Vlc3Q6Z3Vlc3Q=", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def user(self, name: str, *, configure: str, write: str, read: str, tags: str = "") -> str:
        """Make a user with these permissions in the default virtual host; a URL for it."""
        self.asked(f"users/{name}", "PUT", {"password": "secret", "tags": tags})
        rights = {"configure": configure, "write": write, "read": read}
        self.asked(f"permissions/{quote('/', safe='')}/{name}", "PUT", rights)
        return f"amqp://{name}:secret@{self.place}"

    def kill(self) -> None:
        """kill -9, and reap."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(30)

    def remove(self) -> None:
        """Stop it for good; legal twice."""
        for process in (self.process, self._epmd):
            if process is not None and process.poll() is None:
                process.kill()
                process.wait(30)
        shutil.rmtree(self.folder, ignore_errors=True)


_COLUMNS = ("name", "messages_ready", "messages_unacknowledged")


def _script(name: str) -> str:
    """Its path; of the script itself, where the one on the path is a wrapper that becomes another user."""
    found = program(name, SCRIPTS)
    own = Path(SCRIPTS) / name
    return str(own) if own.exists() else found


@functools.cache
def shared_rabbitmq() -> RabbitServer:
    """The node of all tests that do not harm it; each takes a prefix of its own."""
    return RabbitServer(certificates=True)
