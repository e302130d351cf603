"""Job ids: `<task>:<ulid>`, so that an id says which code it belongs to and sorts by time.

The ULID layout (48 bits of milliseconds, 80 random bits, Crockford base32) is that of
https://github.com/ulid/spec.
"""

from __future__ import annotations

import os
import re
import time

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = [a + b for a in _ALPHABET for b in _ALPHABET]
TASK_NAME = re.compile(r"[A-Za-z_][\w-]*(\.[A-Za-z_<][\w<>-]*)*")
_JOB_ID = re.compile(r"(?P<task>[^:\s]{1,200}):(?P<ulid>[0-7][0-9A-HJKMNP-TV-Z]{25})")


def ulid(now_ms: int, entropy: bytes) -> str:
    """26 characters for a time in milliseconds since 1970 and 10 random bytes."""
    number = (now_ms << 80) | int.from_bytes(entropy, "big")
    pairs: list[str] = []
    for _ in range(13):
        pairs.append(_PAIRS[number & 1023])
        number >>= 10
    pairs.reverse()
    return "".join(pairs)


def new_job_id(task: str) -> str:
    """A fresh id for a job of `task`, unique without asking anyone."""
    return f"{task}:{ulid(time.time_ns() // 1_000_000, os.urandom(10))}"


def task_of(job_id: str) -> str | None:
    """The task that a job id names, or None when the text is not a job id."""
    found = _JOB_ID.fullmatch(job_id)
    return found["task"] if found else None


def is_task_name(name: str) -> bool:
    """Whether a text can name a task: a dotted path of identifiers, at most 200 characters."""
    return len(name) <= 200 and TASK_NAME.fullmatch(name) is not None
