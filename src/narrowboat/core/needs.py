"""What a task may touch beyond its arguments: nothing, unless it says so."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

import msgspec

from .errors import ConfigError
from .ids import is_task_name


class Named(Protocol):
    """A task, as far as its name goes."""

    @property
    def name(self) -> str:
        """Its full name."""
        ...


class Needs(msgspec.Struct, frozen=True):
    """What a task may touch.

    enqueue: tasks of which it may enqueue jobs while it runs, or their full names.
    """

    enqueue: Sequence[str | Named] = ()

    def policy(self, task: str) -> NeedsPolicy:
        """The part that is published. Raises ConfigError for a name that cannot be one."""
        return NeedsPolicy(enqueue=tuple(_names(self.enqueue, f"task {task}: Needs(enqueue=...)")))


class NeedsPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """The needs of a task as plain data, for the worker."""

    enqueue: tuple[str, ...] = ()  # names of tasks


def _names(tasks: Iterable[str | Named], where: str) -> Iterable[str]:
    if isinstance(tasks, str):
        raise ConfigError(f"{where} takes a list, such as [{tasks!r}]")
    for task in tasks:
        name = task if isinstance(task, str) else task.name
        if not is_task_name(name):
            raise ConfigError(f"{where}: {name!r} is not the name of a task; write module.function")
        yield name
