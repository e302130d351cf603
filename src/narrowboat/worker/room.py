"""Slots: which executors take them, and which could end to make room."""

from __future__ import annotations

from collections.abc import Sequence

from .executors import Executor, Kind

LEEWAY = 0.99  # of a slot, for what still runs in executors that are about to end


def taken(executor: Executor) -> float:
    """The part of a slot that an executor takes. One that is about to end counts for what still runs in it."""
    is_ending = executor.is_retiring and not executor.is_lingering
    return len(executor.given) / executor.kind.capacity if is_ending else 1.0


def spares(executors: Sequence[Executor]) -> list[Executor]:
    """Those that are kept for jobs to come."""
    return [executor for executor in executors if executor.is_spare]


class More:
    """A wish for more executors of one kind. others: that take slots; spares: that do not, as long as there are few."""

    def __init__(self, kind: Kind, others: int, spares: int) -> None:
        self.kind, self.others, self.spares = kind, others, spares

    def fits(self, executors: Sequence[Executor], slots: int, kept: int) -> bool:
        """Whether the slots suffice for them, beside those that there are. kept: spares that take no slots."""
        used, there = 0.0, 0
        for executor in executors:
            if executor.is_spare:
                there += 1
            elif not executor.is_dead:
                used += taken(executor)
        return used + self.others + max(0, there + self.spares - kept) <= slots + LEEWAY

    def victim(self, executors: Sequence[Executor], kept: int) -> Executor | None:
        """An idle executor without which they would fit better."""
        idle = [e for e in reversed(executors) if not e.given and e.is_ready]
        other = next((e for e in idle if e.is_spare and e.kind != self.kind), None)
        if other is not None and len(spares(executors)) + self.spares > kept:
            return other
        return next((e for e in idle if not e.is_spare), None)
