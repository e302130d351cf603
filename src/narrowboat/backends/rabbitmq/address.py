"""What a URL says: where the server is, who we are to it, and what our queues are called."""

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from ...core.errors import ConfigError
from ..urls import redacted

PREFIX = "nb"
LONGEST_NAME = 255  # bytes, of a queue
_OF_TLS = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
KNOWN = ("prefix", "management", "timeout", *_OF_TLS)
PORTS = {"amqp": 5672, "amqps": 5671}


@dataclass(frozen=True, slots=True)
class Address:
    """tls: None: in the open. management: the URL of the HTTP API, or empty. timeout_s: how long a call may take."""

    url: str
    host: str
    port: int
    user: str
    password: str
    vhost: str
    prefix: str
    management: str
    timeout_s: float
    tls: ssl.SSLContext | None

    @property
    def location(self) -> str:
        """The URL, with the password removed."""
        return redacted(self.url)

    def queue(self, channel: str) -> str:
        """`nb.queue.default` for queue:default, `nb.task.shop.send` for task:shop.send. Raises ConfigError."""
        kind, _, name = channel.partition(":")
        queue = f"{self.prefix}.{kind}.{name}"
        if len(queue.encode()) > LONGEST_NAME:
            raise ConfigError(f"{queue!r} is too long for RabbitMQ, where the name of a queue has {LONGEST_NAME} bytes")
        return queue


def address_of(url: str) -> Address:
    """Raises ConfigError for what cannot be understood."""
    shown = redacted(url)
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ConfigError(f"{shown!r} cannot be read: {error}") from error
    if parts.scheme not in PORTS or not parts.hostname:
        raise ConfigError(f"{shown!r} names no server; write amqp://user:password@host/vhost, or amqps:// for TLS")
    settings = dict(parse_qsl(parts.query, keep_blank_values=True))
    for name in settings:
        if name not in KNOWN:
            raise ConfigError(f"{shown!r}: there is no setting {name!r}; known: {', '.join(KNOWN)}")
    prefix = settings.get("prefix", PREFIX)
    if not re.fullmatch(r"[A-Za-z0-9_.-]{1,50}", prefix):
        raise ConfigError(f"{shown!r}: a prefix has 1 to 50 letters, digits or any of _ . -")
    timeout = settings.get("timeout", "5")
    if not re.fullmatch(r"\d+(\.\d+)?", timeout) or float(timeout) <= 0:
        raise ConfigError(f"{shown!r}: timeout is a number of seconds, not {timeout!r}")
    return Address(
        url=url,
        host=parts.hostname,
        port=port or PORTS[parts.scheme],
        user=unquote(parts.username or "guest"),
        password=unquote(parts.password or "guest"),
        vhost=unquote(parts.path[1:]) or "/",
        prefix=prefix,
        management=settings.get("management", "").rstrip("/"),
        timeout_s=float(timeout),
        tls=_tls(settings, shown) if parts.scheme == "amqps" else None,
    )


def _tls(settings: dict[str, Any], shown: str) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=settings.get("ssl_ca_certs"))
        if "ssl_certfile" in settings:
            context.load_cert_chain(settings["ssl_certfile"], settings.get("ssl_keyfile"))
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"{shown!r}: a certificate cannot be read: {error}") from error
    return context
