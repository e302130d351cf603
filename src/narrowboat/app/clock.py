"""A backend whose time is told by a test."""

from __future__ import annotations

import functools
import inspect
import time
from datetime import datetime, timedelta
from typing import Any

from ..backends.base import Backend
from ..core.units import seconds

_TIMED = {
    name for name, verb in vars(Backend).items() if callable(verb) and "now" in inspect.signature(verb).parameters
}


class Clock:
    """Stands still at the moment when it was made, until it is told to go on."""

    def __init__(self) -> None:
        self._now = time.time()

    def __repr__(self) -> str:
        return f"<Clock {datetime.fromtimestamp(self._now).astimezone():%Y-%m-%d %H:%M:%S %Z}>"

    @property
    def now(self) -> float:
        """Seconds since 1970."""
        return self._now

    def advance(self, duration: float | str | timedelta) -> None:
        """Let so much time pass: seconds, a timedelta, or text such as "10m"."""
        self._now += seconds(duration)

    def advance_to(self, moment: float | datetime) -> None:
        """Let time pass until then. A moment that is over changes nothing."""
        self._now = max(self._now, moment.timestamp() if isinstance(moment, datetime) else moment)


class Clocked:
    """The verbs of a backend, at the time that a clock shows."""

    def __init__(self, backend: Backend, clock: Clock) -> None:
        self._backend, self._clock = backend, clock

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._backend, name)
        return functools.partial(found, now=self._clock.now) if name in _TIMED else found
