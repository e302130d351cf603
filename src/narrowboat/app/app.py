"""App: the tasks of one application, and the way to its backend."""

from __future__ import annotations

import contextlib
import importlib
import itertools
import os
import threading
import warnings
from collections.abc import Callable, Coroutine, Generator, Iterable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast, overload

from ..backends.base import Backend, Change
from ..backends.urls import open_backend, resolve, resolve_files
from ..backends.whereabouts import elsewhere
from ..core import codec, context
from ..core.aside import in_thread
from ..core.batch import BatchPart
from ..core.controls import Breaker, Limit, Rate, refuse_other_numbers
from ..core.errors import (
    BackendUnavailable,
    BadArguments,
    ConfigError,
    QueueFull,
    StoreUnavailable,
    UnknownJob,
    UnknownTask,
)
from ..core.file import Accept, File, FileRef, Put, bound_by, names_files
from ..core.hooks import Around, Hooks, Starter
from ..core.ids import is_task_name, new_job_id, task_of
from ..core.job import Enqueued, NewJob
from ..core.moments import Moment
from ..core.needs import Needs
from ..core.outcome import DeadJob
from ..core.queue import Queue
from ..core.retry import Retry
from ..core.runnable import ZYGOTE_MARK
from ..core.schedule import Schedule
from ..core.task import DEFAULT_TIMEOUT_S, Manifest, TaskSpec
from ..files import pictures
from ..files.carry import opener
from ..files.store import FileStore, keep, key_for
from ..files.urls import open_files
from . import batch as batching
from . import pauses, steering
from .again import changed, refuse_unknown
from .batch import BatchHandle, When
from .handle import AnyJob, JobHandle, unknown_job
from .register import Registrar, registered
from .task import AsyncTask, Enqueueable, PreparedJob, Task

if TYPE_CHECKING:
    from .rehearsal import Errors, Rehearsal

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S", bound=Starter)
A = TypeVar("A", bound=Around)


class App:
    """The tasks of one application.

    name: shown to people; also tells workers of this app from others on the machine.
    url: the backend; without it NARROWBOAT_URL, then [tool.narrowboat] in pyproject.toml, then a SQLite
    file beside the nearest pyproject.toml.
    store: what keeps the jobs, where `url` names a service that only delivers (amqp, sqs, gearman); without it
    NARROWBOAT_STORE, then [tool.narrowboat], then the same file.
    files: where the content of File arguments and results is kept, file:///srv/files or s3://bucket/prefix; without it
    NARROWBOAT_FILES, then [tool.narrowboat], then a folder beside the database.
    queues: limits on waiting jobs, such as Queue("images", waiting=1000, waiting_per_client=20), past which this app's
    enqueueing raises QueueFull; a queue that is not named has none.
    imports: modules with tasks, which workers import after the one that this App is in.
    import_env: placeholders for environment variables that the app's modules read when they are imported;
    executors import without the real ones. Create the App before importing those modules.
    """

    def __init__(
        self,
        name: str,
        *,
        url: str | None = None,
        store: str | None = None,
        files: str | None = None,
        queues: Sequence[Queue] = (),
        imports: Sequence[str] = (),
        import_env: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.hooks = Hooks()
        self._url, self._store = url, store
        self._limits = {queue.name: queue for queue in queues if queue.is_limited}
        if len({queue.name for queue in queues}) < len(queues):
            raise ConfigError(f"app {name}: a queue is named twice in queues=")
        self._imports = tuple(imports)
        self._on_dead: list[str] = []
        self._tasks: dict[str, Enqueueable[..., Any]] = {}
        self._backend: Backend | None = None
        self._files_url, self._files = files, cast(FileStore | None, None)
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
        if self._is_far_side or context.channel.get() is not None:
            raise BackendUnavailable(
                f"app {self.name}: code inside an executor has no way to the backend, by design; "
                "a task may enqueue others, in its own thread, with needs=Needs(enqueue=[...])"
            )
        if self._backend is None:
            with self._opening:
                if self._backend is None:
                    backend = open_backend(resolve(self._url)[0], self._store)
                    self._warn_if_workers_look_elsewhere(backend.location)
                    self._backend = backend
        return self._backend

    @property
    def files(self) -> FileStore:
        """What keeps the content of files, opened at first use. Raises ConfigError."""
        backend = self.backend
        if self._files is None:
            with self._opening:
                if self._files is None:
                    self._files = open_files(*resolve_files(self._files_url, backend))
        return self._files

    @overload
    def task(self, function: Callable[P, Coroutine[Any, Any, R]]) -> AsyncTask[P, R]: ...  # pyright: ignore[reportOverlappingOverload]
    @overload
    def task(self, function: Callable[P, R]) -> Task[P, R]: ...
    @overload
    def task(
        self,
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
    ) -> Registrar: ...
    def task(self, function: Callable[..., Any] | None = None, **options: Any) -> Any:
        """Register a function as a task; it stays a plain callable. `async def` functions share an executor.

        name, aliases: its name instead of the import path, and names that it had before.
        timeout: an attempt that runs longer is stopped, then killed (default 5 minutes).
        memory: private memory that its executor may take, such as "256MB" (default: no limit, untrusted tasks 512 MB).
        cpu: seconds of processor time for an attempt; processes: threads and helpers at a time (default 64);
        scratch: bytes of files in its scratch folder (default 256 MB).
        untrusted: its input may be hostile, so each attempt has an executor of its own (default: if it takes a File).
        exclusive: no two attempts of a job ever overlap: one whose worker is cut off from the backend is stopped before
        the job may be another worker's (default: it goes on, and its outcome is refused if it was taken over).
        concurrency: for `async def`: how many attempts run in one executor at a time (default 100).
        retry: a Retry, or just a number of attempts (default 3).
        rate: how many of its jobs may begin in a while, over all workers, such as "100/m" or a Rate; limit: how many
        may run at a time, such as 5 or a Limit; breaker: a Breaker holds them while the service they call is down.
        schedule: when it runs by itself, as cron writes it, such as "0 3 * * MON-FRI", in a timezone; or a Schedule,
        or several.
        needs: what it may touch, such as Needs(enqueue=[other_task]) (default: nothing).
        key, key_for, priority, tags, summary: as in `Task.using`.
        Raises ConfigError for options or signatures that cannot work.
        """

        def add(function: Callable[..., Any]) -> Any:
            task = registered(self, function, **options)
            if task.counts_pixels and not self._is_far_side:  # workers count nothing, and may be without it
                pictures.require(task.name)
            for known in task.spec.names:
                if known in self._tasks:
                    raise ConfigError(f"two tasks are named {known}; give one of them another name=")
            if task.spec.controls:
                others = {other.name: other.spec.controls for other in self._tasks.values()}
                refuse_other_numbers(task.name, task.spec.controls, others)
            for known in task.spec.names:
                self._tasks[known] = task
            return task

        return add if function is None else add(function)

    def on_dead(
        self,
        function: Callable[[DeadJob], Any] | None = None,
        /,
        *,
        name: str | None = None,
        queue: str = "default",
        needs: Needs | None = None,
    ) -> Any:
        """Register a function that hears of each job that ends dead, written together with that end.

        It is a task like any other, with retries, called with a DeadJob; jobs of its own that die tell nobody.
        """

        def add(function: Callable[[DeadJob], Any]) -> Any:
            task = self.task(name=name, queue=queue, needs=needs)(function)
            if len(task.spec.parameters) != 1:
                raise ConfigError(f"on_dead {task.name}: it is called with one argument, a DeadJob")
            self._on_dead.append(task.name)
            return task

        return add if function is None else add(function)

    def executor_start(self, function: S) -> S:
        """Call this in each new executor before its first job: open pools, warm caches. `async def` for async tasks."""
        self.hooks.add_start(function)
        return function

    def executor_stop(self, function: S) -> S:
        """Call this in each executor that ends in peace, last registered first."""
        self.hooks.add_stop(function)
        return function

    def around_job(self, function: A) -> A:
        """Run each job inside this generator, which takes a RunningJob and yields once; the first is outermost."""
        self.hooks.add_around(function)
        return function

    def putter(self, job_id: str) -> Put:
        """Stores the files of a job that is about to be written; inside a task it raises BadArguments."""
        numbers = itertools.count()

        def put(file: File, accept: Accept) -> FileRef:
            if context.channel.get() is not None:
                raise BadArguments("a task cannot enqueue a job with files; return them, and enqueue from outside")
            with file.lent() as content:
                return keep(self.files, key_for(job_id, str(next(numbers))), content, file.name, accept)

        return put

    def drop_files(self, job_id: str) -> None:
        """Removes the files of a job that was not written; a store out of reach is swept later."""
        if context.channel.get() is None:
            with contextlib.suppress(StoreUnavailable):
                self.files.remove(job_id)

    def enqueue(self, prepared: PreparedJob[R]) -> JobHandle[R]:
        """Write one prepared job."""
        [handle] = self.enqueue_many([prepared])
        return handle

    def enqueue_many(self, prepared: Sequence[PreparedJob[R]]) -> list[JobHandle[R]]:
        """Write many jobs in one round trip, all or none; handles in the same order. Raises QueueFull.

        With `using(connection=...)`, all of them by the same one: see `Task.using`.

        Inside a task: they are written together with its success, if its Needs(enqueue=...) name them.
        """
        jobs, parts = _with_thens(prepared)
        connection = _connection_of(prepared)
        to_worker = context.channel.get()
        if to_worker is not None:
            if parts:
                _refuse_inside_a_task()
            if connection is not None:
                raise ConfigError(
                    f"{jobs[0].task}: inside a task, jobs are written together with its success, and not with a "
                    "transaction of yours: leave out connection="
                )
            to_worker.enqueue(jobs)
            return [JobHandle(self, job.id) for job in jobs]
        return self._write(jobs, connection, parts)

    def _write(self, jobs: Sequence[NewJob], connection: Any, parts: Sequence[BatchPart]) -> list[JobHandle[Any]]:
        try:
            written = self.backend.enqueue(jobs, connection, self._limits, batches=parts)
        except QueueFull:
            self._drop_files_of(jobs)
            raise
        return self._written(jobs, written)

    def _written(self, jobs: Sequence[NewJob], written: Sequence[Enqueued]) -> list[JobHandle[Any]]:
        self._drop_files_of(_left_out(jobs, written))
        return [JobHandle(self, job.id, job.created) for job in written]

    async def aenqueue(self, prepared: PreparedJob[R]) -> JobHandle[R]:
        """`enqueue` for async code."""
        [handle] = await self.aenqueue_many([prepared])
        return handle

    async def aenqueue_many(self, prepared: Sequence[PreparedJob[R]]) -> list[JobHandle[R]]:
        """`enqueue_many` for async code."""
        if context.channel.get() is not None:  # nothing to wait for
            return self.enqueue_many(prepared)
        connection = _connection_of(prepared)
        if connection is None:
            return await in_thread(self.enqueue_many, prepared)
        return await self._awrite(*_with_thens(prepared), connection)

    async def _awrite(
        self, jobs: Sequence[NewJob], parts: Sequence[BatchPart], connection: Any
    ) -> list[JobHandle[Any]]:
        backend = await in_thread(lambda: self.backend)
        try:
            written = await backend.aenqueue(jobs, connection, self._limits, batches=parts)
        except QueueFull:
            await in_thread(self._drop_files_of, jobs)
            raise
        return await in_thread(self._written, jobs, written)

    def batch(
        self,
        prepared: Iterable[PreparedJob[Any]],
        *,
        then: PreparedJob[Any] | None = None,
        when: When = "succeeded",
        summary: str = "",
        connection: object | None = None,
    ) -> BatchHandle:
        """Write jobs that are counted as they end, and one that follows them all.

        then: the final job, such as report.job(...), written once, together with the end that was the last one missing;
        in it, `current_job().batch` has the totals. when: "succeeded": each job has succeeded; dead and cancelled ones
        hold the batch open until a person has retried them. "ended": each is in a final state. summary: for people.
        Some hundred jobs are written at a time, from any iterable, and the final job waits for the last of them; what
        an interrupted call has written runs, and is shown as a batch that is not all written. In an app with limits on
        queues, and by a connection= (see `Task.using`), all are written or none.
        Raises ConfigError, QueueFull, BackendUnavailable.
        """
        _refuse_inside_a_task()
        jobs: list[AnyJob] = []
        batch_id = ""
        for part, members in batching.parts_of(prepared, then, when, summary, is_whole=bool(self._limits)):
            batch_id, connection = part.id, _connection_of(members, connection)
            jobs += self._write([job.new for job in members], connection, [part])
        return BatchHandle(self, batch_id, jobs=jobs)

    async def abatch(
        self,
        prepared: Iterable[PreparedJob[Any]],
        *,
        then: PreparedJob[Any] | None = None,
        when: When = "succeeded",
        summary: str = "",
        connection: object | None = None,
    ) -> BatchHandle:
        """`batch` for async code."""
        _refuse_inside_a_task()
        jobs: list[AnyJob] = []
        batch_id = ""
        for part, members in batching.parts_of(prepared, then, when, summary, is_whole=bool(self._limits)):
            batch_id, connection = part.id, _connection_of(members, connection)
            new = [job.new for job in members]
            if connection is None:
                jobs += await in_thread(self._write, new, None, [part])
            else:
                jobs += await self._awrite(new, [part], connection)
        return BatchHandle(self, batch_id, jobs=jobs)

    def get_batch(self, batch_id: str) -> BatchHandle:
        """The batch of this id. Raises UnknownBatch."""
        return BatchHandle(self, batch_id).refresh()

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
        job_id = new_job_id(task)
        put = self.putter(job_id)

        def stored(value: Any) -> Any:
            return put(value, Accept()) if isinstance(value, File) else codec.plain(value)

        data = codec.encode(named, stored)
        codec.refuse_large(data, "arguments of", task)
        new = NewJob(
            id=job_id,
            task=task,
            queue=queue or (spec.queue if spec else "default"),
            args=data,
            priority=spec.priority if spec else 0,
            lane_key=spec.controls.lane_key(lambda: codec.decode(data), task) if spec else "",
            shape=spec.shape if spec else "",
        )
        return self.enqueue(PreparedJob(new))

    def get(self, job_id: str) -> AnyJob:
        """The job of this id. Raises UnknownJob, also for a text that is no job id."""
        if task_of(job_id) is None:
            raise UnknownJob(f"{job_id!r} is not a job id; one looks like studio.images.thumbnail:01J9ZK...")
        [record] = self.backend.get([job_id])
        if record is None:
            raise unknown_job(job_id)
        return JobHandle.of(self, record)

    def pause(
        self,
        queue: str | None = None,
        *,
        task: Enqueueable[..., Any] | str | None = None,
        breaker: str | None = None,
        until: Moment | None = None,
        reason: str = "",
    ) -> None:
        """Pause a queue, a task, or all behind a breaker, at once and on every host; a second pause replaces the first.

        Running jobs finish; others wait, and none loses an attempt; new ones are taken. until: when it is resumed by
        itself: "18:00", a datetime, or a while such as "2h"; else by `resume`. After its time, a breaker lets one job
        try first. reason: shown to whoever asks why.
        Raises ConfigError, BackendUnavailable.
        """
        pauses.pause(self.backend, pauses.scope_of(queue, task_name(task), breaker), until, reason)

    def resume(
        self,
        queue: str | None = None,
        *,
        task: Enqueueable[..., Any] | str | None = None,
        breaker: str | None = None,
    ) -> bool:
        """End a pause, or close a breaker; False if there was none. Raises ConfigError, BackendUnavailable."""
        return self.backend.open(pauses.scope_of(queue, task_name(task), breaker))

    def adjust(self, scope: str, numbers: str | int | Rate | Limit | None) -> None:
        """Put other numbers in place of those that tasks declare, at once and on every host; None takes them back.

        scope: "rate:<key>" or "limit:<key>", such as adjust("rate:mailgun", "50/m") or adjust("limit:db", 3).
        Raises ConfigError, BackendUnavailable.
        """
        steering.adjust(self.backend, scope, numbers)

    def controls(self) -> list[steering.Shown]:
        """The rates, limits and breakers of all tasks that workers have published, and how they stand."""
        return steering.controls(self.backend)

    def retry(self, job_id: str, /, **changes: Any) -> bool:
        """As `JobHandle.retry`, by the id."""
        [job] = self.backend.get([job_id])
        if job is None:
            raise unknown_job(job_id)
        if not changes:
            return self.backend.retry([job_id])[0]
        known = self._tasks.get(job.task)
        spec = known.spec if known is not None else self.backend.published([job.task]).get(job.task)
        args = changed(job.args, changes, spec, job.task)
        if known is not None and not known.spec.takes_files:
            known.read(args)  # raises what does not fit
        return self.backend.retry([job_id], Change(args=args))[0]

    def decode_result(self, task: str, data: bytes) -> Any:
        """A result as its task's annotation says, or as plain JSON values where the task is not known here."""
        known = self._tasks.get(task)
        if known is None:
            return codec.decode(data) if data else None
        if not known.spec.gives_files:
            return known.decode_result(data)
        with bound_by(opener(self.files)):
            return known.decode_result(data)

    @contextlib.contextmanager
    def testing(self, *, inline: bool = False, errors: Errors = "raise") -> Generator[Rehearsal]:
        """For tests of your own app: until the block ends, jobs go to memory and run when you say so.

        inline: run each job within `enqueue`, by the same rules. errors: "raise" lets what a task raises through
        to the test, "record" leaves it in the job's history.
        """
        import tempfile

        from .rehearsal import Rehearsal

        self.load()
        with tempfile.TemporaryDirectory(prefix="narrowboat-testing-") as folder:
            rehearsal = Rehearsal(self, open_backend("memory://"), Path(folder), inline=inline, errors=errors)
            try:
                with self.connected_to(rehearsal.backend, rehearsal.files):
                    yield rehearsal
            finally:
                rehearsal.close()

    @contextlib.contextmanager
    def connected_to(self, backend: Backend, files: FileStore | None = None) -> Generator[None]:
        """For tests: use this backend, and this file store, until the block ends."""
        before = self._backend, self._files
        self._backend, self._files = backend, files or self._files
        try:
            yield
        finally:
            self._backend, self._files = before

    def load(self) -> None:
        """For executors: import the modules of `imports=`, which register their tasks."""
        for module in self._imports:
            importlib.import_module(module)

    def runnables(self) -> Mapping[str, Enqueueable[..., Any]]:
        """For executors: tasks by every name that jobs may know them by."""
        return self._tasks

    def manifest(self) -> Manifest:
        """For workers: what this app can run."""
        tasks = tuple(task.spec for name, task in self._tasks.items() if name == task.name)
        return Manifest(app=self.name, tasks=tasks, url=self._url, on_dead=tuple(self._on_dead))

    def close(self) -> None:
        """Give up the connection to the backend, if there is one."""
        if self._backend is not None:
            self._backend.close()
            self._backend = self._files = None

    def _drop_files_of(self, jobs: Sequence[NewJob]) -> None:
        for job in jobs:
            if names_files(job.args):
                self.drop_files(job.id)

    def _unknown_task(self, task: str) -> str:
        published = self.backend.published()
        import difflib

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


def task_name(task: Enqueueable[..., Any] | str | None) -> str | None:
    """Of a task, or of its name."""
    return task.name if isinstance(task, Enqueueable) else task


def _refuse_inside_a_task() -> None:
    if context.channel.get() is not None:
        raise ConfigError(
            "a task makes no batches and no jobs with then=; it may enqueue others, or be in a batch itself"
        )


def _with_thens(prepared: Sequence[PreparedJob[Any]]) -> tuple[list[NewJob], list[BatchPart]]:
    """The jobs, and a batch of one for each that has a `then`."""
    if all(job.then is None for job in prepared):
        return [job.new for job in prepared], []
    jobs: list[NewJob] = []
    parts: list[BatchPart] = []
    for job in prepared:
        if job.then is None:
            jobs.append(job.new)
        else:
            new, part = batching.alone(job)
            jobs.append(new)
            parts.append(part)
    return jobs, parts


def _connection_of(prepared: Sequence[PreparedJob[Any]], given: Any = None) -> Any:
    """The caller's one connection for all of these, if there is one. Raises ConfigError for several."""
    if given is not None:
        others = [job for job in prepared if job.connection is not None]
    else:
        given, others = prepared[0].connection if prepared else None, list(prepared)
    if any(job.connection is not given and job.connection != given for job in others):
        raise ConfigError("jobs that are written together take one connection=, the same for each of them")
    return given


def _left_out(jobs: Sequence[NewJob], written: Sequence[Enqueued]) -> list[NewJob]:
    """Those whose files are of no use, since the job that is there instead has its own."""
    others = [n for n, found in enumerate(written) if not found.created]
    return [jobs[n] for n in others if jobs[n].id != written[n].id]


def _bind_by_name(spec: TaskSpec, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    names = [parameter.name for parameter in spec.parameters]
    if len(args) > len(names):
        raise BadArguments(f"{spec.name}: {len(args)} arguments given, it takes {', '.join(names) or 'none'}")
    named = dict(zip(names, args, strict=False))
    if twice := named.keys() & kwargs.keys():
        raise BadArguments(f"{spec.name}: given twice: {', '.join(sorted(twice))}")
    named |= kwargs
    refuse_unknown(spec, named, spec.name)
    missing = [p.name for p in spec.parameters if p.is_required and p.name not in named]
    if missing:
        raise BadArguments(f"{spec.name}: missing {', '.join(missing)}")
    return named


def _only_named(task: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    if args:
        raise BadArguments(f"{task}: nothing is published about it, so give its arguments by name")
    return kwargs
