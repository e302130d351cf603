"""The schema: made at first use where that is allowed, and brought up to date by `narrowboat migrate`.

Every change of it leaves what older programs use, so that they go on while newer ones start: `oldest` is the version
of the oldest program that still may. One transaction does it all, and one process at a time.
"""

from __future__ import annotations

from typing import Any

import psycopg

from ...core.errors import ConfigError, SchemaTooNew
from .queries import Queries

VERSION = 8
OLDEST = 1  # programs that know this version may use the schema of VERSION


def script(queries: Queries, version: int) -> str:
    """SQL that brings a schema from a version (0: none) to VERSION, for psql or a person; to run in one transaction."""
    steps = [queries.named("begin")]
    if 0 < version < VERSION:
        steps.append(queries.named("lock"))
    steps += [queries.migration(number) for number in range(version + 1, VERSION + 1)]
    steps += queries.functions()
    steps += [
        f"{queries.named('end')}INSERT INTO {queries.schema}.schema_version VALUES ({VERSION}, {OLDEST});\n",
    ]
    return "\n".join(steps)


def migrate(connection: psycopg.Connection[Any], queries: Queries) -> int:
    """Bring the schema to VERSION; returns the version that it had. Raises psycopg.Error, SchemaTooNew."""
    with connection.transaction():
        connection.execute(queries.named("begin").encode())
        version = version_of(connection, queries)
        if version <= VERSION:  # a newer one has its own functions
            connection.execute(script(queries, version).encode())
    return version


def version_of(connection: psycopg.Connection[Any], queries: Queries) -> int:
    """The version of a schema, 0 for none. Raises SchemaTooNew."""
    exists = connection.execute("SELECT to_regclass(%s)", [f"{queries.schema}.schema_version"]).fetchone()
    if exists is None or exists[0] is None:
        return 0
    row = connection.execute(queries("version")).fetchone()
    if row is None:
        return 0
    version, oldest = row
    if oldest > VERSION:
        refuse(version, oldest, queries.schema)
    return version


def refuse(version: int, oldest: int, schema: str) -> None:
    """Raises SchemaTooNew."""
    raise SchemaTooNew(
        f"the schema {schema} was made by a newer Narrowboat: its version is {version}, which programs of version "
        f"{oldest} and up may use, and this one is {VERSION}; update Narrowboat here"
    )


def must_migrate(version: int, schema: str) -> ConfigError:
    """What is raised for a schema that is older than this program."""
    return ConfigError(
        f"the schema {schema} has version {version}, and this Narrowboat needs {VERSION}: run `narrowboat migrate` "
        "(workers may go on meanwhile), or have it printed as SQL with `narrowboat migrate --sql`"
    )
