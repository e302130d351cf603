"""Schedules as people see and steer them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from ..backends.base import Backend, Filter
from ..core.errors import ConfigError
from ..core.firing import TAG, job_for
from ..core.job import JobSummary
from ..core.schedule import ScheduleSpec, ScheduleState, explained, next_after, unusual_days, zone_of
from ..core.task import TaskSpec


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A schedule that a live worker declares. next: its next due time; last: the latest dealt with, 0 for none."""

    name: str
    task: str
    cron: str
    timezone: str
    words: str
    next: float
    last: float
    is_paused: bool


def entries(backend: Backend, now: float) -> list[Entry]:
    """All of them, by name."""
    declared = _declared(backend, now)
    states = backend.schedules([spec.key for _, spec in declared])
    return [_entry(task, spec, states[spec.key], now) for task, spec in declared]


def run_now(backend: Backend, name: str, now: float) -> str:
    """Make a job of a schedule now, beside its times: its id, or of the job that holds its key. Raises ConfigError."""
    task, spec = _named(backend, name, now)
    [there] = backend.enqueue([job_for(task, spec)])
    return there.id


def pause(backend: Backend, name: str, is_paused: bool, now: float) -> None:
    """Let its times pass without a job, or no longer. Raises ConfigError."""
    _, spec = _named(backend, name, now)
    backend.pause_schedule(spec.key, is_paused)


def history(backend: Backend, name: str, limit: int = 10) -> Sequence[JobSummary]:
    """Its latest jobs, newest first, of those whose records are kept."""
    return backend.find(Filter(tag=f"{TAG}{name}"), limit=limit).jobs


def clock_changes(entry: Entry, now: float) -> list[str]:
    """What becomes of its times on the next days on which the clocks change, a sentence for each."""
    spec = ScheduleSpec(name=entry.name, cron=entry.cron, timezone=entry.timezone)
    return [_change(day, times) for day, times in unusual_days(spec, now)]


def when(moment: float, timezone: str) -> str:
    """A due time in the zone of its schedule, for people."""
    return f"{datetime.fromtimestamp(moment, zone_of(timezone)):%a %d %b %Y %H:%M %Z}"


def _change(day: datetime, times: Sequence[datetime]) -> str:
    hours = (day.replace(hour=23).utcoffset() or day - day) - (day.utcoffset() or day - day)
    how = "forward" if hours.total_seconds() > 0 else "back"
    if not times:
        due = "it does not run that day"
    elif len(times) > 5:
        due = f"it runs {len(times)} times or more that day"
    else:
        due = f"it runs at {', '.join(f'{time:%H:%M %Z}' for time in times)}"
    return f"{day:%a %d %b %Y}: the clocks go {how}; {due}"


def _declared(backend: Backend, now: float) -> list[tuple[TaskSpec, ScheduleSpec]]:
    live = {task for worker in backend.workers() if worker.lease_until >= now for task in worker.tasks}
    specs = {spec.name: spec for spec in backend.published().values() if spec.schedules and spec.name in live}
    found = [(task, schedule) for task in specs.values() for schedule in task.schedules]
    return sorted(found, key=lambda pair: pair[1].name)


def _named(backend: Backend, name: str, now: float) -> tuple[TaskSpec, ScheduleSpec]:
    declared = _declared(backend, now)
    for task, spec in declared:
        if spec.name == name:
            return task, spec
    known = ", ".join(spec.name for _, spec in declared) or "none"
    raise ConfigError(f"no live worker declares a schedule {name!r}; there are: {known}")


def _entry(task: TaskSpec, spec: ScheduleSpec, state: ScheduleState, now: float) -> Entry:
    return Entry(
        name=spec.name,
        task=task.name,
        cron=spec.cron,
        timezone=spec.timezone,
        words=explained(spec),
        next=next_after(spec, now),
        last=state.last,
        is_paused=state.is_paused,
    )
