"""What USR1 prints: what a worker is doing, in a few lines."""

from __future__ import annotations

import time

from ..core.units import in_words, many
from .pool import Pool

MOST_JOBS = 50


def report(pool: Pool, state: str, up_s: float, contact: str) -> str:
    """Lines without a last line end."""
    now = time.monotonic()
    lines = [
        f"{state} for {in_words(up_s)}; backend {contact}; "
        f"{pool.used():g} of {many(pool.slots, 'slot')} used, {many(len(pool.hand), 'job')} in hand",
    ]
    for executor in pool.executors:
        kind = f"up to {executor.kind.concurrency} at a time" if executor.kind.concurrency else "one at a time"
        notes = [kind, f"{many(executor.begun, 'job')} so far", f"{executor.unbegun} ahead"]
        if executor.is_spare:
            notes.append("locked in, for an untrusted job to come")
        if executor.is_retiring:
            notes.append("about to end")
        lines.append(f"  executor {executor.pid}: {', '.join(notes)}")
        running = executor.running()
        lines += [
            f"    {held.id} attempt {held.claim.attempt}, for {in_words(now - (held.started_at or now))} "
            f"of at most {in_words(held.spec.timeout_s)}"
            for held in running[:MOST_JOBS]
        ]
        if len(running) > MOST_JOBS:
            lines.append(f"    ... and {len(running) - MOST_JOBS} more")
    return "\n".join(lines)
