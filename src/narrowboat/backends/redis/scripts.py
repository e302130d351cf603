"""The Lua of each verb: a file of its own, with what it shares with others after its first line."""

from __future__ import annotations

import functools
import hashlib
from importlib.resources import files
from typing import NamedTuple

# Verbs that look at the gates of controls; the others need not carry it. What enqueue does not need, it does without:
# each call of a script makes all of its functions anew.
_CONTROLLED = frozenset({"adjust", "close", "extend", "leave", "look", "step", "trip"})


class Script(NamedTuple):
    """source: what EVAL takes; sha: what EVALSHA takes once the server has seen it."""

    name: str
    source: str
    sha: str


@functools.cache
def script(name: str) -> Script:
    """The verb of lua/<name>.lua."""
    folder = files("narrowboat.backends.redis") / "lua"
    flags, _, verb = (folder / f"{name}.lua").read_text(encoding="utf-8").partition("\n")
    shared = ["prelude"] if name == "enqueue" else ["prelude", "moves"]
    shared += ["controls"] if name in _CONTROLLED else []
    parts = [(folder / f"{part}.lua").read_text(encoding="utf-8") for part in shared]
    source = "\n".join((flags, *parts, verb))
    return Script(name, source, hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest())
