"""What the service calls our channels: readable, no two alike, and within what SQS allows (80 of A-Z a-z 0-9 - _)."""

from __future__ import annotations

import hashlib
import re

LONGEST = 80
DEAD = "dead"  # the queue of dead letters: no channel has its name, for theirs have a kind and a hyphen
KINDS = ("queue", "task")
_PLAIN = re.compile(r"[A-Za-z0-9_-]+")
_HASHED = re.compile(r"-[0-9a-f]{16}$")


def queue_name(prefix: str, channel: str) -> str:
    """ "queue:images" is <prefix>queue-images, "task:shop.send" is <prefix>task-shop--send.

    What cannot be read back from that, or is too long, or looks so, ends in a hash of the whole channel.
    """
    kind, _, name = channel.partition(":")
    written = name.replace(".", "--")
    plain = f"{prefix}{kind}-{written}"
    if (
        kind in KINDS
        and _PLAIN.fullmatch(written)
        and written.replace("--", ".") == name
        and not _HASHED.search(written)
        and len(plain) <= LONGEST
    ):
        return plain
    tail = f"-{hashlib.sha256(channel.encode()).hexdigest()[:16]}"
    kind = kind if kind in KINDS and name else "other"
    start = f"{prefix}{kind}-{re.sub('[^A-Za-z0-9_-]', '_', written)}"
    return start[: LONGEST - len(tail)] + tail


def dead_letters(prefix: str) -> str:
    """The queue of what was received too often."""
    return f"{prefix}{DEAD}"
