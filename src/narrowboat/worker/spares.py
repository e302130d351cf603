"""Of which kinds of executor that run one attempt each to keep some, forked and locked in before a job is there."""

from __future__ import annotations

from collections.abc import Sequence

from .executors import Executor, Kind

MOST = 4  # spares at a time: each takes 1 to 2 MB, and two cores lock in no more at once
IDLE_S = 60.0  # so long after its last job none are kept of a kind


class Spares:
    """most: how many there may be of all kinds together without taking slots."""

    def __init__(self, slots: int) -> None:
        self.most = min(slots, MOST)
        self._used_at: dict[Kind, float] = {}  # the latest is the last
        self._unproven: set[Kind] = set()  # none of these has begun a job, or one has died since

    def asked(self, kind: Kind, now: float) -> float:
        """One is forked for a job. Until when what becomes of it may stay if the job does not come to it after all."""
        if kind not in self._used_at:
            self._used_at[kind] = now
            self._unproven.add(kind)
        return self._used_at[kind] + IDLE_S

    def used(self, kind: Kind, now: float) -> float:
        """One has come up well, and has begun a job. Until when that is reason to keep spares."""
        self._unproven.discard(kind)
        self._used_at.pop(kind, None)
        self._used_at[kind] = now
        return now + IDLE_S

    def died(self, kind: Kind) -> None:
        """One has died before it had a job: fork no spares before another has begun one."""
        self._unproven.add(kind)

    def missing(self, there: Sequence[Executor]) -> list[Kind]:
        """The kind of each executor to be forked, given the spares that there are."""
        if len(there) >= self.most:
            return []
        kinds = [kind for kind in reversed(self._used_at) if kind not in self._unproven]
        if not kinds:
            return []
        share = max(1, self.most // len(kinds))
        missing: list[Kind] = []
        for kind in kinds:
            missing += [kind] * (share - sum(spare.kind == kind for spare in there))
        return missing[: self.most - len(there)]

    def idle_kinds(self, now: float) -> tuple[set[Kind], float]:
        """Forget the kinds that were not used for long: these, and when the next one will be such."""
        idle = {kind for kind, used_at in self._used_at.items() if now >= used_at + IDLE_S}
        for kind in idle:
            del self._used_at[kind]
        self._unproven -= idle
        return idle, min(self._used_at.values(), default=float("inf")) + IDLE_S
