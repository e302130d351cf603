"""How many jobs of which queues a worker should ask for now."""

from __future__ import annotations

from collections import Counter

from ..backends.base import Want
from .pool import Pool

MOST_A_STEP = 250


class Appetite:
    """Turns free slots, and the pace of short tasks, into wants."""

    def __init__(self, queues: dict[str, int | None], tasks: frozenset[str], pool: Pool) -> None:
        self._queues, self._tasks, self._pool = queues, tasks, pool
        self._turn = 0

    def wants(self) -> tuple[list[Want], int]:
        """The wants for a step, and the most claims over all of them.

        For every free slot a job of any task; beyond that, jobs ahead of the executors, of short tasks only.
        Queues take turns at being first.
        """
        pool = self._pool
        free = max(0, pool.slots - pool.busy() - len(pool.hand))
        used = self._used_by_queue()
        names = list(self._queues)
        first = self._turn % len(names) if names else 0
        self._turn += 1
        wants: list[Want] = []
        for name in names[first:] + names[:first]:
            own = self._queues[name]
            n = free if own is None else min(free, own - used[name])
            if n > 0:
                wants.append(Want(name, self._tasks, n))
        ahead = self._ahead()
        if ahead > 0:
            short = pool.pace.short() & self._tasks
            wants += [Want(name, short, ahead) for name in names if self._queues[name] is None]
        return wants, min(MOST_A_STEP, free + max(0, ahead))

    def _used_by_queue(self) -> Counter[str]:
        used: Counter[str] = Counter(held.claim.queue for held in self._pool.hand)
        used.update(executor.given[0].claim.queue for executor in self._pool.executors if executor.given)
        return used

    def _ahead(self) -> int:
        """Room for jobs ahead, over all executors."""
        pool = self._pool
        depths = [pool.pace.ahead(task) for task in pool.pace.short() & self._tasks]
        if not depths:
            return 0
        return min(depths) * pool.slots - pool.spare_jobs()
