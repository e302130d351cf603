"""From the errors of PostgreSQL to ours, and which of them are worth another try."""

from __future__ import annotations

import re
from enum import Enum

import psycopg

from ...core.errors import BackendError, BackendUnavailable, ConfigError, UnknownWorker

UNKNOWN_WORKER = "NB001"
# Of a connection that the server refuses, libpq tells the words only, and not the SQLSTATE.
_HOPELESS = re.compile(
    r'(database|role) ".*" does not exist|authentication failed|no password supplied|no pg_hba\.conf entry'
    r"|certificate verify failed|server certificate for .* does not match|server does not support SSL"
)


class Remedy(Enum):
    """What may help."""

    NONE = "none"
    AGAIN = "again"  # nothing of it was done
    ANEW = "anew"  # on another connection; whether it was done is not known
    UNPREPARED = "unprepared"  # a pooler in between knows no prepared statements; nothing was done


def remedy(error: psycopg.Error) -> Remedy:
    """What may help against an error."""
    code = error.sqlstate
    if code is None and _HOPELESS.search(str(error)):
        return Remedy.NONE
    if code is None:
        return Remedy.ANEW if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError) else Remedy.NONE
    if code == "26000" or (code in ("42P05", "0A000", "08P01") and "prepared statement" in str(error)):
        return Remedy.UNPREPARED
    if code in ("40001", "40P01") or (code.startswith("53") and code != "53100"):  # a full disk stays full
        return Remedy.AGAIN
    if code in ("57P01", "57P02", "57P03", "57P05", "25006") or code.startswith("08"):
        return Remedy.ANEW
    return Remedy.NONE


def in_our_words(error: psycopg.Error, location: str) -> Exception:
    """The error that is raised instead."""
    code, text = error.sqlstate or "", _first_line(error)
    if code == UNKNOWN_WORKER:
        return UnknownWorker(f"{text}: it has not published here, or was forgotten; publish again")
    if code == "42501":
        return ConfigError(
            f"{location}: this role may not do that ({text}); let one that may run `narrowboat migrate`, and grant "
            "this one USAGE on the schema, EXECUTE on its functions and SELECT, INSERT, UPDATE, DELETE on its tables"
        )
    if code in ("28P01", "28000", "3D000") or (not code and _HOPELESS.search(str(error))):
        return ConfigError(f"{location}: {text}")
    if code in ("3F000", "42P01", "42883", "42703"):
        return ConfigError(
            f"{location}: the schema is not what this Narrowboat needs ({text}); run `narrowboat migrate`"
        )
    if code == "55P03":
        return BackendUnavailable(
            f"{location}: another transaction keeps what this needs locked for seconds ({text}); nothing was written"
        )
    if code == "53100":
        return BackendUnavailable(f"{location}: the server's disk is full ({text}); nothing was written")
    if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return BackendUnavailable(f"{location}: {text}")
    if code == "25006":
        return BackendUnavailable(
            f"{location}: the server takes no writes at the moment ({text}), as in a fail-over, or while the disk of a "
            "service is full; nothing was written"
        )
    return BackendError(f"{location}: {text} (SQLSTATE {code})")


def _first_line(error: psycopg.Error) -> str:
    message = error.diag.message_primary or str(error) or type(error).__name__
    return message.strip().splitlines()[0][:300] if message.strip() else type(error).__name__
