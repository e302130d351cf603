"""The driver's own connection out of whatever an application works with: SQLAlchemy's, Django's, or that connection.

Told by the names of classes, so that nothing is imported that the application has not. Raises ConfigError for what is
of no use; nothing is ever committed.
"""

from __future__ import annotations

import sys
from typing import Any, cast

from ..core.errors import ConfigError

_SESSIONS = {
    "sqlalchemy.orm.session.Session",
    "sqlalchemy.orm.scoping.scoped_session",
}
_CONNECTION = "sqlalchemy.engine.base.Connection"
_ASYNC_SESSIONS = {
    "sqlalchemy.ext.asyncio.session.AsyncSession",
    "sqlalchemy.ext.asyncio.scoping.async_scoped_session",
}
_ASYNC_CONNECTION = "sqlalchemy.ext.asyncio.engine.AsyncConnection"
_DJANGO = {
    "django.db.backends.base.base.BaseDatabaseWrapper",
    "django.utils.connection.ConnectionProxy",
}


def unwrap(given: Any) -> Any:
    """The driver's connection, in the transaction that `given` has under way or would begin by itself.

    given: a SQLAlchemy Connection or Session, a Django alias or connection; anything else is returned as it is.
    """
    names = _names(given)
    if _ASYNC_CONNECTION in names or names & _ASYNC_SESSIONS:
        raise is_async(given)
    if names & _SESSIONS:
        return _of_sqlalchemy(given.connection())
    if _CONNECTION in names:
        return _of_sqlalchemy(given)
    if isinstance(given, str):
        return _of_django(_by_alias(given))
    if names & _DJANGO:
        return _of_django(given)
    return given


async def aunwrap(given: Any) -> Any:
    """`unwrap` for async code, which takes a SQLAlchemy AsyncSession or AsyncConnection, too."""
    names = _names(given)
    if names & _ASYNC_SESSIONS:
        given = await given.connection()
        names = _names(given)
    if _ASYNC_CONNECTION in names:
        _refuse_closed(given)
        if not given.in_transaction():
            await given.begin()
        return (await given.get_raw_connection()).driver_connection
    return unwrap(given)


def is_async(given: Any) -> ConfigError:
    """What is raised where an async connection was given to sync code."""
    return ConfigError(
        f"connection= is {described(given)}, which only async code can use: await task.using(...).aenqueue(...)"
    )


def described(given: Any, found: Any = None) -> str:
    """What somebody gave, and what was found in it, for an error: "a psycopg2.extensions.connection"."""
    if found is not None and found is not given:
        return f"{described(given)} on {described(found)}"
    if isinstance(given, str):
        return repr(given)
    kind = cast("type[object]", type(given))
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def _names(given: Any) -> set[str]:
    return {f"{kind.__module__}.{kind.__qualname__}" for kind in type(given).__mro__}


def _of_sqlalchemy(connection: Any) -> Any:
    _refuse_closed(connection)
    if not connection.in_transaction():
        connection.begin()  # as it does with its own first statement: it commits only what it knows to have begun
    return connection.connection.driver_connection


def _refuse_closed(connection: Any) -> None:
    if connection.closed:
        raise ConfigError(f"connection= is {described(connection)} that is closed")


def _by_alias(alias: str) -> Any:
    django = sys.modules.get("django.db")
    if django is None:
        raise ConfigError(
            f"connection={alias!r}: a text is the alias of a Django database, and Django is not in use here"
        )
    if alias not in django.connections:
        known = ", ".join(django.connections)
        raise ConfigError(f"connection={alias!r}: Django's DATABASES has no such alias; it has {known}")
    return django.connections[alias]


def _of_django(wrapper: Any) -> Any:
    wrapper.ensure_connection()
    wrapper.validate_thread_sharing()
    wrapper.validate_no_broken_transaction()
    return wrapper.connection
