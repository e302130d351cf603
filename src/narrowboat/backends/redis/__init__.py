"""Jobs in Redis: many machines, and any language that can push onto a list."""

from __future__ import annotations

from ...core.errors import ConfigError
from .address import Address, address_of

try:
    from .backend import RedisBackend
except ModuleNotFoundError as error:
    if error.name not in ("redis", "hiredis"):
        raise
    raise ConfigError(f"jobs in Redis need {error.name}: pip install 'narrowboat[redis]'") from error

__all__ = ["Address", "RedisBackend", "address_of", "open_url"]


def open_url(url: str, *, make: bool = True) -> RedisBackend:
    """`redis://[user:password@]host[:port][/db]`, `rediss://` for TLS, `unix:///path`; `?namespace=` for the keys.

    make: there is nothing to be made. Raises ConfigError, BackendUnavailable.
    """
    return RedisBackend(address_of(url))
