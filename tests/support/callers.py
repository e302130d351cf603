"""Connections as applications have them, each behind the same few verbs: execute, commit, rollback, close."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import psycopg
import sqlalchemy
from psycopg.rows import dict_row
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session, scoped_session, sessionmaker
from sqlalchemy.pool import NullPool


@dataclass(frozen=True)
class Caller:
    """given: what `using(connection=...)` gets. The rest is what its owner does with it."""

    given: Any
    execute: Callable[[str], Any]
    commit: Callable[[], Any]
    rollback: Callable[[], Any]
    close: Callable[[], Any]


@dataclass(frozen=True)
class AsyncCaller:
    """The same for async code."""

    given: Any
    execute: Callable[[str], Awaitable[Any]]
    commit: Callable[[], Awaitable[Any]]
    rollback: Callable[[], Awaitable[Any]]
    close: Callable[[], Awaitable[Any]]


def of_psycopg(url: str) -> Caller:
    """As it is opened by default."""
    mine = psycopg.connect(url)
    return Caller(mine, mine.execute, mine.commit, mine.rollback, mine.close)  # pyright: ignore[reportArgumentType]


def of_psycopg_with_rows_of_its_own(url: str) -> Caller:
    """Rows come as dicts, and parameters are filled in by the client."""
    mine = psycopg.connect(url, row_factory=dict_row, cursor_factory=psycopg.ClientCursor, prepare_threshold=None)
    return Caller(mine, mine.execute, mine.commit, mine.rollback, mine.close)  # pyright: ignore[reportArgumentType]


def of_psycopg_begun_by_hand(url: str) -> Caller:
    """In autocommit, with BEGIN and COMMIT as statements."""
    mine = psycopg.connect(url, autocommit=True)
    mine.execute("BEGIN")

    def end(how: str) -> None:
        mine.execute(how)  # pyright: ignore[reportArgumentType]
        mine.execute("BEGIN")

    return Caller(mine, mine.execute, lambda: end("COMMIT"), lambda: end("ROLLBACK"), mine.close)  # pyright: ignore[reportArgumentType]


def of_sqlalchemy(url: str) -> Caller:
    """A Connection."""
    mine = _engine(url).connect()
    return Caller(mine, lambda text: mine.execute(sqlalchemy.text(text)), mine.commit, mine.rollback, mine.close)


def of_session(url: str) -> Caller:
    """A Session."""
    mine = Session(_engine(url))
    return Caller(mine, lambda text: mine.execute(sqlalchemy.text(text)), mine.commit, mine.rollback, mine.close)


def of_scoped_session(url: str) -> Caller:
    """What Flask-SQLAlchemy calls db.session."""
    mine = scoped_session(sessionmaker(_engine(url)))
    return Caller(mine, lambda text: mine.execute(sqlalchemy.text(text)), mine.commit, mine.rollback, mine.remove)


def of_sqlite(path: str) -> Caller:
    """As it is opened by default: the first INSERT begins a transaction."""
    mine = sqlite3.connect(path)
    return Caller(mine, mine.execute, mine.commit, mine.rollback, mine.close)


def of_sqlite_with_rows_of_its_own(path: str) -> Caller:
    """Rows come as sqlite3.Row made dicts of, and texts as bytes."""
    caller = of_sqlite(path)
    caller.given.row_factory = lambda cursor, row: {column[0]: row[n] for n, column in enumerate(cursor.description)}
    caller.given.text_factory = bytes
    return caller


def of_sqlite_begun_by_hand(path: str) -> Caller:
    """With BEGIN and COMMIT as statements."""
    mine = sqlite3.connect(path, isolation_level=None)
    mine.execute("BEGIN")

    def end(how: str) -> None:
        mine.execute(how)
        mine.execute("BEGIN")

    return Caller(mine, mine.execute, lambda: end("COMMIT"), lambda: end("ROLLBACK"), mine.close)


async def of_async_psycopg(url: str) -> AsyncCaller:
    """As it is opened by default."""
    mine = await psycopg.AsyncConnection.connect(url)
    return AsyncCaller(mine, mine.execute, mine.commit, mine.rollback, mine.close)  # pyright: ignore[reportArgumentType]


async def of_async_sqlalchemy(url: str) -> AsyncCaller:
    """An AsyncConnection."""
    mine = await create_async_engine(_for_sqlalchemy(url), poolclass=NullPool).connect()
    return AsyncCaller(mine, lambda text: mine.execute(sqlalchemy.text(text)), mine.commit, mine.rollback, mine.close)


async def of_async_session(url: str) -> AsyncCaller:
    """An AsyncSession."""
    mine = AsyncSession(create_async_engine(_for_sqlalchemy(url), poolclass=NullPool))
    return AsyncCaller(mine, lambda text: mine.execute(sqlalchemy.text(text)), mine.commit, mine.rollback, mine.close)


POSTGRES = (
    of_psycopg,
    of_psycopg_with_rows_of_its_own,
    of_psycopg_begun_by_hand,
    of_sqlalchemy,
    of_session,
    of_scoped_session,
)
ASYNC_POSTGRES = (of_async_psycopg, of_async_sqlalchemy, of_async_session)
SQLITE = (
    of_sqlite,
    of_sqlite_with_rows_of_its_own,
    of_sqlite_begun_by_hand,
    of_sqlalchemy,
    of_session,
    of_scoped_session,
)


def _engine(url: str) -> sqlalchemy.Engine:
    return sqlalchemy.create_engine(_for_sqlalchemy(url), poolclass=NullPool)


def _for_sqlalchemy(url: str) -> str:
    return url.replace("postgresql:", "postgresql+psycopg:") if "://" in url else f"sqlite:///{url}"
