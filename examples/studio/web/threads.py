"""The request threads: few on purpose, so that one can see what it means when all of them are taken.

Every ordinary route is a plain function and needs one of them while it is answered, as in any WSGI server.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar, TypeVarTuple

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import Response

T = TypeVar("T")
A = TypeVarTuple("A")


@dataclass
class RequestThread:
    """What one thread is doing since when ("" and 0: nothing), and what it did last."""

    doing: str = ""
    since: float = 0.0
    last: str = ""
    took_s: float = 0.0


class RequestThreads:
    """Room for `count` requests at a time; the others stand in line, first come, first served."""

    def __init__(self, count: int) -> None:
        self.changed: Callable[[], object] = lambda: None  # called from any thread
        self._room = anyio.CapacityLimiter(count)
        self._threads = [RequestThread() for _ in range(count)]
        self._lock = threading.Lock()
        self._asked = 0

    def route(self, what: str, answer: Callable[[Request], Response]) -> Callable[[Request], Any]:
        """An ordinary route: `what` is what people read while it runs."""

        async def endpoint(request: Request) -> Response:
            return await self.run(what, answer, request)

        return endpoint

    async def run(self, what: str, call: Callable[[*A], T], *args: *A) -> T:
        """Wait for a thread, and call a function on it."""
        self._asked += 1
        self.changed()
        try:
            return await anyio.to_thread.run_sync(self._occupy, what, call, args, limiter=self._room)
        finally:
            self._asked -= 1
            self.changed()

    def document(self) -> dict[str, Any]:
        """All threads, and how many requests wait for one."""
        with self._lock:
            threads = [vars(thread).copy() for thread in self._threads]
        busy = sum(1 for thread in threads if thread["doing"])
        return {"threads": threads, "waiting": max(0, self._asked - busy)}

    def _occupy(self, what: str, call: Callable[[*A], T], args: tuple[*A]) -> T:
        began = time.time()
        with self._lock:
            mine = next(thread for thread in self._threads if not thread.doing)
            mine.doing, mine.since = what, began
        self.changed()
        try:
            return call(*args)
        finally:
            with self._lock:
                mine.doing, mine.since, mine.last, mine.took_s = "", 0.0, what, time.time() - began
