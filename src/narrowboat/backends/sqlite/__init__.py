"""Jobs in one SQLite file: no server, every process of one machine."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qsl, unquote

from ...core.errors import BackendUnavailable, ConfigError
from .backend import SQLiteBackend as SQLiteBackend
from .connection import DURABILITIES


def path_of(url: str) -> Path:
    """The file that a URL names. Raises ConfigError when it names none."""
    rest = url.removeprefix("sqlite://").partition("?")[0]
    path = unquote(rest.removeprefix("/"))
    if not rest.startswith("/") or not path:
        raise ConfigError(
            f"{url!r} names no file; write sqlite:///jobs.db, or sqlite:////srv/jobs.db for an absolute path"
        )
    return Path(path)


def open_url(url: str, *, make: bool = True) -> SQLiteBackend:
    """`sqlite:///relative.db` or `sqlite:////absolute.db`, with `?durability=full|normal`.

    Raises ConfigError, and with make=False BackendUnavailable for a file that is not there.
    """
    path = path_of(url)
    durability = "full"
    for name, value in parse_qsl(url.partition("?")[2], keep_blank_values=True):
        if name != "durability":
            raise ConfigError(f"{url!r}: there is no setting {name!r}; known: durability")
        if value not in DURABILITIES:
            raise ConfigError(f"{url!r}: durability is {' or '.join(DURABILITIES)}, not {value!r}")
        durability = value
    if not make and not path.exists():
        raise BackendUnavailable(
            f"{path.absolute()} does not exist: no job was enqueued and no worker was started there yet; "
            "go to the project's folder, or set NARROWBOAT_URL"
        )
    return SQLiteBackend(path, durability=durability)
