"""The jobs on PgQueuer with asyncpg, its fastest driver by its documentation, and one connection for each worker.

https://pgqueuer.readthedocs.io/en/latest/guides/performance-tuning: a larger batch for short jobs, `pgq autovac` after
`pgq install`, a single connection for the manager. Its tables are as durable as by default. Its command runs on uvloop.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncGenerator

import asyncpg  # type: ignore[import-not-found]
from pgqueuer import PgQueuer  # type: ignore[import-not-found]
from pgqueuer.db import AsyncpgDriver  # type: ignore[import-not-found]
from pgqueuer.models import Job  # type: ignore[import-not-found]
from pgqueuer.queries import Queries  # type: ignore[import-not-found]

from .. import jobs

IS_BULK = True
BODIES = {"nothing": jobs.nothing, "busy": jobs.busy, "wait": jobs.wait, "hold": jobs.hold, "linger": jobs.linger}
_queries: list[Queries] = []


@contextlib.asynccontextmanager
async def main() -> AsyncGenerator[PgQueuer]:
    """Read by its command."""
    manager = PgQueuer.from_asyncpg_connection(await asyncpg.connect(os.environ["BENCH_URL"]))
    for name, body in BODIES.items():
        _register(manager, name, body)
    yield manager


def _register(manager: PgQueuer, name: str, body: object) -> None:
    @manager.entrypoint(name)
    async def job(job: Job) -> None:
        done = body(int(job.payload))  # type: ignore[operator]
        if asyncio.iscoroutine(done):
            await done


@contextlib.asynccontextmanager
async def opened() -> AsyncGenerator[None]:
    """Connected."""
    connection = await asyncpg.connect(os.environ["BENCH_URL"])
    _queries.append(Queries(AsyncpgDriver(connection)))
    yield
    await connection.close()


async def one(task: str, number: int) -> None:
    """Enqueue one."""
    await _queries[0].enqueue(task, b"%d" % number)


async def many(task: str, numbers: list[int]) -> None:
    """Enqueue many in one call."""
    await _queries[0].enqueue([task] * len(numbers), [b"%d" % number for number in numbers], [0] * len(numbers))
