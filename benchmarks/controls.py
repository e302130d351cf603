"""Whether a key that is exhausted costs other claims nothing: 10,000 keys under a limit, all but one of them full.

The backend alone is measured, without a worker process. The key with room has a limit of its own, as a person may set.
"""

from __future__ import annotations

import contextlib
import statistics
from collections.abc import Sequence
from pathlib import Path

from narrowboat.backends.base import Backend
from narrowboat.backends.urls import open_backend
from narrowboat.core.controls import Controls, LimitSpec
from narrowboat.core.ids import new_job_id
from narrowboat.core.job import NewJob

from .depth import FRESH, MANY, Hand, Row, drained_per_s

KEYS = 10_000
ROUNDS = 3
TASK = "controls.task"
PER = "tenant:{tenant}"
LIMITS = {
    "no controls": Controls(),
    "a limit with room": Controls(limit=LimitSpec(key="db", most=1_000_000)),
    f"{KEYS:,} keys under limits, {KEYS - 1:,} exhausted": Controls(limit=LimitSpec(key=PER, most=1), per=PER),
}


def compare(folder: Path, backends: Sequence[str], row: Row) -> bool:
    """Each of these backends by itself: jobs/s that one worker claims and settles, a hundred in each step."""
    with contextlib.ExitStack() as servers:
        for name in backends:
            fresh = FRESH[name](servers, folder)
            print(f"\n{name}")
            rates: dict[str, list[float]] = {what: [] for what in LIMITS}
            for _ in range(ROUNDS):
                for what, controls in LIMITS.items():
                    backend = open_backend(fresh())
                    rates[what].append(claims_per_s(backend, controls))
                    backend.close()
            alone = statistics.median(rates["no controls"])
            for what, found in rates.items():
                rate = statistics.median(found)
                row(f"  {what}", f"{rate:,.0f} /s", f"{rate / alone:.2f} x" if rate != alone else "")
    return True


def claims_per_s(backend: Backend, controls: Controls) -> float:
    """In a fresh store, under these controls; where they are per key, all other keys are exhausted before."""
    hand = Hand(backend, [TASK], controls)
    holder = exhaust(backend, controls) if controls.per else None
    fill(backend, ["tenant:free"] * MANY if controls.per else [""] * MANY)
    rate = drained_per_s(hand, MANY)
    for each in filter(None, (hand, holder)):
        each.leave()
    return rate


def exhaust(backend: Backend, controls: Controls) -> Hand:
    """Two jobs for each key but one, of which one is running and one waits; who holds those that run."""
    backend.adjust("limit:tenant:free", LimitSpec(key=PER, most=1_000_000))
    fill(backend, [f"tenant:{n % (KEYS - 1)}" for n in range(2 * (KEYS - 1))])
    holder, held = Hand(backend, [TASK], controls), 0
    while (claims := holder.step(n=100)) or holder.has_more:
        held += len(claims)
    assert held == KEYS - 1, f"{held} jobs are running, of {KEYS - 1} keys"
    return holder


def fill(backend: Backend, lane_keys: Sequence[str]) -> None:
    """Enqueue a job for each of these."""
    for start in range(0, len(lane_keys), 1000):
        keys = lane_keys[start : start + 1000]
        backend.enqueue([NewJob(id=new_job_id(TASK), task=TASK, args=b'{"n":1}', lane_key=key) for key in keys])
