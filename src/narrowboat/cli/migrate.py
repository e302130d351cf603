"""narrowboat migrate"""

from __future__ import annotations

import click

from ..core.errors import ConfigError
from .common import say, store_given, url_option, write


@click.command("migrate")
@click.option("--sql", "as_sql", is_flag=True, help="Print what would be done as SQL, and do nothing.")
@click.option("--from", "version", type=click.IntRange(0), help="With --sql: from this version, without connecting.")
@url_option
def command(as_sql: bool, version: int | None, url: str | None) -> None:
    """Bring the tables in PostgreSQL up to date. Workers of the version before may go on meanwhile."""
    from ..backends.urls import record_of, redacted, resolve

    where = record_of(resolve(url)[0], store_given())
    if not where.startswith(("postgresql://", "postgres://")):
        raise ConfigError(f"{redacted(where)}: there is nothing to migrate; this is for postgresql://")
    from ..backends.postgres import Migration

    migration = Migration(where)
    if as_sql:
        write(migration.script(version))
        return
    before, after = migration.run()
    say(
        f"{redacted(where)}: the schema {migration.schema} is at version {after}"
        + ("" if before == after else f", and was at {before}" if before else ", and is new")
    )
