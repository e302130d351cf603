"""What is published about a task: plain data, from the zygote to the worker and on to the backend."""

from __future__ import annotations

import msgspec

from .controls import Controls
from .needs import Limits, NeedsPolicy
from .retry import RetryPolicy
from .schedule import ScheduleSpec

DEFAULT_TIMEOUT_S = 300.0
DEFAULT_CONCURRENCY = 100  # attempts of an async task that share an executor
MAX_CONCURRENCY = 10_000


class Parameter(msgspec.Struct, frozen=True):
    """One parameter of a task."""

    name: str
    is_required: bool
    is_file: bool = False  # takes a File, or holds some
    takes: tuple[str, ...] = ()  # kinds of JSON values, see arguments.kind_of; none: any that its code can read


class TaskSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A task as the worker and other processes know it, without its code."""

    name: str
    queue: str = "default"
    priority: int = 0
    timeout_s: float = DEFAULT_TIMEOUT_S
    limits: Limits = Limits()
    is_untrusted: bool = False  # each attempt has an executor of its own
    is_exclusive: bool = False  # it is stopped before the lease of its worker ends, so that no two attempts overlap
    concurrency: int = 0  # attempts that share an executor; 0: it runs alone, as sync code does
    retry: RetryPolicy = RetryPolicy()
    controls: Controls = Controls()
    schedules: tuple[ScheduleSpec, ...] = ()
    needs: NeedsPolicy = NeedsPolicy()
    aliases: tuple[str, ...] = ()  # names that it had before
    shape: str = ""  # stands for the names, types and order of its parameters
    parameters: tuple[Parameter, ...] = ()
    takes_any_names: bool = False  # has **kwargs
    gives_files: bool = False  # its result is a File, or holds some
    doc: str = ""  # the first line of the docstring

    @property
    def names(self) -> tuple[str, ...]:
        """Its name, and those that it had before."""
        return (self.name, *self.aliases)

    @property
    def takes_files(self) -> bool:
        """Whether an argument is a File, or holds some."""
        return bool(self.parameters) and any(parameter.is_file for parameter in self.parameters)

    @property
    def has_files(self) -> bool:
        """Whether its jobs take or give some."""
        return self.takes_files or self.gives_files

    @property
    def capacity(self) -> int:
        """How many of its attempts one executor runs at a time."""
        return self.concurrency or 1


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a zygote found when it imported an app."""

    app: str
    tasks: tuple[TaskSpec, ...]
    url: str | None = None  # only when the app's code names one
    on_dead: tuple[str, ...] = ()  # tasks that hear of each job that ends dead

    def by_name(self) -> dict[str, TaskSpec]:
        """The tasks by every name that jobs may know them by."""
        return {name: task for task in self.tasks for name in task.names}


def unknown_task(name: str) -> TaskSpec:
    """The options for a task that this worker does not know: the defaults."""
    return TaskSpec(name=name)
