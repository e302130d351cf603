"""What really ran: the notes that the jobs leave, counted and checked."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from itertools import accumulate
from typing import NamedTuple

from .. import measure
from .jobs import LEDGER, RECORD


class WrongCount(RuntimeError):
    """Not each of the jobs that were enqueued ran exactly once."""


class Record(NamedTuple):
    """One run of a job, by CLOCK_MONOTONIC in seconds."""

    number: int
    began: float
    ended: float


def clear() -> None:
    """Forget everything. Executors of a worker that is root have users of their own, who write to it, too."""
    LEDGER.parent.mkdir(parents=True, exist_ok=True)
    with LEDGER.open("wb"):
        LEDGER.chmod(0o666)


def count() -> int:
    """How many runs there are."""
    return os.stat(LEDGER).st_size // RECORD.size


def records(numbers: range) -> list[Record]:
    """The runs of these jobs, as they ended."""
    with LEDGER.open("rb") as file:
        content = file.read()
    found = map(Record._make, RECORD.iter_unpack(content[: len(content) // RECORD.size * RECORD.size]))
    return sorted((record for record in found if record.number in numbers), key=lambda record: record.ended)


def until(total: int, is_alive: Callable[[], bool], limit_s: float) -> None:
    """Wait until so many runs are noted. Raises WrongCount after the limit, or when the worker is gone."""
    try:
        measure.until(lambda: count() >= total or not is_alive(), limit_s)
    except TimeoutError:
        raise WrongCount(f"{count():,} of {total:,} jobs had run after {limit_s:.0f} s") from None
    if count() < total:
        raise WrongCount(f"the worker ended when {count():,} of {total:,} jobs had run")


def verify(numbers: range) -> None:
    """Raises WrongCount unless each of these jobs ran once, and no other."""
    seen = Counter(record.number for record in records(range(2**32)))
    missing = sum(number not in seen for number in numbers)
    again = sum(times - 1 for times in seen.values())
    strange = sum(number not in numbers for number in seen)
    if missing or again or strange:
        raise WrongCount(f"of {len(numbers):,} jobs {missing:,} never ran, {again:,} runs were one too many")


def peak(found: list[Record]) -> int:
    """How many ran at a time, at most."""
    moments = sorted([(record.began, 1) for record in found] + [(record.ended, -1) for record in found])
    return max(accumulate(change for _, change in moments))
