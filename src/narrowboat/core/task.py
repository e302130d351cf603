"""What is published about a task: plain data, from the zygote to the worker and on to the backend."""

from __future__ import annotations

import msgspec

from .retry import RetryPolicy

DEFAULT_TIMEOUT_S = 300.0


class Parameter(msgspec.Struct, frozen=True):
    """One parameter of a task."""

    name: str
    is_required: bool


class TaskSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A task as the worker and other processes know it, without its code."""

    name: str
    queue: str = "default"
    priority: int = 0
    timeout_s: float = DEFAULT_TIMEOUT_S
    memory: int | None = None  # bytes of private memory for its executor
    retry: RetryPolicy = RetryPolicy()
    parameters: tuple[Parameter, ...] = ()
    takes_any_names: bool = False  # has **kwargs
    doc: str = ""  # the first line of the docstring


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a zygote found when it imported an app."""

    app: str
    tasks: tuple[TaskSpec, ...]
    url: str | None = None  # only when the app's code names one


def unknown_task(name: str) -> TaskSpec:
    """The options for a task that this worker does not know: the defaults."""
    return TaskSpec(name=name)
