"""Whether output is coloured."""

from __future__ import annotations

from collections.abc import Mapping


def is_wanted(is_terminal: bool, env: Mapping[str, str]) -> bool:
    """On a terminal, unless NO_COLOR is set or it is a dumb one; elsewhere only with FORCE_COLOR."""
    if env.get("NO_COLOR"):
        return False
    return bool(env.get("FORCE_COLOR")) or (is_terminal and env.get("TERM") != "dumb")
