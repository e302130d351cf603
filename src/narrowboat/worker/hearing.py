"""What executors say, believed only as far as it is bounded, typed, and about their own jobs."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Protocol

from ..core.file import MOST_FILES
from ..core.job import Progress
from ..core.outcome import Outcome, Succeeded
from ..executor import wire
from ..files.carry import Sent
from .distrust import believable, believable_job, believable_progress
from .executors import Executor, ProtocolViolation
from .held import Held

MOST_LINES = 201  # what an executor sends of one attempt, its note that there was more included
MOST_LINES_HEARD = 2 * MOST_LINES  # threads that write at the same time may send a few more
LONGEST_LINE = 1_000  # characters
MOST_ASKED = 100_000
MOST_ASKED_BYTES = 64 * 1024 * 1024


class Events(Protocol):
    """What a pool tells the worker."""

    def began(self, held: Held) -> None:
        """An attempt has begun."""
        ...

    def ended(self, held: Held, outcome: Outcome, now: float | None = None) -> None:
        """An attempt, or a claim that never became one, is over. now: monotonic, where it is known."""
        ...

    def progressed(self, held: Held, progress: Progress) -> None:
        """A running job reported."""
        ...

    def logged(self, held: Held, line: str) -> None:
        """A running job wrote a line."""
        ...


class Hearing:
    """Takes the frames of executors apart. `ended` is told to the pool first, which keeps its own books."""

    def __init__(
        self,
        events: Events,
        began: Callable[[Executor, Held], None],
        ended: Callable[[Executor, Held, Outcome, float], None],
        keep: Callable[[Held, Succeeded], None],
    ) -> None:
        self._events, self._began, self._ended, self._keep = events, began, ended, keep

    def hear(self, executor: Executor, frame: wire.FromExecutor, descriptor: int = -1) -> None:
        """One frame, perhaps with an open file, which is the job's from then on. Raises ProtocolViolation."""
        if (descriptor >= 0) is not isinstance(frame, wire.Carried):
            raise ProtocolViolation(f"a {type(frame).__name__} {'with' if descriptor >= 0 else 'without'} an open file")
        if isinstance(frame, wire.Ended):  # as most are
            self._hear_end(executor, frame)
            return
        if isinstance(frame, wire.Several):
            if len(frame.frames) > wire.SEVERAL:  # a turn would take so long that neighbours notice
                raise ProtocolViolation("more frames at once than an executor sends")
            for part in frame.frames:
                self.hear(executor, part)
            return
        held = executor.given.get(frame.token)
        if isinstance(frame, wire.Started):
            self._begin(executor, held, time.monotonic())
        elif held is None or held.started_at is None:
            raise ProtocolViolation(f"a {type(frame).__name__} of a job that is not its own, or was not begun")
        else:
            self._say(held, frame, descriptor)

    def _hear_end(self, executor: Executor, frame: wire.Ended) -> None:
        """An attempt is over, and the next one may have begun at that moment."""
        held = executor.given.get(frame.token)
        if held is None or held.started_at is None:
            raise ProtocolViolation("an Ended of a job that is not its own, or was not begun")
        outcome, now = believable(frame.outcome), time.monotonic()
        executor.end(held)
        self._ended(executor, held, outcome, frame.ran_s if 0.0 < frame.ran_s < math.inf else 0.0)
        if held.spec.gives_files and isinstance(outcome, Succeeded) and outcome.result:
            self._keep(held, outcome)
        else:
            self._events.ended(held, outcome, now)
        if frame.next is not None:
            self._begin(executor, executor.given.get(frame.next), now)

    def _say(
        self, held: Held, frame: wire.Reported | wire.Logged | wire.Carried | wire.Told | wire.Asked, descriptor: int
    ) -> None:
        """What a running attempt says before its end."""
        match frame:
            case wire.Reported(_, progress):
                self._events.progressed(held, believable_progress(progress))
            case wire.Logged(_, line):
                said = held.say()
                said.lines += 1
                if len(line) > LONGEST_LINE or said.lines > MOST_LINES_HEARD:
                    raise ProtocolViolation("longer or more lines than an attempt sends")
                if said.lines <= MOST_LINES:
                    self._events.logged(held, line)
            case wire.Carried(_, name):
                said = held.say()
                if not held.spec.gives_files or len(said.sent) >= MOST_FILES:
                    raise ProtocolViolation("a file that its task does not give")
                said.sent.append(Sent(descriptor, name[:1000]))
            case wire.Told():
                held.is_told = True
            case wire.Asked(_, jobs):
                if not jobs:
                    raise ProtocolViolation("it asked for nothing")
                said = held.say()
                for job in jobs:
                    said.asked.append(believable_job(job, held.spec.needs.enqueue))
                    said.asked_bytes += len(job.args)
                if len(said.asked) > MOST_ASKED or said.asked_bytes > MOST_ASKED_BYTES:
                    raise ProtocolViolation("more jobs to enqueue than one attempt may ask for")

    def _begin(self, executor: Executor, held: Held | None, now: float) -> None:
        if held is None or held.started_at is not None:
            raise ProtocolViolation("it began a job that is not its own, or a second time")
        if not executor.kind.concurrency and next(iter(executor.given.values())) is not held:
            raise ProtocolViolation("it began a job out of turn")
        executor.begin(held, now)
        self._began(executor, held)
        self._events.began(held)
