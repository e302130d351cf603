"""Whose turn it is: the open lanes that could serve a wish, in order, looked up a few at a time."""

from __future__ import annotations

import functools
import sqlite3
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from ...core import codec
from ...core.controls import ALL, Gated
from ..base import TURN, Want
from .meters import Meters
from .queries import sql


class Lane(NamedTuple):
    """A lane in line. priority: of its head."""

    id: int
    priority: int
    task: str
    key: str


class Turn(NamedTuple):
    """A lane whose turn it is. is_alone: no other has jobs of its priority. room: what its gates let through."""

    lane: Lane
    is_alone: bool
    gates: Sequence[Gated]
    room: int


class Turns:
    """The lanes of one wish, while it is met. Each is taken with `next`, and put back with `back` if it has jobs.

    Lanes that meet a gate which lets nothing through join the line of that gate.
    """

    def __init__(self, connection: sqlite3.Connection, want: Want, meters: Meters | None = None) -> None:
        self._connection, self._want = connection, want
        self._meters = meters if meters is not None and meters.controls else None
        self._line: deque[Lane] = deque()
        self._is_cut = bool(want.tasks) and want.n > 0  # there may be more lanes than those in line

    def next(self) -> Turn | None:
        """None when all are empty, or held."""
        while True:
            if not self._line and self._is_cut:
                self._look(self._want.n // TURN + 2)
            if not self._line:
                if self._meters is None or not self._meters.look_after():
                    return None
                self._is_cut = True  # those that came back may be of other tasks: then the next ones do
                continue
            lane = self._line.popleft()
            gates = self._meters.gates(lane.task, lane.key) if self._meters is not None else ()
            room = self._meters.room(gates) if gates and self._meters is not None else ALL
            if room or self._meters is None:
                is_alone = self._line[0].priority < lane.priority if self._line else not self._is_cut
                return Turn(lane, is_alone, gates, room)
            self._meters.hold(lane.id, gates)

    def back(self, lane: Lane, priority: int) -> None:
        """It goes behind all others of its priority, which is that of its head now."""
        if self._is_cut and (not self._line or priority <= self._line[-1].priority):
            return  # behind those that were not looked up
        place = next((n for n, other in enumerate(self._line) if other.priority < priority), len(self._line))
        self._line.insert(place, lane._replace(priority=priority))

    def _look(self, most: int) -> None:
        named = {"queue": self._want.queue, "tasks": _as_json(self._want.tasks), "most": most}
        self._line.extend(map(Lane._make, self._connection.execute(sql("lane_next"), named)))
        self._is_cut = len(self._line) == most


def can_serve(connection: sqlite3.Connection, want: Want, meters: Meters | None = None) -> bool:
    """Whether a lane could serve a wish. Without meters, one that may have to be held counts."""
    return Turns(connection, want, meters).next() is not None


@functools.lru_cache(64)
def _as_json(tasks: frozenset[str]) -> str:
    """A worker asks for the same tasks again and again."""
    return codec.encode(sorted(tasks)).decode()
