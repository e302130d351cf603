"""The asynchronous job on Narrowboat; NARROWBOAT_URL says where."""

from __future__ import annotations

from narrowboat import App

from . import tally

app = App("bench-async")


@app.task(concurrency=1000)
async def wait(folder: str, count: int) -> None:
    """Wait 0.1 s."""
    await tally.job(folder, count)


def enqueue(folder: str, count: int) -> None:
    """Write all jobs, in calls of 1,000."""
    for start in range(0, count, 1000):
        app.enqueue_many([wait.job(folder, count) for _ in range(min(1000, count - start))])
    app.close()
