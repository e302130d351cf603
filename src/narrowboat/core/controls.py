"""Controls: how fast, how many at a time, and whether at all the jobs of a task may run, over all workers.

Each is a gate that the backend keeps: a task declares the numbers, a Meter is what the gate remembers, and the
functions here are all that is ever decided about it. Backends that decide elsewhere (in Lua, in SQL) say the same
again; the state machine of the tests holds them to it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from itertools import product
from math import ceil
from typing import Any, NamedTuple

import msgspec

from . import keys
from .errors import ConfigError
from .units import in_words, many, seconds

ALL = 1 << 30  # as good as any number of jobs
CATCH_UP_S = 0.1
NEVER = 1e18  # a time that does not come; JSON has no infinity
HISTORY = 20  # turns of a breaker that are remembered
SLOWEST_S = 86_400.0  # the longest that one answer can hold up a key
REMEMBERED_S = 30 * 86_400.0  # how long the failures and turns of a closed breaker are kept after the last of them
_NEVER_MORE = 6  # doublings of the pause of a job whose failure was a breaker's
_RATE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*/\s*(\d*)\s*([smhd])\s*")
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


class Meter(msgspec.Struct, kw_only=True):
    """What a gate remembers, of whatever kind it is. All zero: as if it had never been used.

    full_at: of a rate, when its bucket will be full again. running: under a limit. until, probe, failures: of a
    breaker, see BreakerSpec. override: the numbers that a person has set in place of the declared ones.
    """

    full_at: float = 0.0
    running: int = 0
    until: float = 0.0  # 0: closed; NEVER: until a person closes it
    since: float = 0.0
    probe: str = ""  # the id of the job that tries whether the service is back
    reason: str = ""
    failures: tuple[float, ...] = ()
    history: tuple[tuple[float, str], ...] = ()  # (when, what happened), oldest first
    override: RateSpec | LimitSpec | BreakerSpec | None = None

    @property
    def idle_at(self) -> float:
        """When it can be forgotten, for nothing that matters would change; NEVER as things are."""
        if self.running or self.until or self.override:
            return NEVER
        last = [*self.failures[-1:], *(at for at, _ in self.history[-1:])]
        return max(self.full_at, *(at + REMEMBERED_S for at in last)) if last else self.full_at


class RateSpec(msgspec.Struct, frozen=True, kw_only=True, tag="rate"):
    """At most `burst` jobs at once, and one for each `interval_s` over time.

    The generic cell rate algorithm (ITU-T I.371, annex A): in any `t` seconds, at most burst + t / interval_s jobs.
    """

    key: str
    interval_s: float
    burst: int = 1

    def opens_at(self, meter: Meter) -> float:
        """When it lets the next job through."""
        return meter.full_at - (self.burst - 1) * self.interval_s

    def room(self, meter: Meter, now: float) -> int:
        """How many jobs it lets through now."""
        spare_s = now - self.opens_at(meter)
        return min(self.burst, int(spare_s / self.interval_s + 1e-9) + 1) if spare_s >= 0 else 0

    def take(self, meter: Meter, job: str, now: float) -> None:
        """One goes through."""
        meter.full_at = max(meter.full_at, now) + self.interval_s

    def is_slowed(self, meter: Meter, now: float) -> bool:
        """Whether it holds for longer than by its own numbers: a service asked for that, or a person had set others."""
        return self.opens_at(meter) - now > self.interval_s * (1 + 1e-9)

    def slow_down(self, meter: Meter, until: float) -> None:
        """Nothing before then; and from then on at the rate, without a burst."""
        meter.full_at = max(meter.full_at, until + (self.burst - 1) * self.interval_s)

    def words(self) -> str:
        """The numbers for people."""
        for unit in "smhd":
            n = _UNITS[unit] / self.interval_s
            if n >= 1 and abs(n - round(n)) < 1e-6:
                return f"{round(n)}/{unit}" + (f", {self.burst} at once" if self.burst > 1 else "")
        return f"one in {in_words(self.interval_s)}"


class LimitSpec(msgspec.Struct, frozen=True, kw_only=True, tag="limit"):
    """At most `most` jobs at a time."""

    key: str
    most: int

    def opens_at(self, meter: Meter) -> float:
        """Time alone never opens it."""
        return NEVER

    def room(self, meter: Meter, now: float) -> int:
        """How many more may run."""
        return max(0, self.most - meter.running)

    def take(self, meter: Meter, job: str, now: float) -> None:
        """One begins."""
        meter.running += 1

    def words(self) -> str:
        """The numbers for people."""
        return f"{self.most} at a time"


class BreakerSpec(msgspec.Struct, frozen=True, kw_only=True, tag="breaker"):
    """Opens after so many failures within so long; then lets one job through at a time to try, until one succeeds.

    What fails while it is open was not the job's fault: the attempt is not charged.
    """

    key: str
    failures: int
    within_s: float
    retry_after_s: float

    def opens_at(self, meter: Meter) -> float:
        """When it lets the next job through."""
        return NEVER if meter.probe else meter.until

    def room(self, meter: Meter, now: float) -> int:
        """Any number while it is closed; one when it is time to try."""
        if not meter.until:
            return ALL
        return 0 if meter.probe or now < meter.until else 1

    def take(self, meter: Meter, job: str, now: float) -> None:
        """While it is open, this job is the one that tries."""
        if meter.until:
            meter.probe = job

    def failed(self, meter: Meter, job: str, reason: str, now: float) -> bool:
        """A failure of its kinds. Whether the attempt is charged."""
        if meter.until:
            if meter.probe == job:
                meter.probe, meter.until = "", now + self.retry_after_s
                remember(meter, now, "probe failed")
            return False
        recent = (*(at for at in meter.failures if at > now - self.within_s), now)
        if len(recent) < self.failures:
            meter.failures = recent
        else:
            meter.failures, meter.probe = (), ""
            meter.until, meter.since, meter.reason = now + self.retry_after_s, now, reason
            remember(meter, now, "opened")
        return True

    def ended(self, meter: Meter, job: str, now: float, has_answered: bool) -> None:
        """The end of a job that was no such failure. has_answered: it shows that the service works."""
        if meter.until and meter.probe == job:
            meter.probe = ""
            if has_answered:
                close(meter, now)

    def pause_s(self, snoozes: int) -> float:
        """How long a job waits whose failure was not charged: longer each time, so that others try, too."""
        return self.retry_after_s * 2.0 ** min(snoozes + 1, _NEVER_MORE)

    def words(self) -> str:
        """The numbers for people."""
        after = f"opens after {many(self.failures, 'failure')} within {in_words(self.within_s)}"
        return f"{after}, tries after {in_words(self.retry_after_s)}"


Control = RateSpec | LimitSpec | BreakerSpec


def remember(meter: Meter, now: float, what: str) -> None:
    """A line for its history."""
    meter.history = (*meter.history, (now, what))[-HISTORY:]


def trip(meter: Meter, reason: str, until: float | None, now: float) -> None:
    """Open a breaker by hand; without an end, it tries nothing until a person closes it."""
    meter.until, meter.since, meter.reason = NEVER if until is None else until, now, reason
    meter.probe, meter.failures = "", ()
    remember(meter, now, "opened by hand")


def close(meter: Meter, now: float) -> bool:
    """Close a breaker: as if it had never failed. False if it was closed."""
    if not meter.until:
        return False
    meter.until, meter.probe, meter.failures, meter.reason = 0.0, "", (), ""
    remember(meter, now, "closed")
    return True


class Gated(NamedTuple):
    """A gate that jobs of a lane go through."""

    scope: str  # "rate:<key>", "limit:<key>", "breaker:<key>"
    control: Control


class Controls(msgspec.Struct, frozen=True, kw_only=True):
    """The controls of one task, as published. per: the template of the key where it depends on an argument."""

    rate: RateSpec | None = None
    limit: LimitSpec | None = None
    breaker: BreakerSpec | None = None
    per: str = ""

    def __bool__(self) -> bool:
        return self.rate is not None or self.limit is not None or self.breaker is not None

    def __iter__(self) -> Iterator[Control]:
        return (control for control in (self.breaker, self.rate, self.limit) if control is not None)

    def lane_key(self, arguments: Callable[[], Mapping[str, Any]], task: str) -> str:
        """The key of the lane that a job with these arguments waits in; they are asked for only where it depends on
        them. Raises BadArguments.
        """
        return keys.fill(self.per, dict(arguments()), where(task)) if self.per else ""

    def gates(self, lane_key: str) -> list[Gated]:
        """The gates of a lane: those whose key is the template have the lane's own."""
        return [
            Gated(f"{kind_of(control)}:{lane_key if self.per and control.key == self.per else control.key}", control)
            for control in self
        ]


def where(task: str) -> str:
    """What an error about the key of a lane begins with."""
    return f"key of the controls of {task}"


def kind_of(control: Control) -> str:
    """ "rate", "limit" or "breaker"."""
    return str(control.__struct_config__.tag)


class Rate:
    """How many jobs may begin in a while, over all workers: Rate("100/m"), Rate("5/s", burst=20, key="mailgun").

    rate: a number of jobs, and of s, m, h or d: "100/m", "1/10s".
    burst: how many may begin at once after a rest; in any t seconds, at most burst + rate * t begin. Without it, what a
    tenth of a second holds, at least 1: one that comes a little late must not slow down all after it.
    key: tasks with the same key share one rate; a template such as "tenant:{tenant}" has one for each value of an
    argument. Without it the task has one for itself.
    """

    def __init__(self, rate: str, *, burst: int | None = None, key: str = "") -> None:
        found = _RATE.fullmatch(rate)
        if found is None or float(found[1]) <= 0 or found[2] == "0":
            raise ConfigError(f"Rate({rate!r}): write how many in how long, such as '100/m', '5/s' or '1/10s'")
        if burst is not None and burst < 1:
            raise ConfigError(f"Rate({rate!r}, burst={burst}): at least 1")
        self._interval_s = int(found[2] or 1) * _UNITS[found[3]] / float(found[1])
        self._burst = max(1, ceil(CATCH_UP_S / self._interval_s)) if burst is None else burst
        self._key = key

    def spec(self, task: str) -> RateSpec:
        """What is published."""
        return RateSpec(key=_key(self._key, task), interval_s=self._interval_s, burst=self._burst)


class Limit:
    """How many jobs may run at a time, over all workers: Limit(5), Limit(1, key="account:{account}").

    key: as for Rate.
    """

    def __init__(self, most: int, *, key: str = "") -> None:
        if most < 1:
            raise ConfigError(f"Limit({most}): at least 1; to stop a task altogether, pause it")
        self._most, self._key = most, key

    def spec(self, task: str) -> LimitSpec:
        """What is published."""
        return LimitSpec(key=_key(self._key, task), most=self._most)


class Breaker:
    """Holds the jobs of a service that is down: Breaker("smtp", failures=5, within="1m", retry_after="30s").

    name: tasks with the same name share it; a template, as for Rate, has one for each value of an argument.
    failures, within: so many of them within so long, at most 30 days, open it. retry_after: how long until one job may
    try; when that one succeeds, all go on. What fails while it is open, or in the try, spends no attempt.
    on: the errors that count; an attempt that runs out of time counts, too.
    """

    def __init__(
        self,
        name: str = "",
        *,
        failures: int = 5,
        within: float | str | timedelta = "1m",
        retry_after: float | str | timedelta = "30s",
        on: type[BaseException] | tuple[type[BaseException], ...] = Exception,
    ) -> None:
        if failures < 1:
            raise ConfigError(f"Breaker(failures={failures}): at least 1")
        self._name, self._failures, self.on = name, failures, on
        self._within_s, self._retry_after_s = seconds(within), seconds(retry_after)
        if not self._within_s or not self._retry_after_s:
            raise ConfigError("Breaker(within=, retry_after=): more than 0")
        if self._within_s > REMEMBERED_S:
            raise ConfigError(f"Breaker(within=): at most {in_words(REMEMBERED_S)}, failures are not kept for longer")

    def spec(self, task: str) -> BreakerSpec:
        """What is published."""
        return BreakerSpec(
            key=_key(self._name, task),
            failures=self._failures,
            within_s=self._within_s,
            retry_after_s=self._retry_after_s,
        )


def controls_of(task: str, rate: Rate | None, limit: Limit | None, breaker: Breaker | None) -> Controls:
    """What a task publishes. Raises ConfigError."""
    found = Controls(
        rate=rate and rate.spec(task), limit=limit and limit.spec(task), breaker=breaker and breaker.spec(task)
    )
    templates = {control.key for control in found if "{" in control.key}
    if len(templates) > 1:
        raise ConfigError(
            f"task {task}: its keys {' and '.join(sorted(templates))} depend on arguments in different ways; "
            "jobs wait in one line for each value, so give both the same key"
        )
    return msgspec.structs.replace(found, per=next(iter(templates), ""))


def refuse_other_numbers(task: str, controls: Controls, others: Mapping[str, Controls]) -> None:
    """Tasks that share a control share its numbers. others: by task. Raises ConfigError."""
    for other, theirs in others.items():
        for own, there in product(controls, theirs):
            if (kind_of(own), own.key) == (kind_of(there), there.key) and own != there:
                raise ConfigError(
                    f"tasks {other} and {task} share {kind_of(own)}:{own.key}, but not its numbers ({there.words()}; "
                    f"{own.words()}): give both the same, or one of them another key"
                )


def _key(key: str, task: str) -> str:
    found = key or task
    if len(found) > 200 or any(ord(letter) < 32 for letter in found):
        raise ConfigError(f"task {task}: the key {found[:50]!r} has at most 200 characters, all of them printable")
    return found
