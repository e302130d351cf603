"""Controls as people see and steer them: which there are, how they stand, other numbers for a while."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence

import msgspec

from ..backends.base import Backend, Gate
from ..core.controls import (
    NEVER,
    BreakerSpec,
    Control,
    Gated,
    Limit,
    LimitSpec,
    Meter,
    Rate,
    RateSpec,
    kind_of,
)
from ..core.errors import ConfigError
from ..core.job import Job
from ..core.moments import in_short
from ..core.task import TaskSpec
from ..core.units import in_words, many

KINDS = ("rate", "limit", "breaker")


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """A control, how it stands, and which tasks go through it.

    scope: "rate:mailgun"; with a template, such as "limit:tenant:{tenant}", it stands for one of each value, and has no
    meter. is_adjusted: a person's numbers hold instead of the declared ones.
    """

    scope: str
    control: Control
    tasks: tuple[str, ...]
    is_adjusted: bool = False
    meter: Meter | None = None

    @property
    def numbers(self) -> str:
        """For people."""
        return self.control.words()

    def state(self, now: float) -> str:
        """For people."""
        if self.meter is None:
            return "one for each value"
        return state_of(self.control, self.meter, now)


def controls(backend: Backend) -> list[Shown]:
    """Those of all tasks that workers have published, by scope."""
    declared = _declared(backend.published())
    meters = backend.meters([shown.scope for shown in declared if "{" not in shown.scope])
    return [_as_it_stands(shown, meters.get(shown.scope)) for shown in declared]


def holding(backend: Backend, now: float) -> dict[str, list[Gate]]:
    """What holds jobs of tasks now, by the queue that these go to: pauses and slow-downs, breakers, rates and limits.

    The reason of a control is how it stands, for people. Of controls with one for each value of an argument, only
    breakers are found.
    """
    published = backend.published()
    declared, shut = _declared(published), backend.gates()
    found: dict[str, list[Gate]] = defaultdict(list)
    for gate in shut:
        if gate.scope.startswith("task:") and (spec := published.get(gate.scope.removeprefix("task:"))):
            found[spec.queue].append(gate)
    breakers = {gate.scope for gate in shut if gate.kind == "breaker"}
    scopes = breakers | {shown.scope for shown in declared if "{" not in shown.scope}
    for scope, meter in sorted(backend.meters(sorted(scopes)).items()):
        if (shown := _meant(declared, scope)) is None:
            continue
        control = meter.override or shown.control
        if _holds(control, meter, now):
            for queue in sorted({published[task].queue for task in shown.tasks}):
                found[queue].append(_gate(scope, control, meter, now))
    return found


def named(backend: Backend, scope: str) -> Shown | None:
    """A control of this name, also one that is for a single value of an argument, as "limit:tenant:7"; None if no task
    of a worker may mean it.
    """
    found = _meant(_declared(backend.published()), scope)
    if found is None or "{" in scope:
        return found
    return _as_it_stands(msgspec.structs.replace(found, scope=scope), backend.meters([scope])[scope])


def _declared(published: Mapping[str, TaskSpec]) -> list[Shown]:
    tasks: dict[str, list[str]] = defaultdict(list)
    found: dict[str, Control] = {}
    for name, spec in sorted(published.items()):
        for control in spec.controls:
            scope = f"{kind_of(control)}:{control.key}"
            found[scope] = control
            tasks[scope].append(name)
    return [Shown(scope=scope, control=found[scope], tasks=tuple(tasks[scope])) for scope in sorted(found)]


def _as_it_stands(shown: Shown, meter: Meter | None) -> Shown:
    override = meter.override if meter else None
    control = override or shown.control
    return msgspec.structs.replace(shown, control=control, is_adjusted=override is not None, meter=meter)


def _meant(declared: Sequence[Shown], scope: str) -> Shown | None:
    exact = next((shown for shown in declared if shown.scope == scope), None)
    return exact or next((shown for shown in declared if _may_mean(shown.scope, scope)), None)


def _gate(scope: str, control: Control, meter: Meter, now: float) -> Gate:
    until = control.opens_at(meter)
    return Gate(
        scope=scope,
        kind="slow-down" if isinstance(control, RateSpec) and control.is_slowed(meter, now) else kind_of(control),
        reason=state_of(control, meter, now),
        until=until if until < NEVER else None,
        since=meter.since,
    )


def _may_mean(template: str, scope: str) -> bool:
    parts = re.split(r"\{[^}]*\}", template)
    return len(parts) > 1 and re.fullmatch(".+".join(map(re.escape, parts)), scope) is not None


def adjust(backend: Backend, scope: str, numbers: str | int | Rate | Limit | None) -> Control | None:
    """Put other numbers in place of the declared ones, until they are taken back with None.

    scope: "rate:<key>" with numbers such as "50/m", or a Rate; "limit:<key>" with a number, or a Limit. Raises
    ConfigError.
    """
    kind, _, key = scope.partition(":")
    if kind not in KINDS or not key:
        raise ConfigError(f"{scope!r} is no control; one is named like rate:mailgun, limit:db or breaker:smtp")
    if kind == "breaker" and numbers is not None:
        raise ConfigError(f"{scope}: a breaker has no numbers to set; pause and resume it instead")
    control: Control | None = None
    if kind == "rate" and numbers is not None:
        rate = numbers if isinstance(numbers, Rate) else Rate(str(numbers))
        control = msgspec.structs.replace(rate.spec(key), key=key)
    elif kind == "limit" and numbers is not None:
        if not isinstance(numbers, int | Limit) and not str(numbers).isdigit():
            raise ConfigError(f"{scope}: a limit is a number of jobs, not {numbers!r}")
        limit = numbers if isinstance(numbers, Limit) else Limit(int(str(numbers)))
        control = msgspec.structs.replace(limit.spec(key), key=key)
    backend.adjust(scope, control)
    return control


def read_gates(backend: Backend, job: Job, spec: TaskSpec | None) -> list[tuple[Gated, Meter]]:
    """The gates that a job goes through, with the numbers that hold, and what they remember. spec: of its task."""
    gates = [] if spec is None else spec.controls.gates(job.lane_key)
    meters = backend.meters([scope for scope, _ in gates]) if gates else {}
    return [_in_force(gated, meters[gated.scope]) for gated in gates]


def holder(gates: Sequence[Gated], meters: Mapping[str, Meter], now: float) -> Gate | None:
    """The first of a job's gates that holds it now. meters: of each of them."""
    for gated, meter in (_in_force(gated, meters[gated.scope]) for gated in gates):
        if _holds(gated.control, meter, now):
            return _gate(gated.scope, gated.control, meter, now)
    return None


def _holds(control: Control, meter: Meter, now: float) -> bool:
    return meter.until > 0 or not control.room(meter, now)  # a breaker is open, too, when it is time to try


def _in_force(gated: Gated, meter: Meter) -> tuple[Gated, Meter]:
    return Gated(gated.scope, meter.override or gated.control), meter


def opens_at(backend: Backend, job: Job, spec: TaskSpec, now: float) -> float:
    """When time alone lets a job that waits through its gates: `now` if nothing holds it, NEVER if time does not."""
    shut = [(gated, meter) for gated, meter in read_gates(backend, job, spec) if not gated.control.room(meter, now)]
    return max((gated.control.opens_at(meter) for gated, meter in shut), default=now)


def state_of(control: Control, meter: Meter, now: float) -> str:
    """How a control stands, for people."""
    match control:
        case LimitSpec():
            return f"{meter.running} of {control.most} running"
        case RateSpec():
            return _rate(control, meter, now)
        case BreakerSpec():
            return _breaker(meter, now)


def _rate(control: RateSpec, meter: Meter, now: float) -> str:
    if room := control.room(meter, now):
        return f"{room} may begin now"
    slowed = "slowed down, " if control.is_slowed(meter, now) else ""
    return f"{slowed}the next in {in_words(control.opens_at(meter) - now)}"


def _breaker(meter: Meter, now: float) -> str:
    if not meter.until:
        return "closed" + (f", {many(len(meter.failures), 'failure')} lately" if meter.failures else "")
    why = f": {meter.reason}" if meter.reason else ""
    if meter.probe:
        return f"open, {meter.probe} tries now{why}"
    if meter.until >= NEVER:
        return f"open until a person closes it{why}"
    left_s = meter.until - now
    when = "next" if left_s <= 0 else f"in {in_words(left_s)}" if left_s < 60 else in_short(meter.until, now)
    return f"open, one job tries {when}{why}"
