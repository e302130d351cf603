"""Queues that take only so many waiting jobs: protection from a flood, whether of visitors or of one of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from .errors import ConfigError, QueueFull
from .job import Ended, NewJob
from .pace import rate
from .units import in_words, many

MAX_CLIENT = 200  # characters
SOONEST_S, LATEST_S = 1.0, 3600.0
ENDS = 30  # the latest of a queue make its pace, for a flood must not cost much
UNKNOWN_S = 30.0  # when to come back, where nothing ended lately that would tell


@dataclass(frozen=True, slots=True)
class Queue:
    """How many jobs may wait in a queue, scheduled ones included.

    waiting: of all together. waiting_per_client: of each `client` that jobs are enqueued for. None: no limit.
    Raises ConfigError.
    """

    name: str
    waiting: int | None = None
    waiting_per_client: int | None = None

    def __post_init__(self) -> None:
        checked_name(self.name)
        for what, most in (("waiting", self.waiting), ("waiting_per_client", self.waiting_per_client)):
            if most is not None and most < 1:
                raise ConfigError(f"queue {self.name}: {what}={most}: give at least 1, or leave it out for no limit")

    @property
    def is_limited(self) -> bool:
        """Whether there is any limit."""
        return self.waiting is not None or self.waiting_per_client is not None


@dataclass(frozen=True, slots=True)
class Over:
    """A limit that a call would go past. own: jobs of the client that wait, counted up to its limit."""

    queue: Queue
    client: str
    waiting: int
    own: int
    asked: int

    @property
    def limit(self) -> int:
        """The one that it is about."""
        return (self.queue.waiting_per_client if self.client else self.queue.waiting) or 0


class Tally:
    """The new jobs of one call, counted against limits.

    waiting(queue) and own(queue, client, most) tell how many wait already; they are asked before the first job of the
    queue, or client, is counted, and only where there is a limit.
    """

    def __init__(
        self,
        limits: Mapping[str, Queue],
        waiting: Callable[[str], int],
        own: Callable[[str, str, int], int],
    ) -> None:
        self._limits, self._count, self._count_own = limits, waiting, own
        self._waiting: dict[str, int] = {}
        self._own: dict[tuple[str, str], int] = {}
        self._asked: Counter[tuple[str, str]] = Counter()

    def add(self, job: NewJob) -> None:
        """One more that is not there yet, before it is written."""
        limit = self._limits.get(job.queue)
        if limit is None:
            return
        if job.queue not in self._waiting:
            self._waiting[job.queue] = self._count(job.queue)
        asker = job.queue, job.client
        if asker not in self._asked and job.client and limit.waiting_per_client is not None:
            self._own[asker] = self._count_own(*asker, limit.waiting_per_client)
        self._asked[asker] += 1

    def over(self) -> Over | None:
        """The first limit that these jobs would go past: a client's own before that of all."""
        for (name, client), asked in self._asked.items():
            limit, waiting, own = self._limits[name], self._waiting[name], self._own.get((name, client), 0)
            if client and limit.waiting_per_client is not None and own + asked > limit.waiting_per_client:
                return Over(limit, client, waiting, own, asked)
            together = sum(n for (queue, _), n in self._asked.items() if queue == name)
            if limit.waiting is not None and waiting + together > limit.waiting:
                return Over(limit, "", waiting, 0, together)
        return None


def full(over: Over, ended: Sequence[Ended], now: float) -> QueueFull:
    """What is raised. ended: the latest ENDS of this queue, for when to come back."""
    back_s = _room_in_s(over, rate(ended, now))
    held = f"{over.client} has {many(over.own, 'waiting job')}" if over.client else many(over.waiting, "waiting job")
    more = f", {over.asked:,} more were asked for" if over.asked > 1 else ""
    most = f"{over.limit:,} {'for each client' if over.client else 'in all'}"
    todo = f"try again in about {in_words(back_s)}" if over.asked <= over.limit else "enqueue fewer in one call"
    return QueueFull(
        f"the queue {over.queue.name} is full: {held}{more}, its limit is {most}; nothing was written, {todo}",
        queue=over.queue.name,
        limit=over.limit,
        client=over.client,
        waiting=over.waiting,
        retry_after_s=back_s,
    )


def checked_name(name: str) -> str:
    """The name itself, if a queue can have it. Raises ConfigError."""
    if not name or len(name) > 100 or any(c in name for c in " \t\n:,={}"):
        raise ConfigError(f"queue {name!r}: use 1 to 100 characters without spaces or any of : , = {{ }}")
    return name


def _room_in_s(over: Over, jobs_per_s: float | None) -> float:
    """When as many places may be free as were missing. Those of one client are spread among all that wait."""
    if jobs_per_s is None:
        return UNKNOWN_S
    there = over.own if over.client else over.waiting
    missing = there + over.asked - over.limit
    ahead = missing * over.waiting / (over.own + 1) if over.client else missing
    return min(LATEST_S, max(SOONEST_S, ahead / jobs_per_s))
