"""The jobs on Procrastinate, asynchronous ones, as its page on concurrency advises for throughput.

https://procrastinate.readthedocs.io/en/stable/howto/production/concurrency.html. The periodic task is the one of its
page on stalled jobs, without which a killed worker's jobs stay `doing` for ever; every minute instead of every ten
(https://procrastinate.readthedocs.io/en/stable/howto/production/retry_stalled_jobs.html).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from procrastinate import App, PsycopgConnector  # type: ignore[import-not-found]

from .. import jobs

IS_BULK = True
app = App(connector=PsycopgConnector(conninfo=os.environ["BENCH_URL"]))


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
TASKS = {name: app.task(name=name)(body) for name, body in BODIES.items()}


@app.periodic(cron="* * * * *")
@app.task(queueing_lock="retry_stalled_jobs", pass_context=True)
async def retry_stalled_jobs(context: Any, timestamp: int) -> None:
    """Give back what dead workers had."""
    for job in await app.job_manager.get_stalled_jobs():
        await app.job_manager.retry_job(job)


def opened() -> Any:
    """Connected."""
    return app.open()


def one(task: str, number: int) -> None:
    """Enqueue one."""
    TASKS[task].defer(number=number)


def many(task: str, numbers: list[int]) -> None:
    """Enqueue many in one call."""
    TASKS[task].batch_defer(*({"number": number} for number in numbers))
