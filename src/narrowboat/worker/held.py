"""A job that this worker holds, from claim to settlement. Only the main loop touches it."""

from __future__ import annotations

from ..core.job import Claim
from ..core.task import TaskSpec


class Held:
    """The claim, the options of its task, and what has happened so far."""

    __slots__ = ("claim", "claimed_at", "is_lost", "logs", "run", "spec", "started_at", "stop_reason")

    def __init__(self, claim: Claim, spec: TaskSpec, now: float) -> None:
        self.claim, self.spec, self.claimed_at = claim, spec, now
        self.started_at: float | None = None  # monotonic; None until the executor says so
        self.stop_reason: str | None = None  # a cancel that was asked for
        self.is_lost = False  # the claim is another worker's now; whatever comes of it is dropped
        self.logs: list[str] = []

    @property
    def id(self) -> str:
        """The job's id."""
        return self.claim.id
