"""The jobs on taskiq with taskiq-redis: its README's stream broker, which acknowledges, or its list broker.

`xread_count` and `--max-prefetch` are as high as the concurrency. The README asks for an expiry time of results: ten
minutes. taskiq runs on uvloop when that is installed, and its documentation calls orjson the faster serializer. A lock
on claiming dead consumers' jobs stays for ever when its holder is killed, unless it is given a timeout: a minute.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncGenerator, Callable
from typing import Any

from taskiq.serializers import ORJSONSerializer  # type: ignore[import-not-found]
from taskiq_redis import ListQueueBroker, RedisAsyncResultBackend, RedisStreamBroker  # type: ignore[import-not-found]

from .. import jobs
from ..produce import in_hundreds

IS_BULK = False
URL = os.environ["BENCH_URL"]
if "BENCH_LIST" in os.environ:
    broker = ListQueueBroker(URL)
else:
    broker = RedisStreamBroker(URL, xread_count=int(os.environ["BENCH_AT_ONCE"]), unacknowledged_lock_timeout=60)
broker = broker.with_result_backend(RedisAsyncResultBackend(URL, result_ex_time=600)).with_serializer(
    ORJSONSerializer()
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
TASKS = {name: broker.register_task(body, task_name=name) for name, body in BODIES.items()}


@contextlib.asynccontextmanager
async def opened() -> AsyncGenerator[None]:
    """Started: this makes the group that will read the stream."""
    await broker.startup()
    yield
    await broker.shutdown()


async def one(task: str, number: int) -> None:
    """Enqueue one."""
    await TASKS[task].kiq(number)


async def many(task: str, numbers: list[int]) -> None:
    """Enqueue many, a hundred at a time: there is no call that takes many."""
    await in_hundreds(one, task, numbers)
