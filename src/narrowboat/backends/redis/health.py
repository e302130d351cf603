"""How the server is set up: what makes it unfit to keep jobs, and what people should know."""

from __future__ import annotations

import contextlib
from typing import NamedTuple

from ...core.errors import BackendError, ConfigError, SchemaTooNew
from ...core.units import bytes_in_words
from .connection import Connections

OLDEST = (7, 0)
LAYOUT = 1  # of the keys; see docs/redis.md
SECTIONS = ("server", "memory", "persistence", "replication")
AOF = "redis-cli CONFIG SET appendonly yes, and the same in redis.conf"

NO_LIMIT = "with maxmemory and noeviction, a flood of jobs could not take the memory of the machine"
NO_AOF = f"whatever ends it otherwise than SHUTDOWN loses jobs; turn it on: {AOF}"
REPLICAS = (
    "a fail-over forgets what had not reached the replica yet: Redis answers before, and Narrowboat does not WAIT; "
    "min-replicas-to-write bounds how much"
)
NO_REPLICAS = "while its machine is down, nothing is enqueued and nothing runs"


class Setup(NamedTuple):
    """What INFO says of a server; what it does not say is empty or 0."""

    version: str
    maxmemory: int
    policy: str
    has_aof: bool
    role: str
    replicas: int


def setup_of(connections: Connections) -> Setup | None:
    """None where this user may not ask."""
    try:
        text: bytes = connections.call("INFO", *SECTIONS)
    except BackendError as error:
        if "may not do that" in str(error):
            return None
        raise
    lines = (line.partition(":") for line in text.decode(errors="replace").splitlines())
    found = {name: value.strip() for name, _, value in lines}
    return Setup(
        version=found.get("redis_version", ""),
        maxmemory=int(found.get("maxmemory", 0)),
        policy=found.get("maxmemory_policy", ""),
        has_aof=found.get("aof_enabled") == "1",
        role=found.get("role", "master"),
        replicas=int(found.get("connected_slaves", 0)),
    )


def refuse_unfit(setup: Setup, location: str) -> None:
    """Raises ConfigError for a server that would lose jobs silently, or cannot run the scripts."""
    if setup.maxmemory and setup.policy != "noeviction":
        raise ConfigError(
            f"{location}: this server throws keys away when its memory is full (maxmemory-policy {setup.policy}) and "
            "jobs with them; use a server of its own for jobs, with: redis-cli CONFIG SET maxmemory-policy noeviction"
        )
    number = tuple(int(part) for part in setup.version.split(".")[:2] if part.isdigit())
    if number and number < OLDEST:
        raise ConfigError(f"{location}: Redis {setup.version} is too old; 7.0 or newer is needed (or Valkey)")
    if setup.role not in ("master", ""):
        raise ConfigError(f"{location}: this server is a replica, which takes no jobs; name the one that it follows")


def refuse_newer(connections: Connections) -> None:
    """Write down how the keys are laid out, in an empty namespace. Raises SchemaTooNew."""
    key = f"{connections.address.prefix}about"
    found = connections.call("HGET", key, "layout")
    if found is None:
        with contextlib.suppress(BackendError):  # a user that may not; the first worker may
            connections.call("HSETNX", key, "layout", LAYOUT)
    elif int(found) > LAYOUT:
        raise SchemaTooNew(
            f"{connections.address.location}: a newer Narrowboat laid out these keys (layout {int(found)}, "
            f"this one knows {LAYOUT}); upgrade this one first"
        )


def doubts(setup: Setup | None) -> list[str]:
    """What this server would forget, one sentence each."""
    if setup is None:
        return ["the user of this URL may not ask Redis how it is set up (INFO), so nobody has looked"]
    if setup.has_aof:
        return []
    return [
        f"Redis writes no append-only file: when it ends otherwise than by SHUTDOWN, jobs are lost. Turn it on: {AOF}"
    ]


def explained(setup: Setup | None) -> list[tuple[str, str, str]]:
    """What it keeps, and when it forgets."""
    if setup is None:
        return []
    limit = bytes_in_words(setup.maxmemory) if setup.maxmemory else "no limit"
    full = "when it is full, enqueue says so (BackendUnavailable) and workers go on" if setup.maxmemory else NO_LIMIT
    aof = "kill -9 of it loses nothing; a power cut up to a second, unless appendfsync is always"
    return [
        ("memory", f"{limit}, {setup.policy}", full),
        ("append-only file", "on" if setup.has_aof else "OFF", aof if setup.has_aof else NO_AOF),
        ("replicas", str(setup.replicas) if setup.replicas else "none", REPLICAS if setup.replicas else NO_REPLICAS),
    ]
