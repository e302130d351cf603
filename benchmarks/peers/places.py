"""Where jobs are kept while they are measured: one server of each kind for a whole run."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Protocol

from .. import postgres_server, redis_server

CONNECTIONS = 1000  # to PostgreSQL: fleets of 64 workers, some with pools of ten


class Place(Protocol):
    """A server, or what stands for one. pid: of its process, None where the workers do its work themselves."""

    @property
    def pid(self) -> int | None:
        """Its process, with all below it."""
        ...

    def fresh(self) -> str:
        """A URL with nothing in it."""
        ...

    def used(self) -> int:
        """Bytes that it keeps there now."""
        ...


class SQLite:
    """A file, each commit on the disk."""

    pid = None

    def __init__(self, folder: Path) -> None:
        self._folder, self._files = folder, 0

    def fresh(self) -> str:
        """The URL of a new file."""
        self._files += 1
        return f"sqlite:///{self._file}?durability=full"

    def used(self) -> int:
        """Bytes of it and its write-ahead log."""
        return sum(file.stat().st_size for file in self._folder.glob(f"{self._file.name}*"))

    @property
    def _file(self) -> Path:
        return self._folder / f"jobs{self._files}.db"


class Places(contextlib.ExitStack):
    """Started at first use, stopped with the run."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder, self._running = folder, dict[str, Place]()

    def get(self, kind: str) -> Place:
        """`redis`, `postgresql` or `sqlite`. Raises RuntimeError where it is not installed."""
        if kind not in self._running:
            self._running[kind] = self._start(kind)
        return self._running[kind]

    def _start(self, kind: str) -> Place:
        match kind:
            case "redis":
                return self.enter_context(redis_server.private(self._folder))
            case "postgresql":
                return self.enter_context(postgres_server.private(CONNECTIONS))
            case _:
                return SQLite(self._folder)
