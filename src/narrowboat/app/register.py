"""From a function and its options to a task."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine, Sequence
from datetime import timedelta
from typing import Any, ParamSpec, Protocol, TypeVar, overload

import msgspec

from ..core import keys
from ..core.arguments import Signature
from ..core.controls import Breaker, Limit, Rate, controls_of
from ..core.errors import ConfigError
from ..core.ids import is_task_name
from ..core.needs import Limits, Needs
from ..core.queue import checked_name
from ..core.retry import Retry
from ..core.schedule import Schedule, ScheduleSpec
from ..core.task import DEFAULT_CONCURRENCY, DEFAULT_TIMEOUT_S, MAX_CONCURRENCY, TaskSpec
from ..core.units import seconds, size
from .naming import task_name
from .task import AsyncTask, Desk, Enqueueable, Options, Task

P = ParamSpec("P")
R = TypeVar("R")


UNTRUSTED_MEMORY = "512MB"  # unless the task says


class Registrar(Protocol):
    """What `@app.task(...)` gives: makes a task of the function below it."""

    @overload
    def __call__(self, function: Callable[P, Coroutine[Any, Any, R]], /) -> AsyncTask[P, R]: ...  # pyright: ignore[reportOverlappingOverload]
    @overload
    def __call__(self, function: Callable[P, R], /) -> Task[P, R]: ...


def registered(
    app: Desk,
    function: Callable[..., Any],
    *,
    name: str | None = None,
    aliases: Sequence[str] = (),
    queue: str = "default",
    priority: int = 0,
    timeout: float | str | timedelta = DEFAULT_TIMEOUT_S,
    memory: int | str | None = None,
    cpu: float | str | timedelta | None = None,
    processes: int | None = None,
    scratch: int | str | None = None,
    untrusted: bool | None = None,
    exclusive: bool = False,
    concurrency: int | None = None,
    retry: Retry | int | None = None,
    rate: Rate | str | None = None,
    limit: Limit | int | None = None,
    breaker: Breaker | None = None,
    schedule: str | Schedule | Sequence[str | Schedule] = (),
    timezone: str = "UTC",
    needs: Needs | None = None,
    key: str | Callable[..., str] | None = None,
    key_for: float | str | timedelta = "active",
    tags: Sequence[str] = (),
    summary: str = "",
) -> Enqueueable[..., Any]:
    """The task; see `App.task` for the options. Raises ConfigError."""
    full_name = task_name(function, name)
    is_async = inspect.iscoroutinefunction(function)
    rules = Retry(retry) if isinstance(retry, int) else retry or Retry()
    signature = Signature(function, full_name)
    is_untrusted = _untrusted(full_name, is_async, untrusted, signature.takes_files, needs)
    spec = TaskSpec(
        name=full_name,
        queue=checked_name(queue),
        priority=priority,
        timeout_s=_positive(seconds(timeout), f"timeout of {full_name}"),
        limits=_limits(full_name, is_async, is_untrusted, memory, cpu, processes, scratch),
        is_untrusted=is_untrusted,
        is_exclusive=exclusive,
        concurrency=_concurrency(concurrency, is_async, full_name),
        retry=rules.policy,
        controls=controls_of(
            full_name,
            Rate(rate) if isinstance(rate, str) else rate,
            Limit(limit) if isinstance(limit, int) else limit,
            breaker,
        ),
        needs=(needs or Needs()).policy(full_name),
        aliases=_aliases(aliases, full_name),
        shape=signature.shape,
        parameters=tuple(signature.parameters),
        takes_any_names=signature.takes_any_names,
        gives_files=signature.gives_files,
        doc=(function.__doc__ or "").strip().partition("\n")[0][:200],
    )
    options = Options(queue=queue, priority=priority, key=key, key_for=keys.hold(key_for), tags=tags, summary=summary)
    kind = AsyncTask[..., Any] if is_async else Task[..., Any]
    task = kind(app, function, spec, signature, rules, options, breaker)
    task.spec = msgspec.structs.replace(spec, schedules=_schedules(schedule, timezone, task))
    return task


def _schedules(
    asked: str | Schedule | Sequence[str | Schedule], timezone: str, task: Enqueueable[..., Any]
) -> tuple[ScheduleSpec, ...]:
    several = [asked] if isinstance(asked, str | Schedule) else list(asked)
    found = [Schedule(one, timezone=timezone) if isinstance(one, str) else one for one in several]
    specs = tuple(
        task.scheduled(schedule, task.name if len(found) == 1 else f"{task.name}/{number}")
        for number, schedule in enumerate(found, 1)
    )
    names = [spec.name for spec in specs]
    if len(set(names)) < len(names):
        raise ConfigError(f"task {task.name}: its schedules have the same name twice: {', '.join(names)}")
    return specs


def _limits(
    task: str,
    is_async: bool,
    is_untrusted: bool,
    memory: int | str | None,
    cpu: float | str | timedelta | None,
    processes: int | None,
    scratch: int | str | None,
) -> Limits:
    if cpu is not None and is_async:
        raise ConfigError(f"cpu of {task}: async tasks share a process, so its time cannot be told apart; leave it out")
    if memory is None and is_untrusted:
        memory = UNTRUSTED_MEMORY
    usual = Limits()
    return Limits(
        memory=None if memory is None else _positive(size(memory), f"memory of {task}"),
        cpu_s=None if cpu is None else _positive(seconds(cpu), f"cpu of {task}"),
        processes=usual.processes if processes is None else _positive(processes, f"processes of {task}"),
        scratch=usual.scratch if scratch is None else _positive(size(scratch), f"scratch of {task}"),
    )


def _untrusted(task: str, is_async: bool, asked: bool | None, takes_files: bool, needs: Needs | None) -> bool:
    """A File comes from outside, unless the task says that it does not."""
    is_untrusted = takes_files if asked is None else asked
    why = "untrusted=True" if asked else "a File from outside"
    if is_untrusted and is_async:
        raise ConfigError(
            f"task {task}: {why} takes a fresh executor per attempt, so it cannot be async; if its files are "
            "made by your own code alone, say untrusted=False"
        )
    if is_untrusted and needs is not None and needs.is_trusted:
        raise ConfigError(
            f"task {task}: {why} and Needs.trusted() do not go together; declare what it needs, or, if its input is "
            "your own, say untrusted=False"
        )
    return is_untrusted


def _positive(value: Any, what: str) -> Any:
    if value <= 0:
        raise ConfigError(f"{what}: must be more than 0")
    return value


def _concurrency(asked: int | None, is_async: bool, name: str) -> int:
    if not is_async:
        if asked is not None:
            raise ConfigError(f"task {name}: concurrency= is for `async def` tasks; for others, use more slots")
        return 0
    found = DEFAULT_CONCURRENCY if asked is None else asked
    if not 1 <= found <= MAX_CONCURRENCY:
        raise ConfigError(f"concurrency of {name}: give 1 to {MAX_CONCURRENCY}, not {asked}")
    return found


def _aliases(aliases: Sequence[str], name: str) -> tuple[str, ...]:
    if isinstance(aliases, str):
        raise ConfigError(f"aliases of {name}: give a list, such as [{aliases!r}]")
    for alias in aliases:
        if not is_task_name(alias) or alias == name:
            raise ConfigError(f"aliases of {name}: {alias!r} cannot be a former name; write module.function")
    return tuple(aliases)
