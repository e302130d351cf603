"""The name of a task: the path by which its function is imported."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..core.errors import ConfigError
from ..core.ids import is_task_name


def task_name(function: Callable[..., Any], name: str | None) -> str:
    """`name` if given, else module and qualified name. Raises ConfigError for what cannot be a name."""
    found = name or f"{_module(function)}.{function.__qualname__}"
    if "<lambda>" in found or "<locals>" in found:
        raise ConfigError(
            f"task {found}: a worker imports a task by its path, and this one has none; "
            "define it at the top of a module, or give it a name="
        )
    if not is_task_name(found):
        raise ConfigError(f"task name {found!r}: use letters, digits, _ and dots, at most 200 characters")
    return found


def _module(function: Callable[..., Any]) -> str:
    """The module's import path; for `python app.py`, the one that a worker would import: "app"."""
    if function.__module__ != "__main__":
        return function.__module__
    main = sys.modules["__main__"]
    spec = getattr(main, "__spec__", None)
    if spec is not None:  # python -m package.module
        return str(spec.name).removesuffix(".__main__")
    file = getattr(main, "__file__", None)
    if file is None:
        raise ConfigError("a task defined at the prompt cannot be imported by a worker; put it into a file")
    return Path(file).stem
