"""The same job on taskiq with taskiq-redis: the broker of its README, which acknowledges, and its result backend.

`xread_count` and `--max-prefetch` are as high as the concurrency. The README asks for an expiry time of results: ten
minutes. taskiq runs on uvloop when that is installed, and its documentation calls orjson the faster serializer. More
connections than the 50 by default made it slower where this was written.
"""

from __future__ import annotations

import asyncio
import os

from taskiq.serializers import ORJSONSerializer  # type: ignore[import-not-found]
from taskiq_redis import RedisAsyncResultBackend, RedisStreamBroker  # type: ignore[import-not-found]

from . import tally

URL = os.environ["BENCH_REDIS"]
broker = (
    RedisStreamBroker(URL, xread_count=1000)
    .with_result_backend(RedisAsyncResultBackend(URL, result_ex_time=600))
    .with_serializer(ORJSONSerializer())
)


@broker.task(task_name="wait")
async def wait(folder: str, count: int) -> None:
    """Wait 0.1 s."""
    await tally.job(folder, count)


def enqueue(folder: str, count: int) -> None:
    """Write all jobs; starting the broker makes the group that will read them."""

    async def fill() -> None:
        await broker.startup()
        await tally.in_hundreds(lambda: wait.kiq(folder, count), count)  # type: ignore[attr-defined]
        await broker.shutdown()

    asyncio.run(fill())
