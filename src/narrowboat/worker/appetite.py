"""How many jobs of which queues a worker should ask for now."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping

from ..backends.base import Want
from ..core.task import TaskSpec
from .pool import Pool
from .shyness import Shyness

MOST_A_STEP = 500


class Appetite:
    """Turns free slots, room in executors of async tasks, and the pace of short tasks into wants."""

    def __init__(
        self,
        queues: dict[str, int | None],
        specs: Mapping[str, TaskSpec],
        pool: Pool,
        shyness: Shyness | None = None,
    ) -> None:
        self._pool, self._shyness = pool, shyness or Shyness()
        self._avoided: frozenset[str] = frozenset()
        self._turn = 0
        self.learn(specs, queues)

    def learn(self, specs: Mapping[str, TaskSpec], queues: dict[str, int | None]) -> None:
        """Which tasks there are now, by every name, and which queues to take from."""
        self._queues = queues
        by_concurrency: dict[int, set[str]] = {}
        for name, spec in specs.items():
            by_concurrency.setdefault(spec.concurrency, set()).add(name)
        self._tasks = {concurrency: frozenset(names) for concurrency, names in sorted(by_concurrency.items())}
        self._ahead_of_time = frozenset(name for name, spec in specs.items() if not spec.controls)

    def wants(self, without: frozenset[str] = frozenset()) -> tuple[list[Want], int, float]:
        """The wants for a step, the most claims over all of them, and the slots that they may take together.

        For every free slot a job of any task, or as many as share one, and for one more slot where an executor of
        async tasks can be asked to make room; beyond that, what running ones have room for, and jobs ahead, of
        short tasks only, whose jobs no control counts. Queues take turns at being first. without: tasks to leave alone.
        """
        free = max(0.0, self._pool.slots - self._pool.used() - self._pool.in_hand())
        if free < 1 and self._pool.can_yield():
            free = 1.0
        self._avoided = self._shyness.tasks(time.monotonic()) | without
        used = self._used_by_queue()
        names = list(self._queues)
        first = self._turn % len(names) if names else 0
        self._turn += 1
        wants: list[Want] = []
        for name in names[first:] + names[:first]:
            own = self._queues[name]
            wants += self._for_queue(name, free, free if own is None else min(free, own - used[name]))
        ahead = self._ahead()
        if ahead > 0:
            short = (self._pool.pace.short() & self._ahead_of_time) - self._avoided
            wants += [Want(name, short, ahead) for name in names if self._queues[name] is None]
        return wants, min(MOST_A_STEP, sum(want.n for want in wants)), free

    def _for_queue(self, name: str, free: float, own: float) -> list[Want]:
        wants: list[Want] = []
        for concurrency, known in self._tasks.items():
            tasks, capacity = known - self._avoided, concurrency or 1
            if not tasks:
                continue
            room = self._pool.room(concurrency) if concurrency and own >= free else 0
            n = int(own * capacity + 1e-9)
            if room > 0:
                wants.append(Want(name, tasks, room))
            elif n > 0:
                wants.append(Want(name, tasks, min(n, MOST_A_STEP), 1 / capacity))
        return wants

    def _used_by_queue(self) -> Counter[str]:
        used: Counter[str] = Counter()
        if not any(self._queues.values()):
            return used
        for held in self._pool.held():
            used[held.claim.queue] += 1 / held.spec.capacity  # type: ignore[assignment]
        return used

    def _ahead(self) -> int:
        """Room for jobs ahead, over all executors."""
        pool = self._pool
        depths = [pool.pace.ahead(task) for task in pool.pace.short() & self._ahead_of_time]
        if not depths:
            return 0
        return min(depths) * pool.slots - pool.spare_jobs()
