"""The jobs on Dramatiq: its Redis broker and its default middleware, which retries and acknowledges after the job.

A connection for each greenlet that waits: redis-py opens no more than 100 unless it is told to.
"""

from __future__ import annotations

import os

import dramatiq  # type: ignore[import-not-found]
from dramatiq.brokers.redis import RedisBroker  # type: ignore[import-not-found]
from redis import Redis

from .. import jobs

IS_BULK = False
broker = RedisBroker(client=Redis.from_url(os.environ["BENCH_URL"], max_connections=2000))
dramatiq.set_broker(broker)
BODIES = {
    "nothing": jobs.nothing,
    "busy": jobs.busy,
    "wait": jobs.wait_in_place,
    "hold": jobs.hold_in_place,
    "linger": jobs.linger,
}
TASKS = {name: dramatiq.actor(body, actor_name=name) for name, body in BODIES.items()}


def one(task: str, number: int) -> None:
    """Enqueue one."""
    TASKS[task].send(number)


def many(task: str, numbers: list[int]) -> None:
    """Enqueue many, one by one: there is no call that takes many."""
    for number in numbers:
        TASKS[task].send(number)
