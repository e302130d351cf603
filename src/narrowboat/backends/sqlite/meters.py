"""What the gates of controls remember, and the lines of lanes that wait before them.

A lane that meets a shut gate leaves the index of the open ones and joins the line of that gate (`lane.held`); when the
gate lets jobs through again, as many lanes as it has room for come back, those whose turn it is first. So what is
exhausted costs a claim nothing, however much of it there is.
"""

from __future__ import annotations

import functools
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec

from ...core import codec
from ...core.controls import ALL, NEVER, Control, Controls, Gated, LimitSpec, Meter, close, trip
from ...core.decide import Settlement, heed
from ..base import Gate, open_breakers
from .queries import sql

DUE = 100  # gates that one step looks after
BACK = 1000  # lanes that come back from one gate at a time
_meter = msgspec.json.Decoder(Meter).decode
_controls = msgspec.json.Decoder(Controls).decode
_names = msgspec.json.Decoder(list[str]).decode
_NOW = 0.0


@dataclass(slots=True)
class _Entry:
    """opens_at: when the line before it is to be looked after; None: when something happens to it."""

    meter: Meter
    opens_at: float | None
    is_changed: bool = False


class Meters:
    """The gates as one transaction sees and changes them; `flush` writes them."""

    def __init__(self, connection: sqlite3.Connection, now: float) -> None:
        self._connection, self._now = connection, now
        self._entries: dict[str, _Entry] = {}

    @functools.cached_property
    def controls(self) -> dict[str, Controls]:
        """Those of the tasks that have some."""
        return controls_of(self._connection)

    def gates(self, task: str, lane_key: str) -> list[Gated]:
        """Those of a lane, with the numbers that hold now."""
        found = self.controls.get(task)
        if found is None:
            return []
        return [Gated(scope, self._entry(scope).meter.override or own) for scope, own in found.gates(lane_key)]

    def room(self, gates: Sequence[Gated]) -> int:
        """How many jobs all of them let through."""
        return min((control.room(self._entry(scope).meter, self._now) for scope, control in gates), default=ALL)

    def hold(self, lane: int, gates: Sequence[Gated]) -> None:
        """The lane joins the line of the first that lets nothing through."""
        scope, control = next(g for g in gates if not g.control.room(self._entry(g.scope).meter, self._now))
        self._connection.execute(sql("lane_hold"), {"lane": lane, "scope": scope})
        self._look_again(self._entry(scope), control)

    def take(self, gates: Sequence[Gated], jobs: Sequence[str]) -> str | None:
        """These jobs go through; which gates want to hear of their end, as JSON."""
        for scope, control in gates:
            entry = self._entry(scope)
            entry.is_changed = True
            for job in jobs:
                control.take(entry.meter, job, self._now)
        heard = [scope for scope, control in gates if isinstance(control, LimitSpec) or self._entry(scope).meter.probe]
        return codec.encode(heard).decode() if heard else None

    def heed(self, end: Settlement, task: str, lane_key: str, snoozes: int) -> Settlement:
        """What becomes of a settlement when its gates have heard it."""
        return heed(end, self.gates(task, lane_key), self.touch, snoozes, self._now)

    def let_go(self, passed: str | None, job: str) -> None:
        """A job that went through these gates runs no more."""
        for scope in _names(passed) if passed else ():
            meter = self.touch(scope)
            if scope.startswith("limit:"):
                meter.running -= 1
            elif meter.probe == job:  # nobody has said how it ended
                meter.probe = ""

    def touch(self, scope: str) -> Meter:
        """To be written to; then the line before it is looked after."""
        entry = self._entry(scope)
        entry.opens_at, entry.is_changed = _NOW, True
        return entry.meter

    def look_after(self) -> bool:
        """Let lanes come back from the lines of gates that let something through again; whether any did."""
        self.flush()
        due = self._connection.execute(sql("meters_due"), {"now": self._now, "n": DUE}).fetchall()
        return sum(self._let_through(scope) for (scope,) in due) > 0

    def flush(self) -> None:
        """Write what has changed."""
        rows = [_row(scope, entry) for scope, entry in self._entries.items() if entry.is_changed]
        self._connection.executemany(sql("meter_write"), rows)
        for entry in self._entries.values():
            entry.is_changed = False

    def _let_through(self, scope: str) -> bool:
        entry = self._entry(scope)
        entry.is_changed = True
        head = self._connection.execute(sql("lane_first_held"), {"scope": scope}).fetchone()
        control = head and next((own for name, own in self.gates(*head) if name == scope), None)
        room = control.room(entry.meter, self._now) if control else ALL
        is_some_back = bool(head and room)
        if is_some_back:
            self._connection.execute(sql("lanes_back"), {"scope": scope, "n": min(room, BACK)})
            head = self._connection.execute(sql("lane_first_held"), {"scope": scope}).fetchone()
        if head is None:
            self._connection.execute(sql("lanes_unheld"), {"scope": scope})
            entry.opens_at = None
        elif control and not room:
            self._look_again(entry, control)
        return is_some_back

    def _look_again(self, entry: _Entry, control: Control) -> None:
        opens_at = control.opens_at(entry.meter)
        entry.opens_at, entry.is_changed = (opens_at if opens_at < NEVER else None), True

    def _entry(self, scope: str) -> _Entry:
        found = self._entries.get(scope)
        if found is None:
            row = self._connection.execute(sql("meter"), {"scope": scope}).fetchone()
            found = _Entry(_meter(row[0]), row[1]) if row else _Entry(Meter(), None)
            self._entries[scope] = found
        return found


def _row(scope: str, entry: _Entry) -> tuple[object, ...]:
    meter = entry.meter
    return scope, codec.encode(meter).decode(), entry.opens_at, meter.until > 0, meter.idle_at


def changed(connection: sqlite3.Connection, scope: str, change: Callable[[Meter], bool], now: float) -> bool:
    """Change what one gate remembers, by hand; what `change` says."""
    meters = Meters(connection, now)
    answer = change(meters.touch(scope))
    meters.flush()
    return answer


def shut_breaker(connection: sqlite3.Connection, gate: Gate, now: float) -> None:
    """Open a breaker."""

    def change(meter: Meter) -> bool:
        trip(meter, gate.reason, gate.until, now)
        return True

    changed(connection, gate.scope, change, now)


def open_breaker(connection: sqlite3.Connection, scope: str, now: float) -> bool:
    """Close a breaker; False if it was closed."""
    return changed(connection, scope, lambda meter: close(meter, now), now)


def adjust(connection: sqlite3.Connection, scope: str, control: Control | None, now: float) -> None:
    """Set a person's numbers, or take them back."""

    def change(meter: Meter) -> bool:
        meter.override = control
        return True

    changed(connection, scope, change, now)


def publish(connection: sqlite3.Connection, controls: dict[str, Controls]) -> None:
    """The controls of tasks as they are now. Where they are others than before, the lanes find their gates anew."""
    before = controls_of(connection)
    for task, new in controls.items():
        if before.get(task, Controls()) != new:
            connection.execute(sql("controls_set" if new else "controls_drop"), _named(task, new))
            connection.execute(sql("lanes_of_task_back"), {"task": task})


def controls_of(connection: sqlite3.Connection) -> dict[str, Controls]:
    """The controls of the tasks that have some."""
    return {task: _controls(text) for task, text in connection.execute(sql("controls"))}


def _named(task: str, controls: Controls) -> dict[str, str]:
    return {"task": task, "controls": codec.encode(controls).decode()}


def read(connection: sqlite3.Connection, scopes: Sequence[str]) -> dict[str, Meter]:
    """What gates remember."""
    found: dict[str, Meter] = {}
    for scope in scopes:
        row = connection.execute(sql("meter"), {"scope": scope}).fetchone()
        found[scope] = _meter(row[0]) if row else Meter()
    return found


def breakers(connection: sqlite3.Connection) -> list[Gate]:
    """Those that are open."""
    return open_breakers({scope: _meter(memory) for scope, memory in connection.execute(sql("meters_open"))})
