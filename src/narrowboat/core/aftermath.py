"""The jobs that the end of an attempt brings with it: what the task enqueued, and what tells of a death."""

from __future__ import annotations

from collections.abc import Sequence

from . import codec
from .decide import Settlement
from .ids import new_job_id
from .job import Claim, NewJob
from .outcome import DeadJob, Outcome, Snoozed, Succeeded
from .states import State
from .task import TaskSpec


def aftermath(
    claim: Claim, outcome: Outcome, settlement: Settlement, asked: Sequence[NewJob], on_dead: Sequence[TaskSpec]
) -> tuple[NewJob, ...]:
    """The jobs to be written together with a settlement.

    asked: what the attempt enqueued, in vain if it failed. on_dead: the tasks that hear of each job that ends
    dead, unless it was such a job itself.
    """
    if not asked and settlement.to is not State.DEAD:
        return ()
    kept = tuple(asked) if isinstance(outcome, Succeeded | Snoozed) else ()
    if settlement.to is not State.DEAD or any(claim.task in spec.names for spec in on_dead):
        return kept
    dead = DeadJob(id=claim.id, task=claim.task, queue=claim.queue, attempts=claim.attempt, reason=settlement.reason)
    return kept + tuple(
        NewJob(
            id=new_job_id(spec.name),
            task=spec.name,
            queue=spec.queue,
            args=codec.encode({spec.parameters[0].name: dead}),
            shape=spec.shape,
        )
        for spec in on_dead
    )
