"""What is in the memory of another process."""

from __future__ import annotations

import re


def holds(pid: int, needle: bytes) -> bool:
    """Whether the memory of a process contains these bytes, its environment block included. One that ended has none."""
    try:
        with open(f"/proc/{pid}/maps") as shown:
            maps = shown.readlines()
        memory = open(f"/proc/{pid}/mem", "rb", buffering=0)
    except (FileNotFoundError, ProcessLookupError):
        return False
    with memory:
        for line in maps:
            match = re.match(r"([0-9a-f]+)-([0-9a-f]+) r", line)
            if not match or "[v" in line:
                continue
            start, end = (int(group, 16) for group in match.groups())
            try:
                memory.seek(start)
                if needle in memory.read(end - start):
                    return True
            except OSError:
                continue
    return False
