"""Enqueueing on a connection of the caller, which never sees more of it than the rows."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, TypeVar

from ...core.errors import BackendUnavailable, ConfigError
from ...core.queue import Over
from .. import foreign
from .connection import errors_said_plainly
from .queries import sql

T = TypeVar("T")


def connection_of(given: Any, path: Path) -> sqlite3.Connection:
    """The caller's own connection. Raises ConfigError unless it is one to this very file."""
    connection = foreign.unwrap(given)
    if not isinstance(connection, sqlite3.Connection):
        raise ConfigError(
            f"connection= is {foreign.described(given, connection)}; where jobs are in SQLite, it takes an open "
            "sqlite3.Connection, or what runs on one: a SQLAlchemy Connection or Session, a Django alias"
        )
    with _plain_rows(connection), errors_said_plainly(path):
        files = [row[2] for row in connection.execute("PRAGMA database_list") if row[1] == "main"]
    if not files[0] or not os.path.samefile(files[0], path):
        raise ConfigError(
            f"connection= is one to {files[0] or 'no file'}, but the jobs are in {path}; a job can only be written by "
            "your transaction in the file that it is in"
        )
    return connection


def write(connection: sqlite3.Connection, path: Path, operation: Callable[[sqlite3.Connection], T | Over]) -> T | Over:
    """Run an operation all or not at all, in the transaction that is open, else in the one that the caller's next
    statement would begin, and in autocommit in one of its own. Over: it is undone.

    Raises BackendUnavailable, after which the caller's transaction is as it was.
    """
    begins = not connection.in_transaction
    with _plain_rows(connection), errors_said_plainly(path):
        try:
            # Takes the lock for writing before anything is read, so that nobody can write in between.
            connection.execute("BEGIN IMMEDIATE" if begins else sql("lock"))
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY_SNAPSHOT:
                raise
            raise BackendUnavailable(
                f"{path}: others have written since your transaction began to read, so it cannot write any more; roll "
                "it back and begin it with BEGIN IMMEDIATE"
            ) from error
        if begins:
            with _undone(connection, "ROLLBACK"):
                found = operation(connection)
            if isinstance(found, Over):
                connection.execute("ROLLBACK")
            elif _commits_each_statement(connection):
                connection.execute("COMMIT")
            return found
        connection.execute("SAVEPOINT narrowboat")
        with _undone(connection, "ROLLBACK TO narrowboat", "RELEASE narrowboat"):
            found = operation(connection)
        if isinstance(found, Over):
            connection.execute("ROLLBACK TO narrowboat")
        connection.execute("RELEASE narrowboat")
        return found


def _commits_each_statement(connection: sqlite3.Connection) -> bool:
    autocommit: bool | int = getattr(connection, "autocommit", -1)  # Python 3.12; -1: isolation_level says it
    return autocommit is True or (autocommit == -1 and connection.isolation_level is None)


@contextlib.contextmanager
def _undone(connection: sqlite3.Connection, *by: str) -> Generator[None]:
    """If it fails. A full disk, for one, has rolled everything back by then."""
    try:
        yield
    except BaseException:
        if connection.in_transaction:
            for statement in by:
                connection.execute(statement)
        raise


@contextlib.contextmanager
def _plain_rows(connection: sqlite3.Connection) -> Generator[None]:
    """Rows as tuples of plain values, whatever the caller makes of its own."""
    before = connection.row_factory, connection.text_factory
    connection.row_factory, connection.text_factory = None, str
    try:
        yield
    finally:
        connection.row_factory, connection.text_factory = before
