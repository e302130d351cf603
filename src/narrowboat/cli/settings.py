"""What can be set, and where: flag > environment > [tool.narrowboat] in pyproject.toml > default."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, cast

import click

from ..core.errors import ConfigError
from ..core.units import seconds, size

F = TypeVar("F", bound=Callable[..., Any])
SANDBOX_MODES = ("require", "best", "off")
EXECUTOR_USER = "64738"  # a number that no system gives to anybody
LOG_FORMATS = ("auto", "human", "json")


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("give text")
    return value


def _count(value: Any) -> int:
    found = int(value) if isinstance(value, str) and value.isdecimal() else value
    if not isinstance(found, int) or isinstance(found, bool) or found < 0:
        raise ValueError("give a whole number")
    return found


def _queues(value: Any) -> str:
    return ",".join(map(str, cast(list[Any], value))) if isinstance(value, list) else _text(value)


def _format(value: Any) -> str:
    if value not in LOG_FORMATS:
        raise ValueError(f"give one of {', '.join(LOG_FORMATS)}")
    return str(value)


def _sandbox(value: Any) -> str:
    if value not in SANDBOX_MODES:
        raise ValueError(f"give one of {', '.join(SANDBOX_MODES)}")
    return str(value)


def _user(value: Any) -> int:
    """A number, or a name on this machine."""
    if isinstance(value, int) or str(value).isdecimal():
        return _count(value)
    import pwd

    try:
        return pwd.getpwnam(_text(value)).pw_uid
    except KeyError:
        raise ValueError("there is no such user") from None


@dataclass(frozen=True, slots=True)
class Setting:
    """One of them. `read` makes a value of what a person wrote; it raises ValueError or ConfigError."""

    name: str
    flags: tuple[str, ...]
    read: Callable[[Any], Any]
    default: str
    help: str
    metavar: str = "TEXT"

    @property
    def variable(self) -> str:
        """The environment variable."""
        return f"NARROWBOAT_{self.name.upper()}"


class Found(NamedTuple):
    """A value, where it came from, and how it was written there."""

    value: Any
    origin: str
    written: str = ""


SETTINGS = (
    Setting("app", (), _text, "", "The app, as module:attribute.", "APP"),
    Setting("queues", ("-q", "--queues"), _queues, "", 'Queues, some with own slots: "images=2,email".', "NAMES"),
    Setting("slots", ("-n", "--slots"), _count, "", "Executors in all [default: the sum of -q, or one a CPU]", "N"),
    Setting("drain", ("--drain",), seconds, "25s", "How long running jobs may finish.", "TIME"),
    Setting("lease", ("--lease",), seconds, "30s", "For how long a claim holds unrenewed.", "TIME"),
    Setting("max_jobs", ("--max-jobs",), _count, "", "Replace an executor after so many jobs.", "N"),
    Setting("max_age", ("--max-age",), seconds, "", "Replace an executor after so long.", "TIME"),
    Setting("max_memory", ("--max-memory",), size, "", "Replace an executor that holds more of its own memory", "SIZE"),
    Setting("max_run_time", ("--max-run-time",), seconds, "", "Replace the worker itself after so long.", "TIME"),
    Setting("health_port", ("--health-port",), _count, "", "Answer /livez and /readyz on this port.", "PORT"),
    Setting("health_host", ("--health-host",), _text, "127.0.0.1", "The address for that.", "HOST"),
    Setting("sandbox", ("--sandbox",), _sandbox, "best", "require (or do not start), best, or off.", "MODE"),
    Setting("executor_user", ("--executor-user",), _user, EXECUTOR_USER, "Whom executors run as, under root.", "USER"),
    Setting("files", ("--files",), _text, "", "File store; default: a folder beside the database.", "URL"),
    Setting("log_format", ("--log-format",), _format, "auto", "human, json, or auto: human on a terminal.", "FORMAT"),
)  # fmt: skip
BY_NAME = {setting.name: setting for setting in SETTINGS}


def setting_options(*names: str) -> Callable[[F], F]:
    """The flags of these settings, for a command; their values are None where they were not given."""

    def add(function: F) -> F:
        for name in reversed(names):
            setting = BY_NAME[name]
            default = f" [default: {setting.default}]" if setting.default else ""
            option = click.option(*setting.flags, name, metavar=setting.metavar, help=setting.help + default)
            function = option(function)
        return function

    return add


def find_all(flags: Mapping[str, Any] | None = None) -> dict[str, Found]:
    """Every setting, with its origin. Raises ConfigError for what cannot be one, with the place where it stands."""
    project, table = _table()
    return {setting.name: _find(setting, (flags or {}).get(setting.name), project, table) for setting in SETTINGS}


def _find(setting: Setting, flag: Any, project: Path | None, table: Mapping[str, Any]) -> Found:
    places = (
        (flag, " ".join(setting.flags[-1:]) or "argument", "flag"),
        (os.environ.get(setting.variable) or None, setting.variable, f"environment, {setting.variable}"),
        (table.get(setting.name), f"{project}/pyproject.toml, [tool.narrowboat] {setting.name}", "pyproject.toml"),
        (setting.default or None, setting.name, "default"),
    )
    for written, place, origin in places:
        if written is not None:
            try:
                return Found(setting.read(written), origin, str(written))
            except (ValueError, ConfigError) as error:
                raise ConfigError(f"{place} = {written!r}: {error}") from None
    return Found(None, "default")


def _table() -> tuple[Path | None, dict[str, Any]]:
    """[tool.narrowboat] of the nearest project. Raises ConfigError for names that it does not know."""
    from ..backends.urls import nearest_project, project_settings

    project = nearest_project(Path.cwd())
    table = project_settings(project) if project else {}
    for name in table:
        if name not in BY_NAME and name not in ("url", "store"):
            close = difflib.get_close_matches(name, ["url", "store", *BY_NAME], n=1)
            hint = f"did you mean {close[0]}?" if close else f"known: url, store, {', '.join(BY_NAME)}"
            raise ConfigError(f"{project}/pyproject.toml: [tool.narrowboat] has no {name}: {hint}")
    return project, table
