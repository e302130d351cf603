"""What `narrowboat migrate` does."""

from __future__ import annotations

import psycopg

from . import schema
from .address import Address
from .errors import in_our_words
from .pool import CONNECT_S
from .queries import Queries


class Migration:
    """Of the schema that a URL names. Raises ConfigError, BackendUnavailable, SchemaTooNew."""

    def __init__(self, url: str) -> None:
        self._address = Address.of(url)
        self._queries = Queries(self._address.schema)
        self.schema = self._address.schema

    def run(self) -> tuple[int, int]:
        """Bring it up to date; the version that it had, 0 for none, and the one that it has."""
        try:
            with psycopg.connect(self._address.conninfo, autocommit=True, connect_timeout=CONNECT_S) as connection:
                before = schema.migrate(connection, self._queries)
                return before, max(before, schema.VERSION)
        except psycopg.Error as error:
            raise in_our_words(error, self._address.location) from error

    def script(self, version: int | None) -> str:
        """The same as SQL, from a version, or from the one that is found."""
        if version is None:
            try:
                with psycopg.connect(self._address.conninfo, autocommit=True, connect_timeout=CONNECT_S) as connection:
                    version = schema.version_of(connection, self._queries)
            except psycopg.Error as error:
                raise in_our_words(error, self._address.location) from error
        return f"BEGIN;\n{schema.script(self._queries, version)}\nCOMMIT;"
