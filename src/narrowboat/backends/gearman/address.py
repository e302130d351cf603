"""What a URL says: which servers, and what the names of functions there begin with."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import parse_qsl

from ...core.errors import ConfigError
from ..urls import redacted

PORT = 4730
PREFIX = "nb:"
MOST_SERVERS = 16
_HOST = re.compile(r"(?P<host>[A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.%a-z]+\])(:(?P<port>\d{1,5}))?")


@dataclass(frozen=True, slots=True)
class Address:
    """servers: host and port of each."""

    servers: tuple[tuple[str, int], ...]
    prefix: str

    @property
    def location(self) -> str:
        """The URL, with what was left out."""
        hosts = ",".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in self.servers)
        return f"gearman://{hosts}" + ("" if self.prefix == PREFIX else f"?prefix={self.prefix}")


def address_of(url: str) -> Address:
    """Raises ConfigError for what cannot be understood."""
    shown = redacted(url)
    hosts, _, query = url.removeprefix("gearman://").partition("?")
    settings = dict(parse_qsl(query, keep_blank_values=True))
    for name in settings:
        if name != "prefix":
            raise ConfigError(f"{shown!r}: there is no setting {name!r}; known: prefix")
    if "@" in hosts:
        raise ConfigError(f"{shown!r}: Gearman knows neither users nor passwords: leave them out, and guard its port")
    prefix = settings.get("prefix", PREFIX)
    if not re.fullmatch(r"[A-Za-z0-9_.:-]{0,50}", prefix):
        raise ConfigError(f"{shown!r}: a prefix has up to 50 letters, digits or any of _ . : -")
    servers = tuple(dict.fromkeys(_server(host, shown) for host in hosts.rstrip("/").split(",")))
    if len(servers) > MOST_SERVERS:
        raise ConfigError(f"{shown!r} names {len(servers)} servers: give at most {MOST_SERVERS}")
    return Address(servers, prefix)


def _server(text: str, shown: str) -> tuple[str, int]:
    found = _HOST.fullmatch(text)
    port = int(found["port"] or PORT) if found else 0
    if found is None or not 0 < port < 65_536:
        raise ConfigError(f"{shown!r}: {text!r} is no server; write gearman://host:{PORT},host2:{PORT}")
    return found["host"].strip("[]"), port
