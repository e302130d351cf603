"""Import the app, and say what it wanted when it cannot be imported."""

from __future__ import annotations

import importlib
import os
import stat
import sys
import threading
import traceback
from collections.abc import Iterable
from types import ModuleType
from typing import Any, cast

from .. import kernel
from ..core.runnable import RunnableApp

_OWN = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_STDLIB = os.path.dirname(os.__file__)


class ImportProblem(Exception):
    """The app cannot be imported. traceback: the app's own frames; remedy: what to do, if that can be told."""

    def __init__(self, text: str, remedy: str = "") -> None:
        super().__init__(text)
        self.traceback, self.remedy = text, remedy


class WatchedEnvironment(os._Environ[str]):  # pyright: ignore[reportPrivateUsage]
    """os.environ that remembers which missing variables were asked for, and where."""

    missed: list[tuple[str, str]]

    def __getitem__(self, key: str) -> str:
        try:
            return super().__getitem__(key)
        except KeyError:
            where = _asking_line()
            if where and (key, where) not in self.missed:
                self.missed.append((key, where))
            raise


def watch_environment() -> list[tuple[str, str]]:
    """From now on, note missing environment variables that code outside the standard library asks for."""
    WatchedEnvironment.missed = []
    os.environ.__class__ = WatchedEnvironment  # type: ignore[assignment]
    return WatchedEnvironment.missed


def import_app(target: str, missed: list[tuple[str, str]]) -> RunnableApp:
    """The App that "module:attribute" names. Raises ImportProblem."""
    module_name, _, attribute = target.partition(":")
    try:
        module = importlib.import_module(module_name)
    except BaseException as error:
        raise ImportProblem(_own_traceback(error), _remedy(error, module_name, missed)) from error
    found: Any = module
    for part in (attribute or "app").split("."):
        if not hasattr(found, part):
            raise ImportProblem(f"module {module_name} has no {attribute or 'app'}", _apps_in(module))
        found = getattr(found, part)
    if not hasattr(found, "runnables"):
        raise ImportProblem(f"{target} is a {type(found).__name__}, not a narrowboat.App", _apps_in(module))
    try:
        found.load()
    except BaseException as error:
        raise ImportProblem(_own_traceback(error), _remedy(error, module_name, missed)) from error
    return cast(RunnableApp, found)


def leftovers(own_descriptors: Iterable[int]) -> list[str]:
    """What the import started that a fork cannot carry over: threads and connections."""
    found = [
        f"thread {thread.name!r} (runs {_target(thread)}) was started while the app was imported; "
        "it does not exist in executors, and a lock that it holds is never released there"
        for thread in threading.enumerate()
        if thread is not threading.main_thread()
    ]
    for number in kernel.open_descriptors():
        try:
            mode = os.fstat(number).st_mode
        except OSError:
            continue
        if stat.S_ISSOCK(mode) and number not in own_descriptors:
            found.append(
                f"a connection (descriptor {number}, {_peer(number)}) was opened while the app was imported; "
                "it is closed in executors; open it where it is used"
            )
    return found


def _asking_line() -> str:
    """File and line of the nearest caller outside os, this package and the standard library; or nothing."""
    frame = sys._getframe(1)  # pyright: ignore[reportPrivateUsage]
    while frame:
        file = frame.f_code.co_filename
        if file.startswith(_OWN) and not file.startswith(__file__):
            return ""
        is_ours = file.startswith(_STDLIB) and "site-packages" not in file
        if not is_ours and file != __file__ and not file.startswith("<"):
            return f"{file}:{frame.f_lineno}"
        frame = frame.f_back
    return ""


def _own_traceback(error: BaseException) -> str:
    """The traceback without the frames of this package and of importlib."""
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith((_OWN, "<frozen importlib")) and frame.filename != importlib.__file__
    ]
    listed = "".join(traceback.format_list(frames))
    head = "Traceback (most recent call last):\n" if frames else ""
    return f"{head}{listed}{''.join(traceback.format_exception_only(error))}"


def _remedy(error: BaseException, module_name: str, missed: list[tuple[str, str]]) -> str:
    if isinstance(error, ModuleNotFoundError) and error.name and module_name.startswith(error.name):
        return f"no module {error.name!r} in {os.getcwd()} or on the path; start the worker in the project's folder"
    if not missed:
        return ""
    text = str(error)
    likely = [(name, where) for name, where in missed if name in text] or missed[-3:]
    lines = [f"{where} wanted the environment variable {name}" for name, where in likely]
    placeholders = ", ".join(f'"{name}": "withheld"' for name, _ in likely)
    return (
        "\n".join(lines)
        + "\nExecutors import the app without the worker's environment, so that no job can read a secret.\n"
        + "If only the import needs it, declare a placeholder before that import: "
        + f"App(..., import_env={{{placeholders}}})"
    )


def _apps_in(module: ModuleType) -> str:
    members: dict[str, Any] = vars(module)
    names = [name for name in members if hasattr(members[name], "runnables") and not isinstance(members[name], type)]
    return f"did you mean {module.__name__}:{names[0]}?" if names else "it should be a narrowboat.App"


def _target(thread: threading.Thread) -> str:
    target = getattr(thread, "_target", None)
    return f"{target.__module__}.{target.__qualname__}" if target else type(thread).__module__


def _peer(number: int) -> str:
    import socket

    with socket.socket(fileno=os.dup(number)) as connection:
        try:
            return f"to {connection.getpeername()}"
        except OSError:
            return "not connected"
