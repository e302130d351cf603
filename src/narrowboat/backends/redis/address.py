"""What a URL says: where the server is, who we are to it, and under which keys the jobs are."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import parse_qsl, urlencode

from redis import connection as redis_connection

from ...core.errors import ConfigError
from ..urls import redacted

NAMESPACE = "nb"
_OF_TLS = ("ssl_ca_certs", "ssl_ca_path", "ssl_cert_reqs", "ssl_certfile", "ssl_check_hostname", "ssl_keyfile")
KNOWN = ("namespace", "db", *_OF_TLS)


@dataclass(frozen=True, slots=True)
class Address:
    """options: for a connection of redis-py; location: for people; socket: the path of a socket, if it is one."""

    url: str
    namespace: str
    options: dict[str, Any]

    @property
    def prefix(self) -> str:
        """What every key begins with. The braces put all keys of a namespace into one slot of a cluster."""
        return f"nb:{{{self.namespace}}}:"

    @property
    def location(self) -> str:
        """The URL, with the password removed."""
        return redacted(self.url)

    def as_user(self, login: str) -> str:
        """The URL with another user and password."""
        scheme, _, rest = self.url.partition("://")
        place, slash, path = rest.partition("/")
        return f"{scheme}://{login}@{place.rpartition('@')[2]}{slash}{path}"

    @property
    def socket(self) -> str:
        """The real path of the server's socket, or empty."""
        return os.path.realpath(self.options["path"]) if "path" in self.options else ""


def address_of(url: str) -> Address:
    """Raises ConfigError for what cannot be understood."""
    base, _, query = url.partition("?")
    settings = dict(parse_qsl(query, keep_blank_values=True))
    for name in settings:
        if name not in KNOWN:
            raise ConfigError(f"{redacted(url)!r}: there is no setting {name!r}; known: {', '.join(KNOWN)}")
    namespace = settings.pop("namespace", NAMESPACE)
    if not re.fullmatch(r"[A-Za-z0-9_.-]{1,50}", namespace):
        raise ConfigError(f"{redacted(url)!r}: a namespace has 1 to 50 letters, digits or any of _ . -")
    try:
        with_settings = f"{base}?{urlencode(settings)}" if settings else base
        options: dict[str, Any] = cast("Any", redis_connection).parse_url(with_settings)  # it has no types
    except ValueError as error:
        raise ConfigError(f"{redacted(url)!r} cannot be read: {error}") from error
    if base.startswith("unix:") and not options.get("path"):
        raise ConfigError(f"{redacted(url)!r} names no socket; write unix:///run/redis/redis.sock")
    return Address(url, namespace, options)
