"""The jobs on Huey: RedisHuey, which waits for work in Redis (BRPOP) and keeps no empty results.

For greenlets everything is patched first and the pool has a connection for each, as its documentation asks
(https://huey.readthedocs.io/en/latest/consumer.html#using-gevent).
"""

from __future__ import annotations

import os

if os.environ["BENCH_WORK"] == "waiting":
    from gevent import monkey  # type: ignore[import-not-found]

    monkey.patch_all()

from huey import RedisHuey  # type: ignore[import-not-found]
from redis import ConnectionPool

from .. import jobs

IS_BULK = False
huey = RedisHuey("bench", connection_pool=ConnectionPool.from_url(os.environ["BENCH_URL"], max_connections=2000))
BODIES = {
    "nothing": jobs.nothing,
    "busy": jobs.busy,
    "wait": jobs.wait_in_place,
    "hold": jobs.hold_in_place,
    "linger": jobs.linger,
}
TASKS = {name: huey.task(name=name)(body) for name, body in BODIES.items()}


def one(task: str, number: int) -> None:
    """Enqueue one."""
    TASKS[task](number)


def many(task: str, numbers: list[int]) -> None:
    """Enqueue many, one by one: its `map` does so, too."""
    for number in numbers:
        TASKS[task](number)
