"""Errors as bounded text, without the frames of this package."""

from __future__ import annotations

import os
import traceback

from ..core.outcome import ErrorInfo

_OWN = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def describe(error: BaseException) -> ErrorInfo:
    """Type, message and traceback of an error and of those it came from."""
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    whole = traceback.TracebackException.from_exception(error, limit=-60)
    for part in _chain(whole):
        part.stack = traceback.StackSummary.from_list([f for f in part.stack if not f.filename.startswith(_OWN)])
    try:
        message = str(error)
    except Exception:  # noqa: BLE001  (a hostile or broken __str__)
        message = "(its message cannot be shown)"
    return ErrorInfo(type=name, message=message, traceback="".join(whole.format())).bounded()


def _chain(part: traceback.TracebackException | None) -> list[traceback.TracebackException]:
    found: list[traceback.TracebackException] = []
    while part is not None:
        found.append(part)
        part = part.__cause__ or part.__context__
    return found
