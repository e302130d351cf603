"""App: the tasks of one application, and the way to its backend."""

from __future__ import annotations

import asyncio
import difflib
import os
import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, ParamSpec, TypeVar, overload

from ..backends.base import Backend
from ..backends.urls import open_backend, resolve
from ..backends.whereabouts import elsewhere
from ..core import codec, keys
from ..core.arguments import Signature
from ..core.errors import BackendUnavailable, BadArguments, ConfigError, UnknownJob, UnknownTask
from ..core.ids import is_task_name, new_job_id, task_of
from ..core.job import NewJob
from ..core.retry import Retry
from ..core.runnable import ZYGOTE_MARK
from ..core.task import DEFAULT_TIMEOUT_S, Manifest, TaskSpec
from ..core.units import seconds, size
from .handle import AnyJob, JobHandle, unknown_job
from .naming import task_name
from .task import Options, PreparedJob, Task

P = ParamSpec("P")
R = TypeVar("R")


class App:
    """The tasks of one application.

    name: shown to people; also tells workers of this app from others on the machine.
    url: the backend; without it NARROWBOAT_URL, then [tool.narrowboat] in pyproject.toml, then a SQLite
    file beside the nearest pyproject.toml.
    import_env: placeholders for environment variables that the app's modules read when they are imported;
    executors import without the real ones. Create the App before importing those modules.
    """

    def __init__(self, name: str, *, url: str | None = None, import_env: Mapping[str, str] | None = None) -> None:
        self.name = name
        self._url = url
        self._tasks: dict[str, Task[..., Any]] = {}
        self._backend: Backend | None = None
        self._opening = threading.Lock()
        self._is_far_side = ZYGOTE_MARK in os.environ
        if self._is_far_side:
            for variable, placeholder in (import_env or {}).items():
                os.environ.setdefault(variable, placeholder)

    def __repr__(self) -> str:
        return f"<App {self.name}: {len(self._tasks)} tasks>"

    @property
    def backend(self) -> Backend:
        """The service that keeps the jobs, opened at first use. Raises ConfigError, BackendUnavailable."""
        if self._backend is None:
            if self._is_far_side:
                raise BackendUnavailable(
                    f"app {self.name}: code inside an executor has no way to the backend, by design; "
                    "enqueue from the web process"
                )
            with self._opening:
                if self._backend is None:
                    backend = open_backend(resolve(self._url)[0])
                    self._warn_if_workers_look_elsewhere(backend.location)
                    self._backend = backend
        return self._backend

    @overload
    def task(self, function: Callable[P, R]) -> Task[P, R]: ...
    @overload
    def task(
        self,
        *,
        name: str | None = None,
        queue: str = "default",
        priority: int = 0,
        timeout: float | str | timedelta = DEFAULT_TIMEOUT_S,
        memory: int | str | None = None,
        retry: Retry | int | None = None,
        key: str | Callable[..., str] | None = None,
        key_for: float | str | timedelta = "active",
        tags: Sequence[str] = (),
        summary: str = "",
    ) -> Callable[[Callable[P, R]], Task[P, R]]: ...
    def task(
        self,
        function: Callable[P, R] | None = None,
        *,
        name: str | None = None,
        queue: str = "default",
        priority: int = 0,
        timeout: float | str | timedelta = DEFAULT_TIMEOUT_S,
        memory: int | str | None = None,
        retry: Retry | int | None = None,
        key: str | Callable[..., str] | None = None,
        key_for: float | str | timedelta = "active",
        tags: Sequence[str] = (),
        summary: str = "",
    ) -> Task[P, R] | Callable[[Callable[P, R]], Task[P, R]]:
        """Register a function as a task; it stays a plain callable.

        timeout: an attempt that runs longer is stopped, then killed (default 5 minutes).
        memory: private memory that its executor may take, such as "256MB" (default: no limit).
        retry: a Retry, or just a number of attempts (default 3).
        key, key_for, priority, tags, summary: as in `Task.using`.
        Raises ConfigError for options or signatures that cannot work.
        """

        def register(function: Callable[P, R]) -> Task[P, R]:
            full_name = task_name(function, name)
            rules = Retry(retry) if isinstance(retry, int) else retry or Retry()
            signature = Signature(function, full_name)
            spec = TaskSpec(
                name=full_name,
                queue=_queue(queue),
                priority=priority,
                timeout_s=_positive(seconds(timeout), f"timeout of {full_name}"),
                memory=None if memory is None else _positive(size(memory), f"memory of {full_name}"),
                retry=rules.policy,
                parameters=tuple(signature.parameters),
                takes_any_names=signature.takes_any_names,
                doc=(function.__doc__ or "").strip().partition("\n")[0][:200],
            )
            options = Options(
                queue=queue,
                priority=priority,
                key=key,
                key_for=keys.hold(key_for),
                tags=tags,
                summary=summary,
            )
            task = Task(self, function, spec, signature, rules, options)
            if full_name in self._tasks:
                raise ConfigError(f"two tasks are named {full_name}; give one of them another name=")
            self._tasks[full_name] = task
            return task

        return register if function is None else register(function)

    def enqueue(self, prepared: PreparedJob[R]) -> JobHandle[R]:
        """Write one prepared job."""
        [handle] = self.enqueue_many([prepared])
        return handle

    def enqueue_many(self, prepared: Sequence[PreparedJob[R]]) -> list[JobHandle[R]]:
        """Write many jobs in one round trip, all or none; handles in the same order."""
        written = self.backend.enqueue([job.new for job in prepared])
        return [JobHandle(self, job.id, created=job.created) for job in written]

    async def aenqueue_many(self, prepared: Sequence[PreparedJob[R]]) -> list[JobHandle[R]]:
        """`enqueue_many` for async code."""
        return await asyncio.to_thread(self.enqueue_many, prepared)

    def enqueue_by_name(
        self,
        task: str,
        /,
        *args: Any,
        queue: str | None = None,
        **kwargs: Any,
    ) -> AnyJob:
        """Write a job for a task whose code is not here, by what workers have published about it.

        Names of arguments are checked, their types when the job runs. Raises UnknownTask when no worker has
        published the task, unless `queue` says where to put the job all the same; BadArguments.
        """
        spec = self.backend.published([task]).get(task)
        if spec is None and queue is None:
            raise UnknownTask(self._unknown_task(task))
        if not is_task_name(task):
            raise BadArguments(f"{task!r} is not the name of a task")
        named = _bind_by_name(spec, args, kwargs) if spec else _only_named(task, args, kwargs)
        data = codec.encode(named)
        codec.refuse_large(data, f"arguments of {task}")
        new = NewJob(
            id=new_job_id(task),
            task=task,
            queue=queue or (spec.queue if spec else "default"),
            args=data,
            priority=spec.priority if spec else 0,
        )
        return self.enqueue(PreparedJob(new))

    def get(self, job_id: str) -> AnyJob:
        """The job of this id. Raises UnknownJob, also for a text that is no job id."""
        if task_of(job_id) is None:
            raise UnknownJob(f"{job_id!r} is not a job id; one looks like studio.images.thumbnail:01J9ZK...")
        [record] = self.backend.get([job_id])
        if record is None:
            raise unknown_job(job_id)
        return JobHandle(self, job_id, record=record)

    def decode_result(self, task: str, data: bytes) -> Any:
        """A result as its task's annotation says, or as plain JSON values where the task is not known here."""
        known = self._tasks.get(task)
        if known is not None:
            return known.decode_result(data)
        return codec.decode(data) if data else None

    def runnables(self) -> Mapping[str, Task[..., Any]]:
        """For executors: tasks by name."""
        return self._tasks

    def manifest(self) -> Manifest:
        """For workers: what this app can run."""
        return Manifest(app=self.name, tasks=tuple(task.spec for task in self._tasks.values()), url=self._url)

    def close(self) -> None:
        """Give up the connection to the backend, if there is one."""
        if self._backend is not None:
            self._backend.close()
            self._backend = None

    def _unknown_task(self, task: str) -> str:
        published = self.backend.published()
        close = difflib.get_close_matches(task, published, n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        if not published:
            hint = "; none has published any task here yet, so start one, or pass queue= to enqueue all the same"
        return f"no worker has published a task {task!r}{hint}"

    def _warn_if_workers_look_elsewhere(self, location: str) -> None:
        places = elsewhere(self.name, location)
        if places:
            warnings.warn(
                f"jobs of app {self.name} go to {location}, but the workers of {self.name} on this machine "
                f"look for them in {', '.join(places)}; set NARROWBOAT_URL alike for both",
                RuntimeWarning,
                stacklevel=3,
            )


def _queue(name: str) -> str:
    if not name or len(name) > 100 or any(c in name for c in " \t\n:,={}"):
        raise ConfigError(f"queue {name!r}: use 1 to 100 characters without spaces or any of : , = {{ }}")
    return name


def _positive(value: Any, what: str) -> Any:
    if value <= 0:
        raise ConfigError(f"{what}: must be more than 0")
    return value


def _bind_by_name(spec: TaskSpec, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    names = [parameter.name for parameter in spec.parameters]
    if len(args) > len(names):
        raise BadArguments(f"{spec.name}: {len(args)} arguments given, it takes {', '.join(names) or 'none'}")
    named = dict(zip(names, args, strict=False))
    if twice := named.keys() & kwargs.keys():
        raise BadArguments(f"{spec.name}: given twice: {', '.join(sorted(twice))}")
    named |= kwargs
    unknown = [] if spec.takes_any_names else sorted(named.keys() - set(names))
    if unknown:
        raise BadArguments(f"{spec.name}: takes no {', '.join(unknown)}; it takes {', '.join(names) or 'nothing'}")
    missing = [p.name for p in spec.parameters if p.is_required and p.name not in named]
    if missing:
        raise BadArguments(f"{spec.name}: missing {', '.join(missing)}")
    return named


def _only_named(task: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    if args:
        raise BadArguments(f"{task}: nothing is published about it, so give its arguments by name")
    return kwargs
