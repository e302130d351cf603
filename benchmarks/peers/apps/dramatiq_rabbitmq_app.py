"""The jobs on Dramatiq: its RabbitMQ broker, which confirms what is sent (https://dramatiq.io/reference.html#brokers)."""

from __future__ import annotations

import os

import dramatiq  # type: ignore[import-not-found]
from dramatiq.brokers.rabbitmq import RabbitmqBroker  # type: ignore[import-not-found]

from .. import jobs

IS_BULK = False
broker = RabbitmqBroker(url=os.environ["BENCH_URL"], confirm_delivery=True)
dramatiq.set_broker(broker)
TASKS = {"nothing": dramatiq.actor(jobs.nothing, actor_name="nothing")}


def one(task: str, number: int) -> None:
    """Enqueue one."""
    TASKS[task].send(number)


def many(task: str, numbers: list[int]) -> None:
    """Enqueue many, one by one: there is no call that takes many."""
    for number in numbers:
        TASKS[task].send(number)
