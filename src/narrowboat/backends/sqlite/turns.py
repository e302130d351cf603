"""Whose turn it is: the open lanes that could serve a wish, in order, looked up a few at a time."""

from __future__ import annotations

import functools
import sqlite3
from collections import deque

from ...core import codec
from ..base import TURN, Want
from .queries import sql


class Turns:
    """The lanes of one wish, while it is met. Each is taken with `next`, and put back with `back` if it has jobs."""

    def __init__(self, connection: sqlite3.Connection, want: Want) -> None:
        self._connection, self._want = connection, want
        self._line: deque[tuple[int, int]] = deque()  # (lane, priority of its head)
        self._is_cut = bool(want.tasks) and want.n > 0  # there may be more lanes than those in line

    def next(self) -> tuple[int, int, bool] | None:
        """A lane, the priority of its head, and whether no other one has such jobs; None when all are empty."""
        if not self._line and self._is_cut:
            self._look(self._want.n // TURN + 2)
        if not self._line:
            return None
        lane, priority = self._line.popleft()
        return lane, priority, self._line[0][1] < priority if self._line else not self._is_cut

    def back(self, lane: int, priority: int) -> None:
        """It goes behind all others of its priority."""
        if self._is_cut and (not self._line or priority <= self._line[-1][1]):
            return  # behind those that were not looked up
        place = next((n for n, (_, other) in enumerate(self._line) if other < priority), len(self._line))
        self._line.insert(place, (lane, priority))

    def _look(self, most: int) -> None:
        named = {"queue": self._want.queue, "tasks": _as_json(self._want.tasks), "most": most}
        self._line.extend(self._connection.execute(sql("lane_next"), named))
        self._is_cut = len(self._line) == most


def can_serve(connection: sqlite3.Connection, want: Want) -> bool:
    """Whether a lane could serve a wish."""
    return Turns(connection, want).next() is not None


@functools.lru_cache(64)
def _as_json(tasks: frozenset[str]) -> str:
    """A worker asks for the same tasks again and again."""
    return codec.encode(sorted(tasks)).decode()
