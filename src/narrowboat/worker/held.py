"""A job that this worker holds, from claim to settlement. Only the main loop touches it."""

from __future__ import annotations

import os
from collections.abc import Sequence

from ..core.job import Claim, NewJob
from ..core.task import TaskSpec
from ..files.carry import Sent


class Held:
    """The claim, the options of its task, and what has happened so far."""

    __slots__ = (
        "asked",
        "asked_bytes",
        "claim",
        "claimed_at",
        "files",
        "id",
        "is_lost",
        "is_suspect",
        "is_told",
        "kill_at",
        "lines",
        "logs",
        "sent",
        "spec",
        "started_at",
        "stop_reason",
        "stop_why",
    )  # fmt: skip

    def __init__(self, claim: Claim, spec: TaskSpec, now: float) -> None:
        self.claim, self.spec, self.claimed_at = claim, spec, now
        self.id = claim.id  # the job's
        self.started_at: float | None = None  # monotonic; None until the executor says so
        self.stop_why = ""  # "cancel" or "shutdown", once it was told to stop
        self.stop_reason = ""
        self.kill_at: float | None = None  # when being told has had its time
        self.is_told = False  # its executor's event loop has cancelled it
        self.is_suspect = False  # it ran when its executor died, together with others: it runs alone next
        self.is_lost = False  # the claim is another worker's now; whatever comes of it is dropped
        self.logs: list[str] = []
        self.lines = 0  # heard of, also of those that are not kept
        self.asked: list[NewJob] = []  # to be enqueued if it succeeds
        self.asked_bytes = 0
        self.files: Sequence[int] = ()  # open ones that its arguments name; kept, for it may have to begin again
        self.sent: list[Sent] = []  # open ones that its result will name

    @property
    def overdue_at(self) -> float | None:
        """When its timeout is over, if it has begun."""
        return None if self.started_at is None else self.started_at + self.spec.timeout_s

    def begin_again(self) -> None:
        """Its process died through no fault that could be told: it runs once more, alone, in the same claim."""
        self.is_suspect, self.is_told = True, False
        self.started_at = self.kill_at = None
        self.asked.clear()
        self.asked_bytes = 0
        self.logs.clear()
        self.lines = 0
        self._drop_sent()

    def drop_files(self) -> None:
        """Close them all."""
        if self.files or self.sent:
            for descriptor in self.files:
                os.close(descriptor)
            self.files = ()
            self._drop_sent()

    def _drop_sent(self) -> None:
        for sent in self.sent:
            os.close(sent.descriptor)
        self.sent.clear()
