"""What a URL says."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode

from ...core.errors import ConfigError
from ..urls import redacted
from .queries import SCHEMA

_OURS = ("schema", "listen", "prepare", "timeout")


@dataclass(frozen=True, slots=True)
class Address:
    """`postgresql://user:password@host/database`, as libpq takes it, with settings of ours in its query.

    schema: where the tables are (narrowboat). listen=no and prepare=no: for a pooler that hands out connections for one
    transaction. timeout: seconds that a call may take (5).
    """

    conninfo: str
    location: str  # without a password
    schema: str = SCHEMA
    is_listening: bool = True
    is_prepared: bool = True
    timeout_s: float = 5.0

    @staticmethod
    def of(url: str) -> Address:
        """Raises ConfigError."""
        address, _, text = url.partition("?")
        query = parse_qsl(text, keep_blank_values=True)
        ours = {name: value for name, value in query if name in _OURS}
        theirs = urlencode([(name, value) for name, value in query if name not in _OURS])
        location = re.sub(r"(?<=[?&]password=)[^&]*", "***", redacted(url))
        return Address(
            conninfo=f"{address}?{theirs}" if theirs else address,
            location=location,
            schema=ours.get("schema", SCHEMA),
            is_listening=_yes(ours, "listen", location),
            is_prepared=_yes(ours, "prepare", location),
            timeout_s=_seconds(ours.get("timeout", "5"), location),
        )


def _seconds(text: str, location: str) -> float:
    if not re.fullmatch(r"\d+(\.\d+)?", text) or float(text) <= 0:
        raise ConfigError(f"{location}: timeout is a number of seconds, not {text!r}")
    return float(text)


def _yes(ours: dict[str, str], name: str, location: str) -> bool:
    value = ours.get(name, "yes")
    if value not in ("yes", "no"):
        raise ConfigError(f"{location}: {name} is yes or no, not {value!r}")
    return value == "yes"
