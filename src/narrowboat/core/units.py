"""Durations and sizes as people write them, as seconds and bytes."""

from __future__ import annotations

import math
import re
from datetime import timedelta

from .errors import ConfigError

_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_BYTES = {"b": 1, "kb": 1000, "mb": 1000**2, "gb": 1000**3, "kib": 1024, "mib": 1024**2, "gib": 1024**3}
_NUMBER_UNIT = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]*)\s*")


def seconds(value: float | str | timedelta) -> float:
    """Seconds from a number of seconds, a timedelta, or text such as "90s", "5m", "1h30m".

    Raises ConfigError when the value is negative, not finite or not understood.
    """
    if isinstance(value, timedelta):
        found = value.total_seconds()
    elif isinstance(value, str):
        found = _sum_of_parts(value, _SECONDS, bare=1, kind="duration", example='"90s", "5m", "1h30m"')
    else:
        found = float(value)
    if not math.isfinite(found) or found < 0:
        raise ConfigError(f"a duration cannot be {value!r}; give seconds, a timedelta or text such as '5m'")
    return found


def size(value: int | str) -> int:
    """Bytes from an int or text such as "256MB" (10^6) or "256MiB" (2^20)."""
    if isinstance(value, str):
        return int(_sum_of_parts(value, _BYTES, bare=1, kind="size", example='"256MB", "1GiB"'))
    if value < 0:
        raise ConfigError(f"a size cannot be {value!r}")
    return int(value)


def _sum_of_parts(
    text: str, units: dict[str, float] | dict[str, int], *, bare: float, kind: str, example: str
) -> float:
    total, at = 0.0, 0
    while at < len(text):
        part = _NUMBER_UNIT.match(text, at)
        unit = part.group(2).lower() if part else ""
        if not part or (unit and unit not in units):
            raise ConfigError(f"{text!r} is not a {kind}; write a number and a unit, such as {example}")
        total += float(part.group(1)) * (units[unit] if unit else bare)
        at = part.end()
    if not text.strip():
        raise ConfigError(f"an empty text is not a {kind}; write {example}")
    return total


def in_words(duration_s: float) -> str:
    """A duration for people: "0.4 ms", "4 ms", "1.2 s", "45 s", "3 min", "2 h", "4 d"."""
    if 0 < duration_s < 0.001:
        return f"{duration_s * 1000:.1f} ms"
    if duration_s < 1:
        return f"{duration_s * 1000:.0f} ms"
    if duration_s < 10:
        return f"{duration_s:.1f}".removesuffix(".0") + " s"
    for limit, unit, name in ((90, 1, "s"), (5400, 60, "min"), (129600, 3600, "h")):
        if duration_s < limit:
            return f"{duration_s / unit:.0f} {name}"
    return f"{duration_s / 86400:.0f} d"


def many(count: int, what: str) -> str:
    """A number of things for people: "1 job", "2 jobs"."""
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


def bytes_in_words(count: int) -> str:
    """A size for people: "640 B", "12 KiB", "3.5 MiB"."""
    if count < 1024:
        return f"{count} B"
    if count < 1024**2:
        return f"{count / 1024:.0f} KiB"
    return f"{count / 1024**2:.1f} MiB"
