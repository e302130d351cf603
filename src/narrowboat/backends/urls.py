"""From a URL to a backend, or from two, where one service delivers and another keeps the record.

Only the modules that the schemes name are loaded.
"""

from __future__ import annotations

import importlib
import os
import re
from pathlib import Path
from typing import Any

from ..core.errors import ConfigError
from .base import Backend
from .transport import Transport

VARIABLE = "NARROWBOAT_URL"
STORE_VARIABLE = "NARROWBOAT_STORE"
FILES_VARIABLE = "NARROWBOAT_FILES"
MODULES = {
    "sqlite": "narrowboat.backends.sqlite",
    "memory": "narrowboat.backends.memory",
    "postgresql": "narrowboat.backends.postgres",
    "postgres": "narrowboat.backends.postgres",
    "redis": "narrowboat.backends.redis",
    "rediss": "narrowboat.backends.redis",
    "unix": "narrowboat.backends.redis",
}
TRANSPORTS = {
    "amqp": "narrowboat.backends.rabbitmq",
    "amqps": "narrowboat.backends.rabbitmq",
    "sqs": "narrowboat.backends.sqs",
    "gearman": "narrowboat.backends.gearman",
}


def open_backend(url: str, store: str | None = None, *, make: bool = True) -> Backend:
    """The backend that a URL names. make=False: to look only; a file or tables that are not there are not made.

    store: the URL of what keeps the record, where `url` is a transport's; None: see `resolve_store`.
    Raises ConfigError for a URL that names none, BackendUnavailable.
    """
    scheme = _scheme(url)
    if scheme in TRANSPORTS:
        kept = _open_store(resolve_store(store)[0], make)
        transport: Transport = importlib.import_module(TRANSPORTS[scheme]).open_transport(url)
        relay: Backend = importlib.import_module("narrowboat.backends.relay").RelayBackend(transport, kept)
        return relay
    if scheme not in MODULES:
        known = ", ".join(f"{name}://" for name in (*MODULES, *TRANSPORTS))
        what = f"the scheme {scheme}:// is not known" if scheme else "it has no scheme"
        raise ConfigError(f"{redacted(url)!r} does not name a backend: {what}; known: {known} (from {VARIABLE}?)")
    backend: Backend = importlib.import_module(MODULES[scheme]).open_url(url, make=make)
    return backend


def _open_store(url: str, make: bool) -> Backend:
    scheme = _scheme(url)
    if scheme in TRANSPORTS:
        raise ConfigError(f"{redacted(url)} only delivers: {STORE_VARIABLE} must name what keeps jobs")
    if scheme == "memory":
        raise ConfigError(f"memory:// lives inside one process: {STORE_VARIABLE} must name what all of them share")
    return open_backend(url, make=make)


def _scheme(url: str) -> str:
    return url.partition("://")[0] if "://" in url else ""


def is_transport(url: str) -> bool:
    """Whether a URL names a service that only delivers."""
    return _scheme(url) in TRANSPORTS


def record_of(url: str, store: str | None = None) -> str:
    """The URL of what keeps the record: the URL itself, unless it is a transport's."""
    return resolve_store(store)[0] if is_transport(url) else url


def redacted(url: str) -> str:
    """The URL with its password as ***."""
    return re.sub(r"(?<=://)([^/@:]*):[^@/]*@", r"\1:***@", url)


def resolve(url: str | None = None) -> tuple[str, str]:
    """The URL to use and where it comes from: the argument, the environment, pyproject.toml, the default."""
    return _resolve("url", VARIABLE, url)


def resolve_store(store: str | None = None) -> tuple[str, str]:
    """The URL of what keeps the record for a transport, and where it comes from, in the same order."""
    return _resolve("store", STORE_VARIABLE, store)


def _resolve(name: str, variable: str, url: str | None) -> tuple[str, str]:
    if url:
        return url, "argument"
    if from_environment := os.environ.get(variable):
        return from_environment, f"environment, {variable}"
    project = nearest_project(Path.cwd())
    found = project_settings(project).get(name) if project else None
    if found:
        if not isinstance(found, str):
            raise ConfigError(f"{project}/pyproject.toml: [tool.narrowboat] {name} must be text, not {found!r}")
        return found, f"pyproject.toml, [tool.narrowboat] {name}"
    return f"sqlite:///{(project or Path.cwd()) / 'narrowboat.db'}", "default"


def resolve_files(url: str | None, backend: Backend) -> tuple[str | None, str]:
    """The URL of the file store, in the same order, and what a folder for it is called where there is none."""
    project = nearest_project(Path.cwd())
    found = url or os.environ.get(FILES_VARIABLE) or (project_settings(project).get("files") if project else None)
    if found is not None and not isinstance(found, str):
        raise ConfigError(f"{project}/pyproject.toml: [tool.narrowboat] files must be text, not {found!r}")
    return found, backend.beside or str((project or Path.cwd()) / "narrowboat")


def nearest_project(start: Path) -> Path | None:
    """The closest folder, from `start` upwards, that has a pyproject.toml."""
    return next((folder for folder in (start, *start.parents) if (folder / "pyproject.toml").is_file()), None)


def project_settings(project: Path) -> dict[str, Any]:
    """The table [tool.narrowboat] of a project's pyproject.toml. Raises ConfigError for a file that cannot be read."""
    import tomllib

    pyproject = project / "pyproject.toml"
    try:
        content = tomllib.loads(pyproject.read_text())
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{pyproject} cannot be read: {error}") from error
    found: dict[str, Any] = content.get("tool", {}).get("narrowboat", {})
    return found
