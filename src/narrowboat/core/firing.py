"""The job that a schedule makes."""

from __future__ import annotations

from . import codec
from .ids import new_job_id
from .job import NewJob
from .schedule import ScheduleSpec
from .task import TaskSpec

TAG = "schedule:"


def job_for(task: TaskSpec, schedule: ScheduleSpec) -> NewJob:
    """A new one, with the options of the task; its tag names the schedule."""
    args = schedule.args.encode()
    return NewJob(
        id=new_job_id(task.name),
        task=task.name,
        queue=task.queue,
        args=args,
        priority=task.priority,
        lane_key=task.controls.lane_key(lambda: codec.decode(args), task.name),
        tags=(f"{TAG}{schedule.name}",),
        shape=task.shape,
    )
