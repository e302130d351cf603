"""An executor: takes one job at a time from its socket, runs it, and answers with one outcome.

The kernel's socket buffer is the queue of jobs ahead. What is still in it has not begun: the worker, which
holds a second handle on the reading end, can take it back at any moment, even while a task never returns.
"""

from __future__ import annotations

import faulthandler
import gc
import logging
import os
import signal
import socket
import sys
import time
import traceback
from collections.abc import Mapping
from types import FrameType
from typing import NoReturn

from ..core import context
from ..core.errors import Cancel, RetryIn, Snooze, Stopping
from ..core.job import Progress
from ..core.outcome import Cancelled, Crashed, ErrorInfo, Failed, Outcome, Released, Snoozed, Succeeded
from ..core.runnable import Runnable
from ..core.task import TaskSpec
from ..core.units import seconds
from . import linux, wire
from .capture import Lines, LogHandler, Printed

PROGRESS_EVERY_S = 0.05
WARM_UP = 50
_OWN = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def main(executor: Executor, channel: socket.socket, last_words: int, lifeline: int, memory: int | None) -> NoReturn:
    """Become an executor in a freshly forked process; ends when the worker closes the channel."""
    status = 1
    try:
        os.setsid()
        linux.call_me("nb-executor")
        linux.silence_descriptors({channel.fileno(), last_words, lifeline})
        linux.die_with(lifeline)
        faulthandler.enable(file=last_words)
        if memory is not None:
            linux.limit_memory(memory)
        if "numpy" in sys.modules:  # its global generator is the same in all forks, unlike random's
            sys.modules["numpy"].random.seed()
        gc.enable()
        executor.serve(channel)
        status = 0
    except (BrokenPipeError, ConnectionResetError):
        status = 0  # the worker is gone
    except BaseException:  # noqa: BLE001  (the last words of this process, whatever they are)
        os.write(last_words, traceback.format_exc().encode()[-8000:])
    finally:
        os._exit(status)


class Executor:
    """The loop of an executor. The zygote makes it ready once, so that its forks share what that touches."""

    _channel: socket.socket

    def __init__(self, tasks: Mapping[str, Runnable]) -> None:
        self._tasks = tasks
        self._job: wire.Run | None = None  # the job whose code is running now
        self._stop: wire.Stop | None = None  # what Stopping was raised for
        self._is_nudged = False
        self._lines = Lines(self._send_line)
        self._last_progress = 0.0
        self._printed = Printed(self._write)

    def arm(self) -> None:
        """Take over the signals, the standard streams and the root logger of this process."""
        signal.signal(signal.SIGALRM, self._on_alarm)
        signal.signal(signal.SIGUSR1, self._on_nudge)
        sys.stdout = sys.stderr = self._printed  # type: ignore[assignment]
        root = logging.getLogger()
        root.addHandler(LogHandler(self._write))
        if root.level == logging.WARNING:
            root.setLevel(logging.INFO)

    def serve(self, channel: socket.socket) -> None:
        """Run the jobs of a channel until it is closed."""
        self._channel = channel
        job = self._next()
        while job is not None:
            self._send(wire.Started(job.id))
            while job is not None:
                began = time.monotonic()
                outcome = self.run(job)
                ran_s = time.monotonic() - began
                following = None if isinstance(outcome, Crashed) else self._next_at_hand()
                self._send(wire.Ended(job.id, outcome, ran_s, following.id if following else None))
                if isinstance(outcome, Crashed):
                    return  # what ran out of time or memory leaves a process that is not to be trusted
                job = following
            job = self._next()

    def run(self, job: wire.Run) -> Outcome:
        """Run one job to its outcome. Nothing that a task raises gets past this."""
        try:
            try:
                self._begin(job)
                return Succeeded(self._tasks[job.task].run(job.args))
            finally:
                self._finish()
        except Stopping as stopping:
            return self._stopped(stopping)
        except Snooze as control:
            return Snoozed(seconds(control.delay))
        except RetryIn as control:
            return Failed(describe(control), retry=True, delay_s=seconds(control.delay))
        except Cancel as control:
            return Cancelled(control.reason[:300])
        except MemoryError as error:
            return Crashed("out of memory", describe(error).traceback)
        except BaseException as error:  # noqa: BLE001  (whatever a task raises is its outcome)
            if self._stop is not None:  # it came from the Stopping that was raised in the task
                return self._stopped(error)
            return Failed(describe(error), retry=self._tasks[job.task].covers(error))

    def _begin(self, job: wire.Run) -> None:
        self._stop = None
        self._lines = Lines(self._send_line)
        self._last_progress = 0.0
        deadline = time.time() + job.timeout_s
        running = context.RunningJob(
            job.id, job.task, job.queue, job.attempt, deadline, job.token, job.headers, job.tags
        )
        context.current.set(running)
        context.reporter.set(self._report)
        self._job = job
        signal.setitimer(signal.ITIMER_REAL, job.timeout_s)
        if self._is_nudged:
            self._hear()

    def _finish(self) -> None:
        self._printed.finish()
        signal.setitimer(signal.ITIMER_REAL, 0)
        self._job = None
        context.current.set(None)
        context.reporter.set(None)

    def _stopped(self, error: BaseException) -> Outcome:
        stop = self._stop
        if stop is None or stop.why == "timeout":
            return Crashed("timeout", describe(error).traceback)
        return Released("shutdown") if stop.why == "shutdown" else Cancelled(stop.reason)

    def _on_alarm(self, number: int, frame: FrameType | None) -> None:
        if self._job is not None:
            self._stop = wire.Stop(self._job.id, "timeout")
            raise Stopping(f"the timeout of {self._job.timeout_s:g} s is over")

    def _on_nudge(self, number: int, frame: FrameType | None) -> None:
        self._is_nudged = True
        if self._job is not None:
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
        if self._job is not None and frame.id == self._job.id:
            self._stop = frame
            raise Stopping(frame.reason or frame.why)

    def _next(self) -> wire.Run | None:
        """Wait for a job; None when the worker closed the channel."""
        while data := self._channel.recv(wire.MAX_FRAME):
            frame = wire.to_executor.decode(data)
            if isinstance(frame, wire.Run):
                return frame
        return None

    def _next_at_hand(self) -> wire.Run | None:
        """A job that is there already, so that its start travels with the end of the one before."""
        try:
            data = self._channel.recv(wire.MAX_FRAME, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return None
        frame = wire.to_executor.decode(data) if data else None
        return frame if isinstance(frame, wire.Run) else None

    def _send(self, frame: wire.FromExecutor) -> None:
        self._channel.send(wire.encode(frame))

    def _write(self, text: str) -> None:
        if self._job is not None:
            self._lines.add(text)

    def _send_line(self, line: str) -> None:
        if self._job is not None:
            self._send(wire.Logged(self._job.id, line))

    def _report(self, progress: Progress) -> None:
        now = time.monotonic()
        is_last = bool(progress.total) and progress.done >= progress.total
        if self._job is not None and (is_last or now - self._last_progress >= PROGRESS_EVERY_S):
            self._last_progress = now
            self._send(wire.Reported(self._job.id, progress))


class Nothing:
    """A task for the warm-up."""

    spec = TaskSpec(name="warm-up")

    def run(self, args: bytes) -> bytes:
        """Do nothing."""
        return b""

    def covers(self, error: BaseException) -> bool:
        """It raises nothing."""
        return False


def prepared(tasks: Mapping[str, Runnable]) -> Executor:
    """An executor that is ready to be forked: armed, and run for a moment.

    The interpreter rewrites code while it runs for the first times. Done before the fork, those pages stay
    shared; together with arming it saves each executor about half a megabyte.
    """
    ours, theirs = wire.pair()
    for number in range(WARM_UP):
        ours.send(wire.encode(wire.Run(f"warm-up:{number}", "warm-up", "warm-up", 1, number, b"{}", 60.0)))
    ours.shutdown(socket.SHUT_WR)
    Executor({"warm-up": Nothing()}).serve(theirs)
    ours.close()
    theirs.close()
    executor = Executor(tasks)
    executor.arm()
    return executor


def describe(error: BaseException) -> ErrorInfo:
    """An error as bounded text, without the frames of this package."""
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    whole = traceback.TracebackException.from_exception(error, limit=-60)
    for part in _chain(whole):
        part.stack = traceback.StackSummary.from_list([f for f in part.stack if not f.filename.startswith(_OWN)])
    try:
        message = str(error)
    except Exception:  # noqa: BLE001  (a hostile or broken __str__)
        message = "(its message cannot be shown)"
    return ErrorInfo(type=name, message=message, traceback="".join(whole.format())).bounded()


def _chain(part: traceback.TracebackException | None) -> list[traceback.TracebackException]:
    found: list[traceback.TracebackException] = []
    while part is not None:
        found.append(part)
        part = part.__cause__ or part.__context__
    return found
