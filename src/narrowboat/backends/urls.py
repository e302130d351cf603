"""From a URL to a backend. Only the module that the scheme names is loaded."""

from __future__ import annotations

import importlib
import os
import re
from pathlib import Path
from typing import Any

from ..core.errors import ConfigError
from .base import Backend

VARIABLE = "NARROWBOAT_URL"
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


def open_backend(url: str, *, make: bool = True) -> Backend:
    """The backend that a URL names. make=False: to look only; a file or tables that are not there are not made.

    Raises ConfigError for a URL that names none, BackendUnavailable.
    """
    scheme = url.partition("://")[0] if "://" in url else ""
    if scheme not in MODULES:
        known = ", ".join(f"{name}://" for name in MODULES)
        what = f"the scheme {scheme}:// is not known" if scheme else "it has no scheme"
        raise ConfigError(f"{redacted(url)!r} does not name a backend: {what}; known: {known} (from {VARIABLE}?)")
    backend: Backend = importlib.import_module(MODULES[scheme]).open_url(url, make=make)
    return backend


def redacted(url: str) -> str:
    """The URL with its password as ***."""
    return re.sub(r"(?<=://)([^/@:]*):[^@/]*@", r"\1:***@", url)


def resolve(url: str | None = None) -> tuple[str, str]:
    """The URL to use and where it comes from: the argument, the environment, pyproject.toml, the default."""
    if url:
        return url, "argument"
    if from_environment := os.environ.get(VARIABLE):
        return from_environment, f"environment, {VARIABLE}"
    project = nearest_project(Path.cwd())
    found = project_settings(project).get("url") if project else None
    if found:
        if not isinstance(found, str):
            raise ConfigError(f"{project}/pyproject.toml: [tool.narrowboat] url must be text, not {found!r}")
        return found, "pyproject.toml, [tool.narrowboat] url"
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
