"""What a URL says."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote

from ...core.errors import ConfigError
from ..urls import redacted
from .queries import SCHEMA

_OURS = ("schema", "listen", "prepare", "timeout")


@dataclass(frozen=True, slots=True)
class Address:
    """`postgresql://user:password@host/database`, as libpq takes it, with settings of ours in its query.

    schema: where the tables are (narrowboat). listen, prepare: whether to hear NOTIFY, and to prepare statements (yes,
    unless a pooler is in between, which perhaps hands out sessions for one transaction). timeout: seconds that a call
    may take (5).
    """

    conninfo: str
    location: str  # without a password
    schema: str = SCHEMA
    is_listening: bool | None = None  # None: where no pooler is in between
    is_prepared: bool | None = None
    timeout_s: float = 5.0

    @staticmethod
    def of(url: str) -> Address:
        """Raises ConfigError."""
        address, _, text = url.partition("?")
        pairs = [pair.partition("=") for pair in text.split("&") if pair]
        ours = {name: unquote(value) for name, _, value in pairs if name in _OURS}
        theirs = "&".join("".join(pair) for pair in pairs if pair[0] not in _OURS)  # in libpq a "+" is no space
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


def _yes(ours: dict[str, str], name: str, location: str) -> bool | None:
    value = ours.get(name)
    if value not in ("yes", "no", None):
        raise ConfigError(f"{location}: {name} is yes or no, not {value!r}")
    return None if value is None else value == "yes"
