"""A web process of one system: `python -m benchmarks.peers.produce MODULE`, in that system's own environment.

Reads a request in each line of its input, and answers with a line. Needs nothing but Python and the system.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import inspect
import json
import os
import random
import sys
import time
from collections.abc import Coroutine
from typing import Any, TextIO

from .jobs import LEDGER, RECORD

IN_ONE_CALL = 1000
PAUSE_S = (0.002, 0.02)  # between two jobs for an idle worker, at random, so that nobody's rhythm is met


class Producer:
    """Enqueues by the two functions of an app; plain ones are called as they are, with no event loop around."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._is_async = inspect.iscoroutinefunction(app.one)
        self._is_bulk: bool = app.IS_BULK

    async def answer(self, requests: TextIO, answers: TextIO) -> None:
        """Do what each line asks for, until there are no more."""
        print("{}", file=answers, flush=True)
        while line := await asyncio.to_thread(requests.readline) if self._is_async else requests.readline():
            request = json.loads(line)
            answer = await getattr(self, request.pop("do"))(**request)
            print(json.dumps(answer), file=answers, flush=True)

    async def one(self, task: str, first: int, count: int) -> dict[str, Any]:
        """Jobs one by one; how long it took."""
        one, began = self._app.one, time.monotonic()
        if self._is_async:
            for number in range(first, first + count):
                await one(task, number)
        else:
            for number in range(first, first + count):
                one(task, number)
        return {"seconds": time.monotonic() - began}

    async def many(self, task: str, first: int, count: int) -> dict[str, Any]:
        """Jobs in calls of 1,000; how long it took."""
        began = time.monotonic()
        for start in range(first, first + count, IN_ONE_CALL):
            await self._many(task, list(range(start, min(first + count, start + IN_ONE_CALL))))
        return {"seconds": time.monotonic() - began}

    async def idle(self, task: str, first: int, count: int, limit_s: float) -> dict[str, Any]:
        """Jobs one after the other, the next a moment after the last has run; when each was sent."""
        sent: list[float] = []
        noted, end = os.stat(LEDGER).st_size, time.monotonic() + limit_s
        while len(sent) < count and time.monotonic() < end:
            sent.append(time.monotonic())
            await self._one(task, first + len(sent) - 1)
            while os.stat(LEDGER).st_size < noted + len(sent) * RECORD.size and time.monotonic() < end + 30:
                await self._sleep(0.001)
            await self._sleep(random.uniform(*PAUSE_S))
        return {"sent": sent}

    async def steady(self, task: str, first: int, rate: float, seconds: float) -> dict[str, Any]:
        """Jobs at a rate, whatever becomes of them; when each was sent.

        What has become due is sent in one call where the system has one, as a busy web application would.
        """
        sent: list[float] = []
        began = time.monotonic()
        while (now := time.monotonic()) < began + seconds:
            due = int((now - began) * rate) - len(sent)
            if due < 1:
                await self._sleep(min(0.002, 1 / rate))
            elif due == 1 or not self._is_bulk:
                sent.append(time.monotonic())
                await self._one(task, first + len(sent) - 1)
            else:
                numbers = list(range(first + len(sent), first + len(sent) + min(due, IN_ONE_CALL)))
                sent += [time.monotonic()] * len(numbers)
                await self._many(task, numbers)
        return {"sent": sent, "seconds": time.monotonic() - began}

    async def _sleep(self, seconds: float) -> None:
        if self._is_async:
            await asyncio.sleep(seconds)
        else:
            time.sleep(seconds)

    async def _one(self, task: str, number: int) -> None:
        called = self._app.one(task, number)
        if self._is_async:
            await called

    async def _many(self, task: str, numbers: list[int]) -> None:
        called = self._app.many(task, numbers)
        if self._is_async:
            await called


async def in_hundreds(one: Any, task: str, numbers: list[int]) -> None:
    """A hundred at a time, for asynchronous systems without a call that takes many."""
    for start in range(0, len(numbers), 100):
        await asyncio.gather(*(one(task, number) for number in numbers[start : start + 100]))


def run(coroutine: Coroutine[Any, Any, None]) -> None:
    """A coroutine that waits for no event loop, without one."""
    try:
        coroutine.send(None)
    except StopIteration:
        return
    raise RuntimeError("it waits for an event loop")


def main(module: str) -> None:
    """Answer until the input ends. What a system prints goes to the standard error instead of between the answers."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    app: Any = importlib.import_module(module)
    around = app.opened() if hasattr(app, "opened") else contextlib.nullcontext()

    async def inside() -> None:
        if hasattr(around, "__enter__"):
            with around:
                await Producer(app).answer(sys.stdin, answers)
        else:
            async with around:
                await Producer(app).answer(sys.stdin, answers)

    if inspect.iscoroutinefunction(app.one):
        asyncio.run(inside())
    else:
        run(inside())


if __name__ == "__main__":
    main(sys.argv[1])
