"""Sync tasks: one job at a time from the socket, run, answered with one outcome.

The kernel's socket buffer is the queue of jobs ahead. What is still in it has not begun: the worker, which
holds a second handle on the reading end, can take it back at any moment, even while a task never returns.
"""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Mapping, Sequence
from types import FrameType

from ..core.errors import BadArguments, Stopping
from ..core.file import MOST_FILES
from ..core.hooks import Hooks
from ..core.outcome import Crashed, Outcome, Succeeded
from ..core.runnable import Runnable
from ..kernel import Channel
from ..sandbox.walls import limit_processor
from . import helpers, wire
from .attempt import Attempt, outcome_of, unreadable
from .scratch import Scratch


class SerialExecutor:
    """The loop of an executor of sync tasks. The zygote makes it ready once, so that forks share what that touches."""

    _channel: Channel
    _scratch: Scratch
    _cpu_s: float | None = None
    _is_fresh = _has_files = _has_helpers = False

    def __init__(self, tasks: Mapping[str, Runnable], hooks: Hooks) -> None:
        self._tasks, self._hooks = tasks, hooks
        self.attempt: Attempt | None = None  # the one whose code is running now
        self._is_nudged = False
        self._alarm_at = 0.0  # monotonic; when the timer of this process strikes; 0 for not at all
        self._came: Sequence[int] = ()  # open files of the next attempt

    def arm(self) -> None:
        """Take over the signals of this process."""
        signal.signal(signal.SIGALRM, self._on_alarm)
        signal.signal(signal.SIGUSR1, self._on_nudge)

    def settle_in(
        self,
        scratch: Scratch,
        cpu_s: float | None,
        is_fresh: bool,
        has_files: bool = False,
        has_helpers: bool = False,
    ) -> None:
        """What this process has and may use. cpu_s: seconds of processor time for each attempt."""
        self._scratch, self._cpu_s, self._is_fresh = scratch, cpu_s, is_fresh
        self._has_files, self._has_helpers = has_files, has_helpers

    def serve(self, channel: Channel) -> None:
        """Run the jobs of a channel until it is closed."""
        self._channel = channel
        self._hooks.start()
        try:
            self._serve()
        finally:
            self._hooks.stop()

    def _serve(self) -> None:
        run = self._next()
        while run is not None:
            self._alarm_at = 0.0  # a task before may have used the timer
            self._send(wire.Started(run.token))
            while run is not None:
                attempt = Attempt(run, self._tasks[run.task], self._send, self._came)
                outcome = self._outcome(attempt)
                is_spoilt = isinstance(outcome, Crashed) or self._is_fresh
                is_spoilt = is_spoilt or (self._has_helpers and helpers.are_left())
                is_spoilt = is_spoilt or not self._scratch.tidy()
                following = None if is_spoilt else self._next_at_hand()
                self._send(attempt.end(outcome, following.token if following else None))
                if is_spoilt:
                    return  # what ran out of time or memory is not to be trusted; what was left ends with it
                run = following
            run = self._next()

    def _outcome(self, attempt: Attempt) -> Outcome:
        """Run one job to its outcome. Nothing that a task raises gets past this."""
        run, task = attempt.run, attempt.task
        try:
            arguments = attempt.arguments(self._scratch)
        except BadArguments as error:
            return unreadable(run, task, error)
        except OSError as error:
            return outcome_of(error, attempt)
        try:
            try:
                self._begin(attempt)
                if not self._hooks.has_around:
                    return Succeeded(task.run(arguments))
                with self._hooks.around(attempt.job):
                    return Succeeded(task.run(arguments))
            finally:
                self._finish(attempt)
        except BaseException as error:  # noqa: BLE001  (whatever a task raises is its outcome)
            if self.attempt is not None:  # a signal came just as it ended
                self._finish(attempt)
            return outcome_of(error, attempt)

    def _begin(self, attempt: Attempt) -> None:
        attempt.enter()
        self.attempt = attempt
        overdue_at = attempt.began + attempt.run.timeout_s
        # One timer serves many short attempts: where it strikes too early for the one that runs, it is set anew.
        if not 0.0 < self._alarm_at <= overdue_at:
            self._set_alarm(overdue_at)
        if self._cpu_s is not None:
            limit_processor(self._cpu_s, is_final=self._is_fresh)
        if self._is_nudged:
            self._hear()

    def _set_alarm(self, at: float) -> None:
        self._alarm_at = at
        signal.setitimer(signal.ITIMER_REAL, max(at - time.monotonic(), 1e-6))

    def _finish(self, attempt: Attempt) -> None:
        self.attempt = None
        attempt.leave()

    def _on_alarm(self, number: int, frame: FrameType | None) -> None:
        attempt, self._alarm_at = self.attempt, 0.0
        if attempt is None:
            return
        overdue_at = attempt.began + attempt.run.timeout_s
        if time.monotonic() < overdue_at:
            self._set_alarm(overdue_at)
        else:
            attempt.stop = wire.Stop(attempt.run.token, "timeout")
            raise Stopping(f"the timeout of {attempt.run.timeout_s:g} s is over")

    def _on_nudge(self, number: int, frame: FrameType | None) -> None:
        self._is_nudged = True
        if self.attempt is not None:
            self._hear()

    def _hear(self) -> None:
        """Read the stop that a nudge announced. The worker took the jobs ahead back before it sent one."""
        self._is_nudged = False
        try:
            frame = wire.to_executor.decode(self._channel.recv(wire.MAX_FRAME, socket.MSG_DONTWAIT | socket.MSG_PEEK))
        except BlockingIOError:
            return
        if not isinstance(frame, wire.Stop):
            return
        self._channel.recv(wire.MAX_FRAME)
        if self.attempt is not None and frame.token == self.attempt.run.token:
            self.attempt.stop = frame
            raise Stopping(frame.reason or frame.why)

    def _next(self) -> wire.Run | None:
        """Wait for a job; None when the worker closed the channel."""
        while data := self._receive():
            frame = wire.to_executor.decode(data)
            if isinstance(frame, wire.Run):
                return frame
        return None

    def _receive(self) -> bytes:
        if not self._has_files:
            return self._channel.recv(wire.MAX_FRAME)
        data, self._came = self._channel.recv_with(wire.MAX_FRAME, MOST_FILES)
        return data

    def _next_at_hand(self) -> wire.Run | None:
        """A job that is there already, so that its start travels with the end of the one before."""
        if self._has_files:
            return None
        try:
            data = self._channel.recv(wire.MAX_FRAME, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return None
        frame = wire.to_executor.decode(data) if data else None
        return frame if isinstance(frame, wire.Run) else None

    def _send(self, frame: wire.FromExecutor, descriptor: int = -1, /) -> None:
        if descriptor < 0:
            self._channel.send(wire.encode(frame))
        else:
            self._channel.send_with(wire.encode(frame), [descriptor])
