"""A job that this worker holds, from claim to settlement. Only the main loop touches it."""

from __future__ import annotations

import os
from collections.abc import Sequence

from ..core.job import Claim, NewJob
from ..core.task import TaskSpec
from ..files.carry import Sent


class Said:
    """What an attempt has said so far. Most say nothing."""

    def __init__(self) -> None:
        self.logs: list[str] = []
        self.lines = 0  # heard of, also of those that are not kept
        self.asked: list[NewJob] = []  # to be enqueued if it succeeds
        self.asked_bytes = 0
        self.sent: list[Sent] = []  # open files that its result will name

    def drop_files(self) -> None:
        """Close them all."""
        for sent in self.sent:
            os.close(sent.descriptor)
        self.sent.clear()


NOTHING = Said()


class Held:
    """The claim, the options of its task, and what has happened so far."""

    # Where most jobs leave it, or begin: nothing of this is set for each.
    started_at: float | None = None  # monotonic; None until the executor says so
    stop_why = ""  # "cancel" or "shutdown", once it was told to stop
    stop_reason = ""
    kill_at: float | None = None  # when being told has had its time
    is_told = False  # its executor's event loop has cancelled it
    is_suspect = False  # it ran when its executor died, together with others: it runs alone next
    is_lost = False  # the claim is another worker's now; whatever comes of it is dropped
    files: Sequence[int] = ()  # open ones that its arguments name; kept, for it may have to begin again
    said: Said | None = None

    def __init__(self, claim: Claim, spec: TaskSpec, now: float) -> None:
        self.claim, self.spec, self.claimed_at = claim, spec, now
        self.id = claim.id  # the job's

    @property
    def overdue_at(self) -> float | None:
        """When its timeout is over, if it has begun."""
        return None if self.started_at is None else self.started_at + self.spec.timeout_s

    def say(self) -> Said:
        """What its attempt has said, to be added to."""
        if self.said is None:
            self.said = Said()
        return self.said

    def begin_again(self) -> None:
        """Its process died through no fault that could be told: it runs once more, alone, in the same claim."""
        self.is_suspect, self.is_told = True, False
        self.started_at = self.kill_at = None
        if self.said is not None:
            self.said.drop_files()
            self.said = None

    def drop_files(self) -> None:
        """Close them all."""
        for descriptor in self.files:
            os.close(descriptor)
        self.files = ()
        if self.said is not None:
            self.said.drop_files()
