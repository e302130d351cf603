"""A transport that may be away: what is asked of it then is left out, and one line says so."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from ...core.errors import BackendUnavailable

log = logging.getLogger("narrowboat.relay")
AGAIN_S = 5.0  # a transport that was out of reach is left alone for so long: nobody waits for it at every call

T = TypeVar("T")


class Reach:
    """Whether a transport can be reached, as far as this process has seen. Safe to use from any thread."""

    def __init__(self, location: str) -> None:
        self._location = location
        self._away_until: float | None = None

    @property
    def is_away(self) -> bool:
        """It was not there when it was last asked, a moment ago."""
        return self._away_until is not None and time.monotonic() < self._away_until

    def ask(self, call: Callable[[], T]) -> T | None:
        """What a call gives; None, and nothing done, while the transport is away."""
        if self.is_away:
            return None
        try:
            found = call()
        except BackendUnavailable as error:
            if self._away_until is None:
                log.warning(
                    "%s is out of reach; jobs are accepted, and workers look for them until it is back: %s",
                    self._location,
                    error,
                )
            self._away_until = time.monotonic() + AGAIN_S
            return None
        if self._away_until is not None:
            self._away_until = None
            log.warning("%s is back", self._location)
        return found
