"""The jobs on streaQ, with both of its documentation's "worker optimizations": coredis's optimized mode and uvloop.

https://streaq.readthedocs.io/en/latest/worker.html#worker-optimization. More connections than coredis's 64 helped it a
little with many jobs at a time. The rest is its default, also `prefetch` (as the concurrency), results kept for five
minutes, and `idle_timeout`, after which a dead worker's jobs run again.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import coredis  # type: ignore[import-not-found]
from streaq import Worker  # type: ignore[import-not-found]

from .. import jobs

IS_BULK = True
coredis.Config.optimized = True
worker = Worker(
    redis_url=os.environ["BENCH_URL"],
    redis_kwargs={"max_connections": 1000},
    concurrency=int(os.environ["BENCH_AT_ONCE"]),
    anyio_kwargs={"use_uvloop": True},
)


def _plain(body: Callable[[int], None]) -> Callable[..., Any]:
    async def job(number: int) -> None:
        body(number)

    return job


BODIES = {
    "nothing": _plain(jobs.nothing),
    "busy": _plain(jobs.busy),
    "wait": jobs.wait,
    "hold": jobs.hold,
    "linger": _plain(jobs.linger),
}
TASKS = {name: worker.task(name=name, silent=True)(body) for name, body in BODIES.items()}


def opened() -> Worker:
    """Connected."""
    return worker


async def one(task: str, number: int) -> None:
    """Enqueue one."""
    await TASKS[task].enqueue(number)


async def many(task: str, numbers: list[int]) -> None:
    """Enqueue many in one call."""
    await worker.enqueue_many([TASKS[task].enqueue(number) for number in numbers])
