"""A blocking call, awaited. asyncio is imported when one is: executors of sync tasks are forked faster without it."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


async def in_thread(function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
    """What the call gives; it is made in a thread, and the event loop goes on meanwhile."""
    import asyncio

    return await asyncio.to_thread(function, *args, **kwargs)
