"""The jobs on Celery, with Redis as broker and, as by default, no result backend.

The prefetch multiplier is what its guide advises for many short jobs ("64, or 128",
https://docs.celeryq.dev/en/stable/userguide/optimizing.html#prefetch-limits). With BENCH_ACKS_LATE a message is
acknowledged after its job instead of before, also when the child process dies under it
(https://docs.celeryq.dev/en/stable/userguide/configuration.html#task-reject-on-worker-lost).
"""

from __future__ import annotations

import os

from celery import Celery  # type: ignore[import-not-found]

from .. import jobs

IS_BULK = False
app = Celery("bench", broker=os.environ["BENCH_URL"])
app.conf.update(
    worker_prefetch_multiplier=128 if os.environ["BENCH_WORK"] == "short" else 1,
    task_acks_late="BENCH_ACKS_LATE" in os.environ,
    task_reject_on_worker_lost="BENCH_ACKS_LATE" in os.environ,
    broker_connection_retry_on_startup=True,
)
BODIES = {
    "nothing": jobs.nothing,
    "busy": jobs.busy,
    "wait": jobs.wait_in_place,
    "hold": jobs.hold_in_place,
    "linger": jobs.linger,
}
TASKS = {name: app.task(body, name=name) for name, body in BODIES.items()}


def one(task: str, number: int) -> None:
    """Enqueue one."""
    TASKS[task].delay(number)


def many(task: str, numbers: list[int]) -> None:
    """Enqueue many over one producer, as its guide on calling tasks shows; there is no call that takes many."""
    with app.producer_or_acquire() as producer:
        for number in numbers:
            TASKS[task].apply_async((number,), producer=producer)
