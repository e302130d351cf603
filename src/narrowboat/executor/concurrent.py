"""Async tasks: many attempts at a time on one event loop.

Jobs are read from the socket only while there is room, so what is in the kernel's buffer has not begun and can
be taken back, as with sync tasks. What the attempts say within one turn of the loop travels in one message.
"""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Mapping, Sequence

from ..core.errors import BadArguments
from ..core.file import MOST_FILES
from ..core.hooks import Hooks
from ..core.outcome import Outcome, Succeeded
from ..core.runnable import Runnable
from ..kernel import Channel
from . import helpers, wire
from .attempt import Attempt, outcome_of, unreadable
from .scratch import Scratch

READS_A_TURN = 64
SMALL = 1024  # bytes of result that travel together with others


class ConcurrentExecutor:
    """The loop of an executor of async tasks, with room for `concurrency` attempts."""

    _channel: Channel
    _loop: asyncio.AbstractEventLoop
    _end: asyncio.Future[None]

    def __init__(
        self,
        tasks: Mapping[str, Runnable],
        hooks: Hooks,
        concurrency: int,
        scratch: Scratch,
        has_files: bool = False,
        has_helpers: bool = False,
    ) -> None:
        self._tasks, self._hooks, self._concurrency, self._scratch = tasks, hooks, concurrency, scratch
        self._most_files, self._has_helpers = MOST_FILES if has_files else 0, has_helpers
        self._running: dict[int, tuple[Attempt, asyncio.Task[None]]] = {}
        self._unsent: list[wire.Small] = []
        self._is_reading = self._is_closed = False

    def serve(self, channel: Channel) -> None:
        """Run the jobs of a channel until it is closed and they have ended."""
        self._channel = channel
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._end = self._loop.create_future()
        self._loop.add_signal_handler(signal.SIGUSR1, self._hear)
        await self._hooks.astart()
        try:
            self._listen()
            await self._end
        finally:
            await self._hooks.astop()

    def _listen(self) -> None:
        if not self._is_reading and not self._is_closed:
            self._is_reading = True
            self._loop.add_reader(self._channel.fileno(), self._read)
            if self._channel.is_ahead:
                self._loop.call_soon(self._read)

    def _deafen(self) -> None:
        if self._is_reading:
            self._is_reading = False
            self._loop.remove_reader(self._channel.fileno())

    def _read(self) -> None:
        if not self._is_reading:
            return
        for _ in range(READS_A_TURN):
            if len(self._running) >= self._concurrency:
                self._deafen()
                return
            try:
                data, came = self._receive()
            except BlockingIOError:
                return
            if not data:
                self._is_closed = True
                self._deafen()
                self._end_if_over()
                return
            self._take(wire.to_executor.decode(data), came)
        if self._channel.is_ahead:
            self._loop.call_soon(self._read)

    def _receive(self) -> tuple[bytes, Sequence[int]]:
        if self._most_files:
            return self._channel.recv_with(wire.MAX_FRAME, self._most_files, socket.MSG_DONTWAIT)
        return self._channel.recv(wire.MAX_FRAME, socket.MSG_DONTWAIT), ()

    def _take(self, frame: wire.ToExecutor, came: Sequence[int]) -> None:
        match frame:
            case wire.Run():
                self._send(wire.Started(frame.token))  # leaves before the task's first line, which may never end
                attempt = Attempt(frame, self._tasks[frame.task], self._send, came)
                self._running[frame.token] = attempt, self._loop.create_task(self._attend(attempt))
            case wire.Stop():
                self._stop(frame)

    def _hear(self) -> None:
        """A stop was announced; read it even if there is no room for more jobs."""
        while True:
            try:
                data = self._channel.recv(wire.MAX_FRAME, socket.MSG_DONTWAIT | socket.MSG_PEEK)
            except BlockingIOError:
                return
            frame = wire.to_executor.decode(data) if data else None
            if not isinstance(frame, wire.Stop):
                return
            self._channel.recv(wire.MAX_FRAME)
            self._stop(frame)

    def _stop(self, stop: wire.Stop) -> None:
        """Cancel one attempt in the loop, and say so: what goes on after that has only itself to blame."""
        if stop.token in self._running:
            attempt, task = self._running[stop.token]
            attempt.stop = stop
            if attempt.is_inside:  # a task cancelled before its first turn would never say how it ended
                task.cancel(stop.reason or stop.why)
            self._send(wire.Told(stop.token))

    async def _attend(self, attempt: Attempt) -> None:
        token, timeout_s = attempt.run.token, attempt.run.timeout_s
        timer = self._loop.call_later(timeout_s, self._stop, wire.Stop(token, "timeout"))
        outcome = await self._outcome(attempt)
        timer.cancel()
        del self._running[token]
        if not self._running:
            self._tidy()
        elif self._most_files:
            self._scratch.drop(token)
        self._send(attempt.end(outcome))
        self._listen()
        self._end_if_over()

    def _tidy(self) -> None:
        """No attempt is left: nothing of theirs is to be, either. What still is ends with this process."""
        if (self._has_helpers and helpers.are_left()) or not self._scratch.tidy():
            self._is_closed = True
            self._deafen()

    async def _outcome(self, attempt: Attempt) -> Outcome:
        """Run one job to its outcome. Nothing that a task raises gets past this."""
        run, task = attempt.run, attempt.task
        try:
            arguments = attempt.arguments(self._scratch)
        except BadArguments as error:
            return unreadable(run, task, error)
        except OSError as error:
            return outcome_of(error, attempt)
        attempt.is_inside = True
        try:
            attempt.enter()
            try:
                if attempt.stop is not None:
                    raise asyncio.CancelledError
                async with self._hooks.aaround(attempt.job):
                    return Succeeded(await task.arun(arguments))
            finally:
                attempt.leave()
        except BaseException as error:  # noqa: BLE001  (whatever a task raises is its outcome)
            return outcome_of(error, attempt)

    def _end_if_over(self) -> None:
        if self._is_closed and not self._running and not self._end.done():
            self._flush()
            self._end.set_result(None)

    def _send(self, frame: wire.FromExecutor, descriptor: int = -1, /) -> None:
        if isinstance(frame, wire.Asked | wire.Several | wire.Carried):
            self._flush()  # what it follows comes first
            if descriptor < 0:
                self._channel.send(wire.encode(frame))
            else:
                self._channel.send_with(wire.encode(frame), [descriptor])
            return
        if not self._unsent:
            self._loop.call_soon(self._flush)
        self._unsent.append(frame)

    def _flush(self) -> None:
        unsent, self._unsent = self._unsent, []
        together: list[wire.Small] = []
        for frame in unsent:
            is_large = _is_large(frame)
            if together and (is_large or len(together) >= wire.SEVERAL):
                self._post(together)
                together = []
            together.append(frame)
            if is_large:
                self._post(together)
                together = []
        if together:
            self._post(together)

    def _post(self, frames: list[wire.Small]) -> None:
        self._channel.send(wire.encode(frames[0] if len(frames) == 1 else wire.Several(tuple(frames))))


def _is_large(frame: wire.Small) -> bool:
    if not isinstance(frame, wire.Ended):
        return False
    return not isinstance(frame.outcome, Succeeded) or len(frame.outcome.result) > SMALL
