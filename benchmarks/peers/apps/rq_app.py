"""The jobs on RQ; its default worker forks for each, SimpleWorker does not.

The two classes are named here so that a worker imports this module before it forks, as RQ's notes on performance advise
(https://python-rq.org/docs/workers/#performance-notes).
"""

from __future__ import annotations

import os

from redis import Redis
from rq import Queue, SimpleWorker, Worker  # noqa: F401

from ..jobs import busy, hold_in_place, linger, nothing, wait_in_place

IS_BULK = True
TASKS = {"nothing": nothing, "busy": busy, "wait": wait_in_place, "hold": hold_in_place, "linger": linger}
queue = Queue(connection=Redis.from_url(os.environ["BENCH_URL"]))


def one(task: str, number: int) -> None:
    """Enqueue one."""
    queue.enqueue(TASKS[task], number)


def many(task: str, numbers: list[int]) -> None:
    """Enqueue many in one call."""
    queue.enqueue_many([Queue.prepare_data(TASKS[task], (number,)) for number in numbers])
