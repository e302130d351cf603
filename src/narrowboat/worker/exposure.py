"""What tasks with the network reach that hands out secrets without a question: a cloud's metadata, an open backend."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import threading
import time
from collections.abc import Iterable, Sequence
from urllib.parse import parse_qs, urlsplit

from ..core.task import TaskSpec

PATIENCE_S = 1.0
Address = tuple[str, int]
METADATA: tuple[Address, ...] = (("169.254.169.254", 80), ("fd00:ec2::254", 80), ("metadata.google.internal", 80))
_PORTS = {
    "redis": 6379,
    "rediss": 6379,
    "postgresql": 5432,
    "postgres": 5432,
    "amqp": 5672,
    "amqps": 5671,
    "gearman": 4730,
}


def exposures(
    tasks: Sequence[TaskSpec], backend_urls: Sequence[str], metadata: Sequence[Address] = METADATA
) -> list[str]:
    """A warning for each of them that answers, naming the tasks. Takes PATIENCE_S at most; nothing if no task can."""
    found = [
        f"{names} can reach the backend at {host}:{port}, which asks for no password: they could read and change the "
        "jobs of all; give it a password, and put that into the worker's URL"
        for host, port in (place for url in backend_urls for place in without_password(url))
        if (names := reaching(tasks, port))
    ]
    for host, port in answering([address for address in metadata if reaching(tasks, address[1])]):
        found.append(
            f"{reaching(tasks, port)} can reach the metadata of this cloud at {host}, which may hand out its keys: let "
            "a firewall keep executors from it, or declare other ports than every one"
        )
    return found


def reaching(tasks: Iterable[TaskSpec], port: int) -> str:
    """The tasks that may connect to this port of any host, in words; empty if there is none."""
    reaches = {task.name: task.needs.reach for task in tasks}
    names = [name for name, reach in sorted(reaches.items()) if reach.network or reach.trusted or port in reach.ports]
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return f"{'task' if len(names) == 1 else 'tasks'} {', '.join(names[:5])}{more}" if names else ""


def without_password(url: str) -> list[Address]:
    """Host and port of each server in the network that a backend's URL names, if it has no password."""
    with contextlib.suppress(ValueError):  # who opens it says what is wrong with it
        parts = urlsplit(url)
        if parts.scheme in _PORTS and not parts.password and "password" not in parse_qs(parts.query):
            servers = [urlsplit(f"//{server}") for server in parts.netloc.rpartition("@")[2].split(",")]
            return [(one.hostname, one.port or _PORTS[parts.scheme]) for one in servers if one.hostname]
    return []


def answering(addresses: Sequence[Address], patience_s: float = PATIENCE_S) -> list[Address]:
    """Those that accept a connection within that time, all tried at once."""
    answers: list[Address] = []

    def knock(address: Address) -> None:
        try:
            for *_, place in socket.getaddrinfo(*address, type=socket.SOCK_STREAM):
                # A public one is what some providers answer for every name that does not exist.
                if ipaddress.ip_address(place[0]).is_private:
                    socket.create_connection((str(place[0]), address[1]), patience_s).close()
                    answers.append(address)
                    return
        except OSError:
            pass

    threads = [threading.Thread(target=knock, args=(address,), daemon=True) for address in addresses]
    until = time.monotonic() + patience_s
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))
    return [address for address in addresses if address in answers]
