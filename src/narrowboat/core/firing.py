"""The job that a schedule makes."""

from __future__ import annotations

from .ids import new_job_id
from .job import NewJob
from .schedule import ScheduleSpec
from .task import TaskSpec

TAG = "schedule:"


def job_for(task: TaskSpec, schedule: ScheduleSpec) -> NewJob:
    """A new one, with the options of the task; its first tag names the schedule."""
    return NewJob(
        id=new_job_id(task.name),
        task=task.name,
        queue=task.queue,
        args=schedule.args.encode(),
        priority=task.priority,
        key=schedule.job_key,
        key_for=schedule.key_for,
        lane_key=schedule.lane_key,
        tags=(f"{TAG}{schedule.name}", *schedule.tags),
        summary=schedule.summary,
        shape=task.shape,
    )
