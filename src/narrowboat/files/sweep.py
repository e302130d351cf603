"""Files live as long as the record of their job: from time to time, some are looked at, and orphans removed.

This needs no list of what to remove, so nothing is forgotten: not files whose job was never written because the web
process died, nor those of attempts whose outcome came too late.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .store import FileStore

YOUNG_S = 3600.0  # its job may be about to be written
BATCH = 100


Exist = Callable[[Sequence[str]], Sequence[bool]]


def sweep(store: FileStore, shard: str, exist: Exist, young_s: float = YOUNG_S) -> int:
    """Remove the files of jobs without a record from one shard; of how many jobs.

    exist: whether jobs have records. Raises StoreUnavailable.
    """
    old = [job_id for job_id, age in store.jobs(shard) if age >= young_s]
    gone = 0
    for start in range(0, len(old), BATCH):
        some = old[start : start + BATCH]
        for job_id, exists in zip(some, exist(some), strict=True):
            if not exists:
                store.remove(job_id)
                gone += 1
    return gone
