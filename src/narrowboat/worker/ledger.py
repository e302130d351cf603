"""What the backend must be told next, gathered until a step is worth its round trip."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence

import msgspec

from ..backends.base import ClaimRef, ProgressReport, Step, Want
from ..core.aftermath import aftermath
from ..core.decide import Settlement, decide
from ..core.job import Progress
from ..core.outcome import Outcome, Succeeded, Unreadable
from ..core.task import TaskSpec
from .held import NOTHING, Held
from .journal import End, Journal
from .shyness import Shyness

BATCH = 250  # settlements that fill a step
STARTED_S = 0.02  # a start is worth a step when it is so old
ALONG_S = 0.01  # and goes along with any other when it is so old; jobs that end sooner are never reported as begun
PROGRESS_S = 0.1


class Ledger:
    """Hears what happens to jobs, and keeps the settlements, starts and progress that have not been sent."""

    def __init__(self, worker: str) -> None:
        self._worker = worker
        self._journal = Journal()
        self.shyness = Shyness()
        self.on_dead: Sequence[TaskSpec] = ()  # tasks that hear of each job that ends dead
        self._seq = 0
        self._settled: list[tuple[Settlement, float | None]] = []  # with when the attempt began
        self._started: dict[str, Held] = {}  # the oldest first
        self._progress: dict[str, ProgressReport] = {}
        self._untold: dict[int, End] = {}  # failures that a breaker may not charge: to be written when it is known
        self._oldest_settled = self._oldest_progress = 0.0
        self.acknowledged = 0  # the last step whose reply was seen
        self.unsettled: dict[int, Held] = {}  # ended here, but the backend may not know: still this worker's
        self.must_ask = False  # a cancel was announced: go and hear which

    def logged(self, held: Held, line: str) -> None:
        """A running job wrote a line."""
        held.say().logs.append(line)
        self._journal.line(held, line)

    def ended(self, held: Held, outcome: Outcome, now: float | None = None) -> None:
        """A claim is over. One that was lost is another worker's to settle. now: monotonic, where it is known."""
        if held.files or held.said is not None:
            held.drop_files()
        if held.is_lost:
            return
        if now is None:
            now = time.monotonic()
        if held.said is None and isinstance(outcome, Succeeded):  # as most do
            settlement = decide(held.claim, outcome, held.spec.retry, random.random)
        else:
            settlement = self._decide(held, outcome)
        if not self._settled:
            self._oldest_settled = now
        self._settled.append((settlement, held.started_at))
        self.unsettled[held.claim.token] = held
        self._started.pop(held.id, None)
        ran_s = 0.0 if held.started_at is None else now - held.started_at
        if settlement.trips:
            self._untold[held.claim.token] = End(held, settlement, ran_s)
        else:
            self._journal.settled(held, settlement, ran_s)

    def _decide(self, held: Held, outcome: Outcome) -> Settlement:
        """What becomes of the job, and what comes with it."""
        age_s = max(0.0, time.time() - held.claim.enqueued_at)
        settlement = decide(held.claim, outcome, held.spec.retry, random.random, age_s)
        if isinstance(outcome, Unreadable):
            self.shyness.leave(held.claim.task, settlement.delay_s)
        said = held.said or NOTHING
        if said.logs:
            settlement = msgspec.structs.replace(settlement, logs=tuple(said.logs))
        enqueue = aftermath(held.claim, outcome, settlement, said.asked, self.on_dead)
        if enqueue:
            settlement = msgspec.structs.replace(settlement, enqueue=enqueue)
        return settlement

    def began(self, held: Held) -> None:
        """An attempt has begun."""
        self._started[held.id] = held

    def progressed(self, held: Held, progress: Progress) -> None:
        """A running job reported."""
        if not self._progress:
            self._oldest_progress = time.monotonic()
        self._progress[held.id] = ProgressReport(held.id, held.claim.token, progress)

    def stepped(self, step: Step, spared: Mapping[str, float]) -> None:
        """The reply to a step was seen. spared: see Stepped."""
        self.acknowledged = step.seq
        for settlement in step.settled:
            self.unsettled.pop(settlement.token, None)
            end = self._untold.pop(settlement.token, None)
            if end is not None:
                self._journal.settled(*end, spared.get(settlement.id))

    def close(self) -> None:
        """Write what was not written yet, as far as it is known."""
        for end in self._untold.values():
            self._journal.settled(*end)
        self._untold.clear()

    @property
    def is_empty(self) -> bool:
        """Whether all that matters after this worker's end was sent."""
        return not self._settled

    def due_at(self, wait_s: float) -> float | None:
        """When the next step should leave for what is in here; None for no reason at all.

        wait_s: how long a settlement may wait for company.
        """
        if self.must_ask:
            return 0.0
        due: list[float] = []
        if self._settled:
            due.append(self._oldest_settled + wait_s if wait_s and len(self._settled) < BATCH else 0.0)
        if self._started:
            due.append((next(iter(self._started.values())).started_at or 0.0) + STARTED_S)
        if self._progress:
            due.append(self._oldest_progress + PROGRESS_S)
        return min(due) if due else None

    def ready_step(self, wants: list[Want], most: int | None, room: float | None = None) -> Step:
        """A step that claims and tells nothing. It need not be made; later ones have higher numbers."""
        self._seq += 1
        return Step(worker=self._worker, seq=self._seq, wants=tuple(wants), most=most, room=room)

    def next_step(self, wants: list[Want], most: int | None, room: float | None = None) -> Step:
        """All of it as one step; the ledger is empty afterwards, but for what has only just begun."""
        now = time.monotonic()
        started = [held for held in self._started.values() if now - (held.started_at or 0.0) >= ALONG_S]
        settled = tuple(
            settlement if began is None else msgspec.structs.replace(settlement, started_ago_s=now - began)
            for settlement, began in self._settled
        )
        self._seq += 1
        step = Step(
            worker=self._worker,
            seq=self._seq,
            settled=settled,
            started=tuple(ClaimRef(held.id, held.claim.token) for held in started),
            progress=tuple(self._progress.values()),
            wants=tuple(wants),
            most=most,
            room=room,
        )
        self._settled.clear()
        for held in started:
            del self._started[held.id]
        self._progress.clear()
        self.must_ask = False
        return step
