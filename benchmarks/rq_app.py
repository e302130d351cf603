"""The job that does nothing, on RQ; its worker forks for each job by default."""

import os

from redis import Redis
from rq import Queue


def nothing() -> None:
    """Does nothing."""


def enqueue(folder: str, count: int) -> None:
    """Write all jobs."""
    queue = Queue(connection=Redis.from_url(os.environ["BENCH_REDIS"]))
    queue.enqueue_many([Queue.prepare_data(nothing) for _ in range(count)])
