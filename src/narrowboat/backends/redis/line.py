"""One connection to the server, as this package uses those of redis-py: which connects, logs in, and reads replies."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Sequence
from typing import Any, cast

import hiredis
from redis.connection import Connection

from .address import Address

Word = str | bytes | int | float


def pack(words: Sequence[Word]) -> bytes:
    """A command as it is sent."""
    return cast("Any", hiredis).pack_command(tuple(words))  # its stub knows commands of one word only


class Line:
    """Connects when it is first used. Raises what redis-py raises, and is to be hung up after that."""

    def __init__(self, address: Address, timeout_s: float) -> None:
        options: dict[str, Any] = dict(address.options)
        make: Any = options.pop("connection_class", Connection)
        options |= {"socket_timeout": timeout_s, "protocol": 2, "driver_info": None}  # no round trips to say who we are
        if "path" not in options:
            options |= {"socket_connect_timeout": timeout_s, "socket_keepalive": True}
        self._connection: Any = make(**options)
        self.pid = os.getpid()
        self._name: int | None = None

    def connect(self) -> int:
        """Unless it is. Returns the number by which the server knows this line."""
        if self._name is None:
            self._connection.connect()
            self._name = int(self.ask("CLIENT", "ID"))
        return self._name

    def send(self, packed: bytes) -> None:
        """A packed command."""
        self._connection.send_packed_command([packed], check_health=False)

    def read(self) -> Any:
        """The next reply."""
        return self._connection.read_response()

    def ask(self, *words: Word) -> Any:
        """The reply to a command."""
        self.send(pack(words))
        return self.read()

    def has_unread(self) -> bool:
        """Whether a reply has come in already."""
        return bool(self._connection.can_read(0))

    @property
    def socket(self) -> socket.socket | None:
        """For poll; TLS may hold back what it has read, see `has_unread`."""
        found = self._connection._sock
        return found if isinstance(found, socket.socket | ssl.SSLSocket) else None

    def hang_up(self) -> None:
        """End it; legal twice."""
        self._name = None
        self._connection.disconnect()
