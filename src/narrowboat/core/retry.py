"""Retry: which failures are tried again, how often, and how long to wait."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta

import msgspec

from .errors import ConfigError
from .units import seconds


class RetryPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """The part of a Retry that a worker needs: numbers only, as published in the manifest."""

    attempts: int = 3
    crashes: int = 2
    delay_s: float = 2.0
    factor: float = 3.0
    max_delay_s: float = 3600.0
    jitter: bool = True
    max_age_s: float | None = None


Errors = type[BaseException] | tuple[type[BaseException], ...]
Duration = float | str | timedelta


class Backoff:
    """How long to wait before the next try: delay * factor**(n-1) after the n-th failure, at most max_delay.

    jitter: draw the wait from 0 to that value, as Retry does; without, wait exactly so long.
    """

    def __init__(
        self, delay: Duration = 2.0, *, factor: float = 3.0, max_delay: Duration = "1h", jitter: bool = True
    ) -> None:
        if factor < 1:
            raise ConfigError(f"factor={factor!r}: waits must not shrink; give 1 or more")
        self.policy = RetryPolicy(delay_s=seconds(delay), factor=factor, max_delay_s=seconds(max_delay), jitter=jitter)


class Retry:
    """When to try a job again.

    attempts: how many tries in all, 1 to 1000.
    crashes: a job whose process died this often is dead, whatever `attempts` says.
    on, never: exception classes that are tried again, and those that are not (`never` wins).
    backoff: for some exception classes, a Backoff of their own; the first that fits.
    max_age: a job that would be tried later than this after it was enqueued is dead instead (default: never).
    delay, factor, max_delay: the wait before try n+1 is delay * factor**(n-1), at most max_delay.
    jitter: draw the wait from 0 to that value ("full jitter", after Brooker, "Exponential Backoff And
    Jitter", AWS Architecture Blog, 2015), so that failures in a crowd do not come back in a crowd.
    """

    def __init__(
        self,
        attempts: int = 3,
        *,
        on: Errors = Exception,
        never: Errors = (),
        delay: Duration = 2.0,
        factor: float = 3.0,
        max_delay: Duration = "1h",
        jitter: bool = True,
        crashes: int = 2,
        backoff: Mapping[Errors, Backoff] | None = None,
        max_age: Duration | None = None,
    ) -> None:
        if not 1 <= attempts <= 1000:
            raise ConfigError(f"Retry(attempts={attempts!r}): give a number from 1 to 1000")
        if not 1 <= crashes <= 1000:
            raise ConfigError(f"Retry(crashes={crashes!r}): give a number from 1 to 1000")
        if factor < 1:
            raise ConfigError(f"Retry(factor={factor!r}): waits must not shrink; give 1 or more")
        self.on, self.never, self._backoff = on, never, dict(backoff or {})
        self.policy = RetryPolicy(
            attempts=attempts,
            crashes=crashes,
            delay_s=seconds(delay),
            factor=factor,
            max_delay_s=seconds(max_delay),
            jitter=jitter,
            max_age_s=None if max_age is None else seconds(max_age),
        )

    def delay_s(self, error: BaseException, failures: int, rng: Callable[[], float]) -> float | None:
        """The wait after this error where it has a Backoff of its own, else None."""
        own = next((backoff for errors, backoff in self._backoff.items() if isinstance(error, errors)), None)
        return None if own is None else backoff_s(own.policy, failures, rng)

    def covers(self, error: BaseException) -> bool:
        """Whether this error is one to try again after."""
        return isinstance(error, self.on) and not isinstance(error, self.never)


def backoff_s(policy: RetryPolicy, failures: int, rng: Callable[[], float]) -> float:
    """Seconds to wait after the `failures`-th failure (from 1); rng gives a number in [0, 1)."""
    exponent = min(failures - 1, 64)
    longest = min(policy.max_delay_s, policy.delay_s * policy.factor**exponent)
    return longest * rng() if policy.jitter else longest
