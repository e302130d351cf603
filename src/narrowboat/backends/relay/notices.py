"""What a relay sends: that a job waits. Whoever gets it looks into the store, so it need not be true any more."""

from __future__ import annotations

from ...core import codec
from ...core.job import JobSummary, NewJob
from ..transport import Notice

_START = b'{"v":1,"waits":'


def of_job(job: NewJob | JobSummary) -> Notice:
    """That this job waits."""
    return Notice(channel_of(job.queue), job.id, _START + codec.encode(job.id) + b"}", job.priority)


def of_queue(queue: str) -> Notice:
    """That jobs of a queue may be claimed."""
    return Notice(channel_of(queue), "", _START + b'""}')


def is_ours(body: bytes) -> bool:
    """Whether a relay has sent it; else another program has."""
    return body.startswith(_START)


def channel_of(queue: str) -> str:
    """Where the jobs of a queue are told of."""
    return f"queue:{queue}"


def inbox_of(task: str) -> str:
    """Where other programs send arguments to a task."""
    return f"task:{task}"
