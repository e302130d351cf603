"""Jobs in PostgreSQL: any number of machines, and enqueue in your own transaction."""

from __future__ import annotations

from ...core.errors import ConfigError

try:
    from .address import Address
    from .backend import PostgresBackend as PostgresBackend
    from .migration import Migration as Migration
except ImportError as error:  # pragma: no cover - psycopg is there in the tests
    raise ConfigError(f"postgresql:// needs psycopg: pip install 'narrowboat[postgres]' ({error})") from error


def open_url(url: str, *, make: bool = True) -> PostgresBackend:
    """See Address for what a URL may have. Raises ConfigError, BackendUnavailable, SchemaTooNew."""
    return PostgresBackend(Address.of(url), make=make)
