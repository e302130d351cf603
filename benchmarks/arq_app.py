"""The same job on arq, which looks for work every `poll_delay`: 10 ms here, not 500.

Shorter delays did not help it. The rest is its default, also `queue_read_limit` (5 x max_jobs), results kept for an
hour, and asyncio's own loop. It starts jobs one by one, several round trips each, so few run at a time.
"""

from __future__ import annotations

import asyncio
import os
from typing import Any, ClassVar

from arq import create_pool  # type: ignore[import-not-found]
from arq.connections import RedisSettings  # type: ignore[import-not-found]

from . import tally

REDIS = RedisSettings.from_dsn(os.environ["BENCH_REDIS"])
QUIET = {"version": 1, "disable_existing_loggers": False, "loggers": {"arq": {"level": "WARNING"}}}


async def wait(ctx: dict[str, Any], folder: str, count: int) -> None:
    """Wait 0.1 s."""
    await tally.job(folder, count)


class WorkerSettings:
    """Read by arq's command."""

    functions: ClassVar = [wait]
    redis_settings = REDIS
    max_jobs = 1000
    poll_delay = 0.01


def enqueue(folder: str, count: int) -> None:
    """Write all jobs."""

    async def fill() -> None:
        pool = await create_pool(REDIS)
        await tally.in_hundreds(lambda: pool.enqueue_job("wait", folder, count), count)
        await pool.aclose()

    asyncio.run(fill())
