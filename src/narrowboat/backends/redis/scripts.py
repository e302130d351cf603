"""The Lua of each verb: a file of its own, with the prelude that all share after its first line."""

from __future__ import annotations

import functools
import hashlib
from importlib.resources import files
from typing import NamedTuple


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
    source = f"{flags}\n{(folder / 'prelude.lua').read_text(encoding='utf-8')}\n{verb}"
    return Script(name, source, hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest())
