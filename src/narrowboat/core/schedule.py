"""Schedules: at which times a task runs by itself, as cron writes them, in a time zone.

The times are those of Debian's cron (see cron(8) there on daylight saving): what would fall into the hour that is left
out runs just after it, and what falls into the hour that comes twice runs once; but a schedule for every hour goes on
as hours do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from math import floor
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import msgspec

from .digest import sha256
from .errors import ConfigError

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

LATE_S = 60.0  # what was due longer ago was missed
Missed = Literal["once", "skip"]


class ScheduleSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A schedule as published. From args (the arguments, as JSON) on: what its jobs are like, see NewJob."""

    name: str
    cron: str
    timezone: str = "UTC"
    missed: Missed = "once"
    args: str = "{}"
    job_key: str | None = None
    key_for: str | float = "active"
    lane_key: str = ""
    tags: tuple[str, ...] = ()
    summary: str = ""

    @property
    def key(self) -> str:
        """What a backend knows it by: with other times it is another schedule, and begins anew."""
        times = sha256(f"{self.cron}|{self.timezone}".encode())[:12]
        return f"{self.name}@{times}"


class ScheduleState(msgspec.Struct, frozen=True, kw_only=True):
    """What a backend remembers of a schedule. last: the latest due time dealt with; 0 before the first look."""

    last: float = 0.0
    is_paused: bool = False


class Plan(NamedTuple):
    """What to do with a schedule now. due: a time to deal with; runs: by a job; next: the due time after now."""

    due: float | None
    runs: bool
    next: float


class Schedule:
    """When a task runs by itself: Schedule("0 3 * * MON-FRI", timezone="Europe/London", region="eu").

    cron: five fields: minute, hour, day of the month, month, day of the week. timezone: of the IANA database.
    missed: what becomes of times at which no worker was there: "once" runs the latest of them when one is, "skip" none.
    name: for people; the task's own name if it has one schedule only, else with a number.
    arguments: of its jobs, by name.
    """

    def __init__(
        self, cron: str, *, timezone: str = "UTC", missed: Missed = "once", name: str = "", **arguments: Any
    ) -> None:
        if missed not in ("once", "skip"):
            raise ConfigError(f'Schedule({cron!r}, missed={missed!r}): give "once" or "skip"')
        self.cron, self.timezone, self.name = " ".join(cron.split()), timezone, name
        self.missed: Missed = missed
        self.arguments: Mapping[str, Any] = arguments
        next_after(self.spec(""), 0.0)

    def spec(self, name: str) -> ScheduleSpec:
        """What is published, but for its jobs."""
        return ScheduleSpec(name=self.name or name, cron=self.cron, timezone=self.timezone, missed=self.missed)


def plan(spec: ScheduleSpec, state: ScheduleState, now: float) -> Plan:
    """What to do with a schedule. Pure. A new one begins with the times after the first look at it."""
    after = next_after(spec, now)
    if not state.last:
        return Plan(now, False, after)
    latest = latest_until(spec, now)
    if latest <= state.last:
        return Plan(None, False, after)
    is_missed = now - latest > LATE_S
    return Plan(latest, not state.is_paused and not (is_missed and spec.missed == "skip"), after)


def next_after(spec: ScheduleSpec, moment: float) -> float:
    """The first due time after a moment, in seconds since 1970. Raises ConfigError for times that never come."""
    return _found(spec, moment, is_back=False)


def latest_until(spec: ScheduleSpec, moment: float) -> float:
    """The latest due time that is not after a moment; 0 if there was none."""
    return _found(spec, moment, is_back=True)


def explained(spec: ScheduleSpec) -> str:
    """The cron expression in words."""
    return str(_cron(spec, 0.0).explain())


def unusual_days(spec: ScheduleSpec, now: float, days: int = 370) -> list[tuple[datetime, Sequence[datetime]]]:
    """The next days on which the clocks change in its zone, each with the due times of that day."""
    zone = zone_of(spec.timezone)
    day = datetime.fromtimestamp(now, zone).replace(hour=0, minute=0, second=0, microsecond=0)
    found: list[tuple[datetime, Sequence[datetime]]] = []
    for _ in range(days):
        following = day + timedelta(days=1)  # by the clock on the wall
        if day.utcoffset() != following.utcoffset():
            found.append((day, _times_between(spec, day.timestamp(), following.timestamp(), zone)))
        day = following
    return found


def zone_of(name: str) -> ZoneInfo:
    """A time zone. Raises ConfigError for one that is not known."""
    from zoneinfo import ZoneInfo  # only here: tasks without a schedule need none

    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise ConfigError(f"there is no time zone {name!r} here; one looks like Europe/London") from error


def _times_between(spec: ScheduleSpec, start: float, end: float, zone: ZoneInfo) -> Sequence[datetime]:
    times: list[datetime] = []
    at = next_after(spec, start - 1)
    while at < end and len(times) < 30:
        times.append(datetime.fromtimestamp(at, zone))
        at = next_after(spec, at)
    return times


def _found(spec: ScheduleSpec, moment: float, is_back: bool) -> float:
    try:
        return next(_cron(spec, moment, is_back)).timestamp()
    except StopIteration:
        if is_back:
            return 0.0
        raise ConfigError(f"schedule {spec.cron!r}: its time never comes") from None


def _cron(spec: ScheduleSpec, moment: float, is_back: bool = False) -> Any:
    from cronsim import CronSim, CronSimError

    # Looking back, a time that is due now counts, and one that is due within this second does not yet.
    start = datetime.fromtimestamp(floor(moment) + 1 if is_back else moment, UTC)
    try:
        return CronSim(spec.cron, start.astimezone(zone_of(spec.timezone)), reverse=is_back)
    except CronSimError as error:
        raise ConfigError(f"schedule {spec.cron!r}: {error}; write five fields, such as '0 3 * * MON-FRI'") from error
