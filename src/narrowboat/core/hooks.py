"""What an app wants done in its executors around jobs: small functions, in the order in which they were declared."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterator
from typing import Any, cast

from .context import RunningJob
from .errors import ConfigError

Starter = Callable[[], None] | Callable[[], Awaitable[None]]
Around = Callable[[RunningJob], Generator[None]] | Callable[[RunningJob], AsyncGenerator[None]]


class Hooks:
    """Start hooks run in order, stop hooks in reverse; around hooks are nested, the first one outermost.

    Async hooks are run in executors of async tasks; plain ones in all. has_around: a sync job has some around it.
    """

    has_around = False

    def __init__(self) -> None:
        self._start: list[Starter] = []
        self._stop: list[Starter] = []
        self._around: list[Callable[[RunningJob], contextlib.AbstractContextManager[None]]] = []
        self._aaround: list[Callable[[RunningJob], contextlib.AbstractAsyncContextManager[None]]] = []

    def add_start(self, function: Starter) -> None:
        """Called in a new executor before its first job."""
        self._start.append(function)

    def add_stop(self, function: Starter) -> None:
        """Called in an executor that ends in peace."""
        self._stop.append(function)

    def add_around(self, function: Around) -> None:
        """A generator that yields once: what is before runs before each job, what is after runs after it.

        Raises ConfigError for anything else.
        """
        if inspect.isasyncgenfunction(function):
            self._aaround.append(contextlib.asynccontextmanager(function))
        elif inspect.isgeneratorfunction(function):
            self._around.append(contextlib.contextmanager(cast(Any, function)))
            self.has_around = True
        else:
            raise ConfigError(f"around_job {function!r}: write a generator that yields once, where the job runs")

    def start(self) -> None:
        """In an executor of sync tasks."""
        if self._start:
            _call(self._start)

    def stop(self) -> None:
        """In an executor of sync tasks."""
        _call(reversed(self._stop))

    async def astart(self) -> None:
        """In an executor of async tasks."""
        await _acall(self._start)

    async def astop(self) -> None:
        """In an executor of async tasks."""
        await _acall(reversed(self._stop))

    def around(self, job: RunningJob) -> contextlib.AbstractContextManager[object]:
        """The context that a sync job runs in."""
        return self._nested(job) if self.has_around else _NOTHING

    def aaround(self, job: RunningJob) -> contextlib.AbstractAsyncContextManager[object]:
        """The context that an async job runs in."""
        return self._anested(job) if self._around or self._aaround else _NOTHING

    @contextlib.contextmanager
    def _nested(self, job: RunningJob) -> Generator[None]:
        with contextlib.ExitStack() as stack:
            for hook in self._around:
                stack.enter_context(hook(job))
            yield

    @contextlib.asynccontextmanager
    async def _anested(self, job: RunningJob) -> AsyncGenerator[None]:
        async with contextlib.AsyncExitStack() as stack:
            for hook in self._around:
                stack.enter_context(hook(job))
            for ahook in self._aaround:
                await stack.enter_async_context(ahook(job))
            yield


_NOTHING = contextlib.nullcontext()


def _call(functions: Iterator[Starter] | list[Starter]) -> None:
    for function in functions:
        if not inspect.iscoroutinefunction(function):
            function()


async def _acall(functions: Iterator[Starter] | list[Starter]) -> None:
    for function in functions:
        result = function()
        if inspect.isawaitable(result):
            await result
