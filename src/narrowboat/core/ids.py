"""Job ids: `<task>:<ulid>`, so that an id says which code it belongs to and sorts by time.

The ULID layout (48 bits of milliseconds, 80 random bits, Crockford base32) is that of
https://github.com/ulid/spec.
"""

from __future__ import annotations

import functools
import os
import re
import time

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_DIGITS = bytes(_ALPHABET.encode()[byte & 31] for byte in range(256))
TASK_NAME = re.compile(r"[A-Za-z_][\w-]*(\.[A-Za-z_<][\w<>-]*)*")
_JOB_ID = re.compile(r"(?P<task>[^:\s]{1,200}):(?P<ulid>[0-7][0-9A-HJKMNP-TV-Z]{25})")


def ulid(now_ms: int, entropy: bytes) -> str:
    """26 characters for a time in milliseconds since 1970 and 16 random bytes, of which five bits each are used."""
    return f"{_time(now_ms)}{entropy.translate(_DIGITS).decode()}"


@functools.lru_cache(2)
def _time(now_ms: int) -> str:
    """The first ten characters, the same for all jobs of a millisecond."""
    return "".join(_ALPHABET[now_ms >> shift & 31] for shift in range(45, -1, -5))


_AT_ONCE = 64  # asking the kernel takes longer than all the rest of an id
_drawn: list[str] = []  # sixteen characters for each of the next ids
os.register_at_fork(after_in_child=_drawn.clear)


def new_job_id(task: str) -> str:
    """A fresh id for a job of `task`, unique without asking anyone."""
    try:
        drawn = _drawn.pop()
    except IndexError:
        drawn = _draw()
    return f"{task}:{_time(time.time_ns() // 1_000_000)}{drawn}"


def _draw() -> str:
    digits = os.urandom(16 * _AT_ONCE).translate(_DIGITS).decode()
    _drawn.extend(digits[at : at + 16] for at in range(16, len(digits), 16))
    return digits[:16]


def new_batch_id() -> str:
    """A fresh id for a batch."""
    return ulid(time.time_ns() // 1_000_000, os.urandom(10))


def task_of(job_id: str) -> str | None:
    """The task that a job id names, or None when the text is not a job id."""
    found = _JOB_ID.fullmatch(job_id)
    return found["task"] if found else None


def is_task_name(name: str) -> bool:
    """Whether a text can name a task: a dotted path of identifiers, at most 200 characters."""
    return len(name) <= 200 and TASK_NAME.fullmatch(name) is not None
