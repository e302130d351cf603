"""The jobs on SAQ, which waits for work in Redis (BLMOVE), one connection for each job it could run.

By default `max_concurrent_ops` lets it read 20 jobs at a time; here it is as high as the concurrency. A job whose
worker was killed runs again only if it has a second try: by default it has one (`retries`, https://saq-py.readthedocs.io).
The rest is its default, also results kept for ten minutes, and asyncio's own loop.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncGenerator, Callable
from typing import Any

from redis import asyncio as redis  # type: ignore[import-not-found]
from saq.queue.redis import RedisQueue  # type: ignore[import-not-found]

from .. import jobs
from ..produce import in_hundreds

IS_BULK = False
TRIES = 3
AT_ONCE = int(os.environ["BENCH_AT_ONCE"])
queue = RedisQueue(redis.from_url(os.environ["BENCH_URL"]), max_concurrent_ops=max(20, AT_ONCE))


def _plain(body: Callable[[int], None]) -> Callable[..., Any]:
    async def job(ctx: dict[str, Any], *, number: int) -> None:
        body(number)

    return job


async def _wait(ctx: dict[str, Any], *, number: int) -> None:
    await jobs.wait(number)


async def _hold(ctx: dict[str, Any], *, number: int) -> None:
    await jobs.hold(number)


def settings() -> dict[str, Any]:
    """Read by SAQ's command."""
    functions = [
        ("nothing", _plain(jobs.nothing)),
        ("busy", _plain(jobs.busy)),
        ("wait", _wait),
        ("hold", _hold),
        ("linger", _plain(jobs.linger)),
    ]
    return {"queue": queue, "functions": functions, "concurrency": AT_ONCE}


@contextlib.asynccontextmanager
async def opened() -> AsyncGenerator[None]:
    """Connected."""
    await queue.connect()
    yield
    await queue.disconnect()


async def one(task: str, number: int) -> None:
    """Enqueue one."""
    await queue.enqueue(task, number=number, retries=TRIES)


async def many(task: str, numbers: list[int]) -> None:
    """Enqueue many, a hundred at a time: there is no call that takes many."""
    await in_hundreds(one, task, numbers)
