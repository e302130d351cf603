"""The memory backend: jobs in this process. The reference model for all others."""

from __future__ import annotations

from ...core.errors import ConfigError
from .backend import MemoryBackend

__all__ = ["MemoryBackend", "open_url"]


def open_url(url: str, *, make: bool = True) -> MemoryBackend:
    """A new, empty store for `memory://`. Raises ConfigError for anything more than that."""
    if url != "memory://":
        raise ConfigError(f"{url!r}: a memory backend has no name or options; write memory://")
    return MemoryBackend()
