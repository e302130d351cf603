"""The same job on streaQ, with both of its documentation's "worker optimizations": coredis's optimized mode and uvloop.

More connections than coredis's 64 helped it a little where this was written. The rest is its default, also `prefetch`
(as the concurrency) and results kept for five minutes.
"""

from __future__ import annotations

import asyncio
import os

import coredis  # type: ignore[import-not-found]
from streaq import Worker  # type: ignore[import-not-found]

from . import tally

coredis.Config.optimized = True
worker = Worker(
    redis_url=os.environ["BENCH_REDIS"],
    redis_kwargs={"max_connections": 1000},
    concurrency=1000,
    anyio_kwargs={"use_uvloop": True},
)


@worker.task(silent=True)
async def wait(folder: str, count: int) -> None:
    """Wait 0.1 s."""
    await tally.job(folder, count)


def enqueue(folder: str, count: int) -> None:
    """Write all jobs, in calls of 1,000."""

    async def fill() -> None:
        async with worker:
            for start in range(0, count, 1000):
                some = range(min(1000, count - start))
                await worker.enqueue_many([wait.enqueue(folder, count) for _ in some])  # type: ignore[attr-defined]

    asyncio.run(fill())
