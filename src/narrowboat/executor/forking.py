"""What the standard library does in every fork, kept from those of a zygote, which have no use for it.

In case that another thread was using them, `threading` and `logging` make their locks and lists anew in each child, and
`random` goes a long way to seed its generator. A zygote has one thread, and most of the pages that a child copied
before it came to its first line were for this. So this module is imported before those are, and keeps what they
register.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, cast

_WHOSE = {"threading", "logging", "random"}
_kept: list[dict[str, Callable[[], Any]]] = []


@contextmanager
def keeping() -> Generator[None]:
    """What those register that are imported in this block is kept. What others do goes through."""
    register = os.register_at_fork

    def keep(**hooks: Callable[[], Any]) -> None:
        if sys._getframe(1).f_globals.get("__name__") in _WHOSE:  # pyright: ignore[reportPrivateUsage]
            _kept.append(hooks)
        else:
            register(**hooks)

    os.register_at_fork = keep  # type: ignore[assignment]
    try:
        yield
    finally:
        os.register_at_fork = register


with keeping():
    for _name in ("threading", "logging"):
        importlib.import_module(_name)


def seed_random() -> None:
    """In each fork, seed the one generator behind random's functions from the system, without its own class around it.

    Nothing where the app has not imported it.
    """
    random: Any = sys.modules.get("random")
    if random is not None:
        generator = cast(Any, super(random.Random, random.seed.__self__))
        os.register_at_fork(after_in_child=generator.seed)


def is_single() -> bool:
    """Whether this process has but the one thread of Python's."""
    import threading  # not above, or it would be there too early

    return threading.active_count() == 1


def as_usual() -> None:
    """From now on, forks of this process are what they are elsewhere."""
    while _kept:
        os.register_at_fork(**_kept.pop(0))
