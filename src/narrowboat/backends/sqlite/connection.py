"""Connections: one that writes, and as many that read as there are reads at a time, for this process only."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import weakref
from collections import deque
from collections.abc import Generator
from contextlib import AbstractContextManager
from pathlib import Path

from ...core.errors import BackendError, BackendUnavailable, ConfigError, SchemaTooNew
from .queries import sql

DURABILITIES = ("full", "normal")
SCHEMA_VERSION = 6
MOST_IDLE = 16  # readers that are kept for the next read
APPLICATION_ID = 0x6E62_6F61  # marks the file as ours
_leaked: list[object] = []  # of a parent process: to close them here would disturb its file locks and its WAL


class Connections:
    """Opens what is asked for, and opens it again after a fork.

    A connection belongs to the thread that uses it, until it is given back: to close one in the middle of a call of
    another thread ends the process (sqlite3 of Python reads the freed handle).
    """

    def __init__(self, path: Path, timeout_s: float) -> None:
        self.path, self._timeout_s = path.absolute(), timeout_s
        self.is_closed = False
        self._start()

    def _start(self) -> None:
        self._pid = os.getpid()
        self._readers: deque[sqlite3.Connection] = deque()  # these wait for their next use
        self._writers: deque[sqlite3.Connection] = deque()
        self._open: set[sqlite3.Connection] = set()  # these, and those in use
        for idle in (self._readers, self._writers):  # of a backend that nobody closes, at the latest at exit
            weakref.finalize(self, _close, idle, self._open, self._pid)

    def forget_after_fork(self) -> bool:
        """In a forked child, leave everything of the parent alone; True if there was anything."""
        if self._pid == os.getpid():
            return False
        _leaked.append((self._open, self._readers, self._writers))
        self._start()
        return True

    def reading(self) -> AbstractContextManager[sqlite3.Connection]:
        """A connection for one read. Not one for each thread: web servers start threads without end."""
        self.forget_after_fork()
        return self._lent(self._readers, MOST_IDLE)

    def writing(self) -> AbstractContextManager[sqlite3.Connection]:
        """The connection that writes, which has been used before if it can be."""
        self.forget_after_fork()
        return self._lent(self._writers, 1)

    @contextlib.contextmanager
    def _lent(self, idle: deque[sqlite3.Connection], most: int) -> Generator[sqlite3.Connection]:
        if self.is_closed:
            raise BackendUnavailable(f"{self.path}: this backend was closed")
        try:
            connection = idle.pop()
        except IndexError:
            connection = self._connect()
        try:
            yield connection
        finally:
            if connection in self._open:  # not of the parent process
                if len(idle) < most:
                    idle.append(connection)
                else:
                    self._open.discard(connection)
                    connection.close()
                if self.is_closed:  # meanwhile
                    _close(idle, self._open, self._pid)

    def _connect(self) -> sqlite3.Connection:
        with errors_said_plainly(self.path):
            connection = sqlite3.connect(
                self.path, timeout=self._timeout_s, isolation_level=None, check_same_thread=False, cached_statements=256
            )
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = FULL")
                connection.execute("PRAGMA wal_autocheckpoint = 4000")
                connection.execute("PRAGMA cache_size = -16000")
                # A statement that changes many pages keeps them aside; in a file that takes as long as the changes.
                connection.execute("PRAGMA temp_store = MEMORY")
            except BaseException:
                connection.close()
                raise
        self._open.add(connection)
        return connection

    def close(self) -> None:
        """Close what this process has opened: now what waits, and what is in use when it is given back."""
        self.is_closed = True
        if not self.forget_after_fork():
            for idle in (self._readers, self._writers):
                _close(idle, self._open, self._pid)


def _close(idle: deque[sqlite3.Connection], connections: set[sqlite3.Connection], pid: int) -> None:
    if pid == os.getpid():
        with contextlib.suppress(IndexError):
            while True:
                connection = idle.pop()
                connections.discard(connection)
                connection.close()


def prepare(connection: sqlite3.Connection, path: Path) -> None:
    """Make the tables in an empty file; refuse a file of someone else, or of a newer version.

    The caller holds the write lock of the file.
    """
    with errors_said_plainly(path):
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if application == APPLICATION_ID and version == SCHEMA_VERSION:
            return
        if application == APPLICATION_ID and version > SCHEMA_VERSION:
            raise SchemaTooNew(
                f"{path} was made by a newer Narrowboat (its format is {version}, this one knows {SCHEMA_VERSION}); "
                "update Narrowboat here, or point NARROWBOAT_URL at another file"
            )
        if application == APPLICATION_ID and version == 5:
            _run(connection, sql("upgrade_5"))
            return
        if application == APPLICATION_ID:
            raise ConfigError(f"{path} was made by a Narrowboat before its first release; start with a new file")
        if tables:
            raise ConfigError(
                f"{path} is a SQLite database of another application; point NARROWBOAT_URL at a file of its own"
            )
        _run(connection, f"{sql('schema')}\nPRAGMA application_id = {APPLICATION_ID};")


def _run(connection: sqlite3.Connection, script: str) -> None:
    connection.executescript(f"BEGIN IMMEDIATE;\n{script}\nPRAGMA user_version = {SCHEMA_VERSION};\nCOMMIT;")


@contextlib.contextmanager
def errors_said_plainly(path: Path) -> Generator[None]:
    """Turn SQLite's errors into BackendUnavailable that says what and what to do."""
    try:
        yield
    except BackendError:
        raise
    except sqlite3.DatabaseError as error:
        raise BackendUnavailable(f"{path}: {_in_words(error, path)}") from error


def _in_words(error: sqlite3.DatabaseError, path: Path) -> str:
    code = getattr(error, "sqlite_errorcode", None)
    primary = None if code is None else code & 0xFF
    if primary == sqlite3.SQLITE_READONLY:
        return "the file or its folder cannot be written; give this user write access to both"
    if primary == sqlite3.SQLITE_FULL:
        return "the disk is full, nothing was written; free some space"
    if primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return (
            "another program keeps the database locked (an open transaction in the sqlite3 shell?); nothing was written"
        )
    if primary == sqlite3.SQLITE_CANTOPEN:
        missing = "" if path.parent.is_dir() else f"; the folder {path.parent} does not exist"
        return f"the file cannot be opened{missing}"
    if primary in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
        return f"this is not a sound SQLite database ({error}); restore it, or point NARROWBOAT_URL at another file"
    return str(error)
