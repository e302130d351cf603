"""A task: a plain callable that can also be enqueued."""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Generic, ParamSpec, Protocol, TypeVar

import msgspec

from ..core import codec, context, keys
from ..core.arguments import Signature
from ..core.aside import in_thread
from ..core.controls import Breaker, where
from ..core.errors import BadArguments, ConfigError, NarrowboatError
from ..core.file import File, FileRef, Put, by_content
from ..core.ids import new_job_id
from ..core.job import MAX_PRIORITY, MAX_SUMMARY, MIN_PRIORITY, NewJob
from ..core.queue import MAX_CLIENT
from ..core.retry import Retry
from ..core.schedule import Schedule, ScheduleSpec
from ..core.task import TaskSpec
from ..core.units import seconds
from .handle import Home, JobHandle

P = ParamSpec("P")
R = TypeVar("R")

_filled_in = msgspec.structs.replace


class PreparedJob(msgspec.Struct, Generic[R], frozen=True, gc=False):
    """A job that has been checked but not written, for `App.enqueue_many`, `App.batch` and `then=`.

    connection, then: see `Task.using`.
    """

    new: NewJob
    connection: Any = None
    then: PreparedJob[Any] | None = None


@dataclass(frozen=True, slots=True)
class Options:
    """What may differ from one job of a task to the next."""

    queue: str
    priority: int = 0
    run_after: float | str | timedelta | datetime = 0.0
    key: str | Callable[..., str] | None = None
    key_for: str | float = "active"
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    tags: Sequence[str] = ()
    summary: str = ""
    client: str = ""
    then: PreparedJob[Any] | None = None
    connection: Any = None
    blank: NewJob = field(init=False, repr=False, compare=False)  # what all these jobs have in common

    def __post_init__(self) -> None:
        if not MIN_PRIORITY <= self.priority <= MAX_PRIORITY:
            raise ConfigError(f"priority {self.priority}: give {MIN_PRIORITY} to {MAX_PRIORITY}, higher first")
        if isinstance(self.run_after, datetime) and self.run_after.tzinfo is None:
            raise ConfigError(f"run_after {self.run_after}: a date needs a time zone to be a point in time")
        if isinstance(self.tags, str):
            raise ConfigError(f"tags={self.tags!r}: give a list of texts")
        if len(self.client) > MAX_CLIENT:
            raise ConfigError(f"client {self.client[:50]!r}...: at most {MAX_CLIENT} characters")
        delay_s, due = _when(self.run_after)
        blank = NewJob(
            id="",
            task="",
            queue=self.queue,
            priority=self.priority,
            delay_s=delay_s,
            due=due,
            key_for=self.key_for,
            client=self.client,
            headers=dict(self.headers),
            tags=tuple(self.tags),
        )
        object.__setattr__(self, "blank", blank)


def _when(run_after: float | str | timedelta | datetime) -> tuple[float, float | None]:
    """(delay in seconds, point in time or None)."""
    if isinstance(run_after, datetime):
        return 0.0, run_after.timestamp()
    return seconds(run_after), None


class Desk(Home, Protocol):
    """What a task needs of its App."""

    def putter(self, job_id: str) -> Put:
        """Stores the files of a job that is about to be written."""
        ...

    def drop_files(self, job_id: str) -> None:
        """Removes them again, since it is not written."""
        ...

    def enqueue(self, prepared: PreparedJob[R]) -> JobHandle[R]:
        """Write one prepared job."""
        ...

    async def aenqueue(self, prepared: PreparedJob[R]) -> JobHandle[R]:
        """The same for async code."""
        ...


class Enqueueable(Generic[P, R]):
    """What sync and async tasks have in common: everything but how calling them is typed."""

    def __init__(
        self,
        app: Desk,
        function: Callable[P, Any],
        spec: TaskSpec,
        signature: Signature,
        retry: Retry,
        options: Options,
        breaker: Breaker | None = None,
    ) -> None:
        functools.update_wrapper(self, function)  # type: ignore[arg-type]
        self._app, self._function, self.spec = app, function, spec
        self._signature, self._retry, self._options = signature, retry, options
        self._breaker = breaker

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"

    @property
    def name(self) -> str:
        """The import path, or what `name=` says."""
        return self.spec.name

    @property
    def counts_pixels(self) -> bool:
        """Whether an argument takes pictures up to a number of pixels."""
        return self._signature.counts_pixels

    def enqueue(self, *args: P.args, **kwargs: P.kwargs) -> JobHandle[R]:
        """Write one job with these arguments; durable when it returns.

        Raises BadArguments, PayloadTooLarge, QueueFull, BackendUnavailable.
        """
        return self._app.enqueue(self._prepare(self._options, args, kwargs))

    async def aenqueue(self, *args: P.args, **kwargs: P.kwargs) -> JobHandle[R]:
        """`enqueue` for async code."""
        return await self._app.aenqueue(await self._aprepare(self._options, args, kwargs))

    def job(self, *args: P.args, **kwargs: P.kwargs) -> PreparedJob[R]:
        """A checked job for `App.enqueue_many`, `App.batch`, or `then=` of another."""
        return self._prepare(self._options, args, kwargs)

    def using(
        self,
        *,
        queue: str | None = None,
        priority: int | None = None,
        run_after: float | str | timedelta | datetime | None = None,
        key: str | Callable[..., str] | None = None,
        key_for: float | str | timedelta | None = None,
        headers: Mapping[str, str] | None = None,
        tags: Sequence[str] | None = None,
        summary: str | None = None,
        client: str | None = None,
        then: PreparedJob[Any] | None = None,
        connection: object | None = None,
    ) -> BoundTask[P, R]:
        """This task with other options, for the jobs enqueued through what is returned.

        run_after: a delay ("10m", seconds, timedelta) or a point in time with a zone.
        key: a text, a template such as "cat-{width}", "arguments", or a function of the arguments.
        key_for: "waiting", "active", or a duration after success.
        summary: one line for people; a template, too.
        client: who asks, such as "user-7", for queues that limit what each client may have waiting.
        then: a job such as notify.job(...), which is written together with the success of this one.
        connection: yours to the database that keeps the jobs, which exist exactly when your transaction is committed:
        one of psycopg, sqlite3 or SQLAlchemy, also a Session or AsyncSession, or the alias of a Django database.
        """
        given = {
            "queue": queue,
            "priority": priority,
            "run_after": run_after,
            "key": key,
            "key_for": None if key_for is None else keys.hold(key_for),
            "headers": headers,
            "tags": tags,
            "summary": summary,
            "client": client,
            "then": then,
            "connection": connection,
        }
        changed: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        return BoundTask(self, replace(self._options, **changed))

    def scheduled(self, schedule: Schedule, name: str) -> ScheduleSpec:
        """A schedule of this task, and what its jobs are like, which workers could not find out: they run no code of
        the app. Raises ConfigError.
        """
        options, arguments = self._options, dict(schedule.arguments)
        if callable(options.key):
            raise ConfigError(
                f"task {self.name}: it has a schedule, whose jobs are made without running code of yours, so its key "
                'cannot be a function; give a text, such as "report-{region}", or "arguments"'
            )
        try:
            data = self._signature.encode((), arguments)
            return msgspec.structs.replace(
                schedule.spec(name),
                args=data.decode(),
                job_key=None if options.key is None else self._key(options.key, data, (), arguments),
                key_for=options.key_for,
                lane_key=self._lane_key(data) if self.spec.controls.per else "",
                tags=tuple(options.tags),
                summary=self._summary(options.summary, data) if options.summary else "",
            )
        except BadArguments as error:
            raise ConfigError(f"schedule {schedule.cron!r}: {error}") from error

    def find(self, *args: P.args, **kwargs: P.kwargs) -> JobHandle[R] | None:
        """The latest job with the key of these arguments, or None: is it done, or being done?

        Raises ConfigError when the task has no `key=`.
        """
        return self._find(self._options, args, kwargs)

    def read(self, args: bytes) -> dict[str, Any]:
        """For executors: the arguments, checked. Raises BadArguments."""
        return self._signature.decode(args)

    def run(self, arguments: dict[str, Any]) -> bytes:
        """For executors: call, and give the result as JSON, empty for None."""
        return self._encode_result(self._function(**arguments))  # type: ignore[call-arg]

    async def arun(self, arguments: dict[str, Any]) -> bytes:
        """For executors: the same for an `async def` function."""
        awaitable: Any = self._function(**arguments)  # type: ignore[call-arg]
        return self._encode_result(await awaitable)

    def part(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """For tests: some arguments as the JSON values that a job would carry. Raises BadArguments."""
        return self._signature.part(args, kwargs, _content)

    def all_values(self, args: bytes) -> dict[str, Any]:
        """For tests: the arguments of a job as JSON values, defaults included."""
        return self._signature.all_values(args, _content)

    def covers(self, error: BaseException) -> bool:
        """Whether the task's Retry covers this error."""
        return self._retry.covers(error)

    def delay_s(self, error: BaseException, failures: int) -> float | None:
        """How long to wait after this error where it has a Backoff of its own."""
        return self._retry.delay_s(error, failures, _random)

    def trips(self, error: BaseException) -> bool:
        """Whether this error is of the kinds that open the task's breaker."""
        return self._breaker is not None and isinstance(error, self._breaker.on)

    def decode_result(self, data: bytes) -> Any:
        """A result as the function's return annotation says."""
        return self._signature.decode_result(data)

    def _encode_result(self, result: Any) -> bytes:
        if result is None:
            return b""
        try:
            data = codec.encode(result, self._carried)
        except TypeError as error:
            raise TypeError(f"the result of {self.name} has no JSON form: {error}") from None
        codec.refuse_large(data, "result of", self.name)
        return data

    def _carried(self, value: Any) -> Any:
        if not isinstance(value, File):
            return codec.plain(value)
        to_worker = context.channel.get()
        if not self._signature.gives_files or to_worker is None:
            raise TypeError("it holds a File; say so in the annotation, such as -> File")
        return to_worker.carry(value)

    async def _aprepare(self, options: Options, args: tuple[Any, ...], kwargs: dict[str, Any]) -> PreparedJob[R]:
        if self._signature.takes_files:  # storing them may take a while
            return await in_thread(self._prepare, options, args, kwargs)
        return self._prepare(options, args, kwargs)

    def _prepare(self, options: Options, args: tuple[Any, ...], kwargs: dict[str, Any]) -> PreparedJob[R]:
        spec = self.spec
        job_id = new_job_id(spec.name)
        data = self._encode(job_id, args, kwargs)
        new = _filled_in(
            options.blank,
            id=job_id,
            task=spec.name,
            args=data,
            key=None if options.key is None else self._key(options.key, data, args, kwargs),
            lane_key=self._lane_key(data) if spec.controls.per else "",
            summary=self._summary(options.summary, data) if options.summary else "",
            shape=spec.shape,
        )
        return PreparedJob(new, options.connection, options.then)

    def _encode(self, job_id: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
        if not self._signature.takes_files:
            return self._signature.encode(args, kwargs)
        try:
            return self._signature.encode(args, kwargs, self._app.putter(job_id))
        except NarrowboatError:
            self._app.drop_files(job_id)  # those before the one that was refused
            raise

    def _key(self, key: str | Callable[..., str], data: bytes, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        if callable(key):
            found = key(*args, **kwargs)
        elif key == keys.ARGUMENTS:
            found = keys.name_of(self._signature.all_values(data, _content))
        else:
            found = keys.fill(key, self._signature.all_values(data, _content), f"key of {self.name}")
        return keys.checked(found, f"key of {self.name}")

    def _lane_key(self, data: bytes) -> str:
        key = self.spec.controls.lane_key(lambda: self._signature.all_values(data, _content), self.name)
        return keys.checked(key, where(self.name))

    def _summary(self, summary: str, data: bytes) -> str:
        where = f"summary of {self.name}"
        return keys.fill(summary, self._signature.all_values(data, lambda ref: ref.name), where)[:MAX_SUMMARY]

    def _find(self, options: Options, args: tuple[Any, ...], kwargs: dict[str, Any]) -> JobHandle[R] | None:
        if options.key is None:
            raise ConfigError(f'task {self.name} has no key to find jobs by; declare one, such as key="arguments"')
        key = self._key(options.key, self._signature.encode(args, kwargs, by_content), args, kwargs)
        for name in self.spec.names:
            found = self._app.backend.find_key(name, key)
            if found:
                return JobHandle(self._app, found, created=False)
        return None


def _content(ref: FileRef) -> str:
    """What names a file in a key: the same photo twice is the same job."""
    return ref.sha256


class Task(Enqueueable[P, R]):
    """A registered function. Calling it runs it here, as if it were not decorated."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        result: R = self._function(*args, **kwargs)
        return result


class AsyncTask(Enqueueable[P, R]):
    """A registered `async def` function. Calling it gives a coroutine, as if it were not decorated."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]:
        coroutine: Coroutine[Any, Any, R] = self._function(*args, **kwargs)
        return coroutine


class BoundTask(Generic[P, R]):
    """A task with options for the next jobs; see `Task.using`."""

    def __init__(self, task: Enqueueable[P, R], options: Options) -> None:
        self._task, self._options = task, options

    def enqueue(self, *args: P.args, **kwargs: P.kwargs) -> JobHandle[R]:
        """As `Task.enqueue`, with these options."""
        return self._task._app.enqueue(self.job(*args, **kwargs))  # pyright: ignore[reportPrivateUsage]

    async def aenqueue(self, *args: P.args, **kwargs: P.kwargs) -> JobHandle[R]:
        """`enqueue` for async code."""
        prepared = await self._task._aprepare(self._options, args, kwargs)  # pyright: ignore[reportPrivateUsage]
        return await self._task._app.aenqueue(prepared)  # pyright: ignore[reportPrivateUsage]

    def job(self, *args: P.args, **kwargs: P.kwargs) -> PreparedJob[R]:
        """As `Task.job`, with these options."""
        return self._task._prepare(self._options, args, kwargs)  # pyright: ignore[reportPrivateUsage]

    def find(self, *args: P.args, **kwargs: P.kwargs) -> JobHandle[R] | None:
        """As `Task.find`, with these options."""
        return self._task._find(self._options, args, kwargs)  # pyright: ignore[reportPrivateUsage]


def _random() -> float:
    import random  # only here: most executors need none, and a zygote that has it seeds it in each fork

    return random.random()
