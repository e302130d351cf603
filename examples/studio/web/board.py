"""What every open page shows of the server itself, told by server-sent events.

Streams are told what is the case, not what happened: one that is slow, or was cut, misses nothing that still matters.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import anyio
from sse_starlette import EventSourceResponse, ServerSentEvent

GRACE_S = 2.0  # for streams to say goodbye when the server stops


class Board:
    """Named documents, each kept in its latest version only."""

    def __init__(self) -> None:
        self._now: dict[str, tuple[int, dict[str, Any]]] = {}
        self._changed = asyncio.Event()
        self.readers = 0

    def put(self, name: str, document: dict[str, Any]) -> None:
        """Replace a document. From the event loop only."""
        version, there = self._now.get(name, (0, None))
        if document != there:
            self._now[name] = version + 1, document
            changed, self._changed = self._changed, asyncio.Event()
            changed.set()

    def stream(self) -> EventSourceResponse:
        """Every document, then each that changes."""
        over = anyio.Event()
        return EventSourceResponse(
            self._events(over), shutdown_event=over, shutdown_grace_period=GRACE_S, send_timeout=10
        )

    async def _events(self, over: anyio.Event) -> AsyncIterator[ServerSentEvent]:
        seen: dict[str, int] = {}
        self.readers += 1
        try:
            while not over.is_set():
                changed = self._changed
                for name, (version, document) in list(self._now.items()):
                    if seen.get(name) != version:
                        seen[name] = version
                        data = json.dumps({"now": time.time(), **document})
                        yield ServerSentEvent(data, event=name, retry=1000)
                with anyio.move_on_after(0.5):  # to look whether it is over
                    await changed.wait()
            yield ServerSentEvent("", event="bye")
        finally:
            self.readers -= 1
