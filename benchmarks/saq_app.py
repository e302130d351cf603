"""The same job on SAQ, which waits for work in Redis (BLMOVE), one connection for each job it could run.

By default `max_concurrent_ops` lets it read 20 jobs at a time, and then fewer than 1,000 run. The rest is its default,
also results kept for ten minutes, and asyncio's own loop.
"""

from __future__ import annotations

import asyncio
import os
from typing import Any

from redis import asyncio as redis  # type: ignore[import-not-found]
from saq.queue.redis import RedisQueue  # type: ignore[import-not-found]

from . import tally


async def wait(ctx: dict[str, Any], *, folder: str, count: int) -> None:
    """Wait 0.1 s."""
    await tally.job(folder, count)


def settings() -> dict[str, Any]:
    """Read by SAQ's command."""
    return {"queue": _queue(), "functions": [wait], "concurrency": 1000}


def _queue() -> RedisQueue:
    return RedisQueue(redis.from_url(os.environ["BENCH_REDIS"]), max_concurrent_ops=1000)


def enqueue(folder: str, count: int) -> None:
    """Write all jobs."""

    async def fill() -> None:
        queue = _queue()
        await queue.connect()
        await tally.in_hundreds(lambda: queue.enqueue("wait", folder=folder, count=count), count)
        await queue.disconnect()

    asyncio.run(fill())
