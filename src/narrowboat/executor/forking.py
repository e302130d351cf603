"""What the standard library does in every fork, kept from those of a zygote, which have no use for it.

In case that another thread was using them, `threading` and `logging` make their locks and lists anew in each child. A
zygote has one thread, and most of the pages that a child copied before it came to its first line were for this. So this
module is imported before those two are, and keeps what they register.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from typing import Any

_kept: list[dict[str, Callable[[], Any]]] = []


def _import_them() -> None:
    register = os.register_at_fork
    os.register_at_fork = lambda **hooks: _kept.append(hooks)  # type: ignore[assignment]
    try:
        for name in ("threading", "logging"):
            importlib.import_module(name)
    finally:
        os.register_at_fork = register


_import_them()


def is_single() -> bool:
    """Whether this process has but the one thread of Python's."""
    import threading  # not above, or it would be there too early

    return threading.active_count() == 1


def as_usual() -> None:
    """From now on, forks of this process are what they are elsewhere."""
    while _kept:
        os.register_at_fork(**_kept.pop(0))
