"""The jobs on arq, which looks for work every `poll_delay`: 10 ms here, not 500. Shorter delays did not help it.

The rest is its default, also `queue_read_limit` (5 x max_jobs), results kept for an hour, and asyncio's own loop. It
removes a job from the queue only when it is done (https://arq-docs.helpmanual.io/#pessimistic-execution).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncGenerator, Callable
from typing import Any, ClassVar

from arq import create_pool, func  # type: ignore[import-not-found]
from arq.connections import ArqRedis, RedisSettings  # type: ignore[import-not-found]

from .. import jobs
from ..produce import in_hundreds

IS_BULK = False
REDIS = RedisSettings.from_dsn(os.environ["BENCH_URL"])
QUIET = {"version": 1, "disable_existing_loggers": False, "loggers": {"arq": {"level": "WARNING"}}}
_pool: list[ArqRedis] = []


def _plain(body: Callable[[int], None]) -> Callable[..., Any]:
    async def job(ctx: dict[str, Any], number: int) -> None:
        body(number)

    return job


async def _wait(ctx: dict[str, Any], number: int) -> None:
    await jobs.wait(number)


async def _hold(ctx: dict[str, Any], number: int) -> None:
    await jobs.hold(number)


class WorkerSettings:
    """Read by arq's command."""

    functions: ClassVar = [
        func(_plain(jobs.nothing), name="nothing"),
        func(_plain(jobs.busy), name="busy"),
        func(_wait, name="wait"),
        func(_hold, name="hold"),
        func(_plain(jobs.linger), name="linger"),
    ]
    redis_settings = REDIS
    max_jobs = int(os.environ["BENCH_AT_ONCE"])
    poll_delay = 0.01


@contextlib.asynccontextmanager
async def opened() -> AsyncGenerator[None]:
    """With a pool of connections."""
    _pool.append(await create_pool(REDIS))
    yield
    await _pool.pop().aclose()


async def one(task: str, number: int) -> None:
    """Enqueue one."""
    await _pool[0].enqueue_job(task, number)


async def many(task: str, numbers: list[int]) -> None:
    """Enqueue many, a hundred at a time: there is no call that takes many."""
    await in_hundreds(one, task, numbers)
