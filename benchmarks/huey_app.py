"""The same tasks on Huey; HUEY_FILE and HUEY_FSYNC say where, and how durable."""

import os
import time

from huey import SqliteHuey  # type: ignore[import-untyped]

huey = SqliteHuey(
    "bench", filename=os.environ["HUEY_FILE"], fsync=os.environ.get("HUEY_FSYNC") == "1", results=True, store_none=False
)


@huey.task()
def nothing() -> None:
    """Does nothing."""


@huey.task()
def when() -> float:
    """When it began."""
    return time.time()
