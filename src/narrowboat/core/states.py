"""The states of a job and the one table of moves between them.

`docs/states.md` holds the diagram that is generated from TRANSITIONS; a test keeps the two alike.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class State(StrEnum):
    """Where a job is. Each state is exactly one membership structure in a backend."""

    SCHEDULED = "scheduled"  # has a due time: delayed at enqueue, retried or snoozed; leaves by coming due
    QUEUED = "queued"  # waits in its lane; leaves by a claim or a cancel
    RUNNING = "running"  # claimed by a worker, with a token; leaves by a settlement or a rescue
    SUCCEEDED = "succeeded"  # final
    DEAD = "dead"  # attempts spent; waits for a person
    CANCELLED = "cancelled"  # ended by a person or by the task itself


class Move(NamedTuple):
    """One allowed change of state and the verb of the backend port that makes it."""

    source: State
    verb: str
    target: State


TRANSITIONS: tuple[Move, ...] = (
    Move(State.SCHEDULED, "comes due", State.QUEUED),
    Move(State.SCHEDULED, "cancel", State.CANCELLED),
    Move(State.QUEUED, "claim", State.RUNNING),
    Move(State.QUEUED, "cancel", State.CANCELLED),
    Move(State.RUNNING, "settle: success", State.SUCCEEDED),
    Move(State.RUNNING, "settle: again later", State.SCHEDULED),
    Move(State.RUNNING, "settle: attempts spent", State.DEAD),
    Move(State.RUNNING, "settle: cancelled", State.CANCELLED),
    Move(State.RUNNING, "release", State.QUEUED),
    Move(State.DEAD, "retry", State.QUEUED),
    Move(State.CANCELLED, "retry", State.QUEUED),
    Move(State.DEAD, "retry: with a delay", State.SCHEDULED),
    Move(State.CANCELLED, "retry: with a delay", State.SCHEDULED),
)

FINAL = frozenset({State.SUCCEEDED, State.DEAD, State.CANCELLED})
WAITING = frozenset({State.SCHEDULED, State.QUEUED})


def can_move(source: State, target: State) -> bool:
    """Whether the table has a move from `source` to `target`."""
    return any(move.source == source and move.target == target for move in TRANSITIONS)


def diagram() -> str:
    """The table as a Mermaid state diagram."""
    lines = ["stateDiagram-v2", "    [*] --> scheduled: enqueue with a delay", "    [*] --> queued: enqueue"]
    lines += [f"    {move.source} --> {move.target}: {move.verb}" for move in TRANSITIONS]
    lines += [f"    {state} --> [*]: purge" for state in State if state in FINAL]
    return "\n".join(lines) + "\n"
