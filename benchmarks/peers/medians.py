"""From the rounds of a run to one figure for each cell of the tables."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from typing import Any

from .. import measure

System = dict[str, Any]
"""One of `systems` in results.json."""

Value = Callable[[System], float | None]


def of_rounds(name: str) -> Value:
    """The median over the rounds in which it was seen."""

    def value(system: System) -> float | None:
        seen = [figures[name] for figures in system["rounds"] if name in figures]
        return statistics.median(seen) if seen else None

    return value


def together(*names: str) -> Value:
    """The sum of such medians; what is missing counts as nothing, unless all is."""

    def value(system: System) -> float | None:
        found = [median for name in names if (median := of_rounds(name)(system)) is not None]
        return sum(found) if found else None

    return value


def percentile(name: str, which: int) -> Value:
    """p50 or p99 of what all rounds saw together: a round alone has too few for a p99."""

    def value(system: System) -> float | None:
        pooled = [ms for figures in system["rounds"] for ms in figures.get(name, [])]
        return measure.percentiles(pooled)[0 if which == 50 else 1] if pooled else None

    return value


def of_fleet(size: int) -> Value:
    """Memory of so many workers."""
    return lambda system: system["fleets"].get(str(size))


def idle(system: System) -> float | None:
    """What the smallest fleet takes of a core while it waits."""
    return system["idle_percent"]


def best(systems: Sequence[System], value: Value, is_less_better: bool) -> System | None:
    """Who has the best figure; none if nobody has one."""
    seen = [(number, system) for system in systems if (number := value(system)) is not None]
    if not seen:
        return None
    return (min if is_less_better else max)(seen, key=lambda pair: pair[0])[1]
