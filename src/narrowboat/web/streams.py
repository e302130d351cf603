"""The feed over server-sent events and over WebSocket."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from typing import Any, cast

from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.responses import Response
from starlette.websockets import WebSocket, WebSocketDisconnect

from .feed import Feed

PING_S = 15
SEND_S = 20  # a client that takes nothing for so long is dropped
GRACE_S = 1.0  # for the last word, when the process shuts down
BACK_MS = (300, 3000)  # after how long a browser comes back: spread, so that not all come at once


def sse(feed: Feed) -> Response:
    """A text/event-stream of the feed, which is closed with it."""

    async def events() -> AsyncIterator[ServerSentEvent]:
        try:
            yield ServerSentEvent(comment="here", retry=random.randint(*BACK_MS))
            async for word in feed.words():
                yield ServerSentEvent(data=word.data.decode(), event=word.name, id=word.id or None, sep="\n")
        finally:
            feed.close()

    return EventSourceResponse(
        events(),
        sep="\n",
        ping=PING_S,
        ping_message_factory=lambda: ServerSentEvent(comment="ping", sep="\n"),
        send_timeout=SEND_S,
        shutdown_event=cast(Any, feed.stream),  # only its set() is called
        shutdown_grace_period=GRACE_S,
        headers={"Cache-Control": "private, no-store", "Referrer-Policy": "no-referrer"},
    )


async def talk(socket: WebSocket, feed: Feed) -> None:
    """Send the feed over a WebSocket: {"event": ..., "id": ..., "data": ...}, one message for each word."""
    await socket.accept()
    try:
        async with asyncio.TaskGroup() as tasks:
            listening = tasks.create_task(_until_gone(socket, feed))
            async for word in feed.words():
                text = f'{{"event":"{word.name}","data":{word.data.decode()}}}'
                async with asyncio.timeout(SEND_S):
                    await socket.send_text(text)
            listening.cancel()
        with contextlib.suppress(RuntimeError):  # gone already
            await socket.close(1001 if feed.stream.is_over else 1000)
    except* (WebSocketDisconnect, RuntimeError, TimeoutError, OSError):
        pass
    finally:
        feed.close()


async def _until_gone(socket: WebSocket, feed: Feed) -> None:
    """What a browser says is not listened to; that it has gone ends the feed."""
    with contextlib.suppress(WebSocketDisconnect):
        while True:
            await socket.receive_text()
    feed.stream.set()
