"""A job's name within its task: same task and same key, same job."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from . import codec
from .digest import sha256
from .errors import BadArguments, ConfigError
from .units import seconds

ARGUMENTS = "arguments"


def hold(value: float | str | timedelta) -> str | float:
    """How long a key holds: "waiting", "active", or seconds after success. Raises ConfigError."""
    if isinstance(value, str) and value in ("waiting", "active"):
        return value
    return seconds(value)


def name_of(arguments: dict[str, Any]) -> str:
    """A name for a set of arguments, the same for the same JSON values in any order."""
    return sha256(codec.encode(dict(sorted(arguments.items()))))[:32]


def fill(template: str, arguments: dict[str, Any], where: str) -> str:
    """Put arguments into "{name}" places of a template; a text without them is itself.

    Raises BadArguments when the template names something that is not there.
    """
    if "{" not in template:
        return template
    try:
        return template.format_map(arguments)
    except (KeyError, IndexError, AttributeError, ValueError) as error:
        known = ", ".join(arguments) or "none"
        raise BadArguments(f"{where}: {template!r} cannot be filled in: {error!r}; arguments: {known}") from error


def checked(key: str, where: str) -> str:
    """The key itself if it can be one: 1 to 500 characters."""
    if not 1 <= len(key) <= 500:
        raise ConfigError(f"{where}: a key has 1 to 500 characters, this one has {len(key)}")
    return key
