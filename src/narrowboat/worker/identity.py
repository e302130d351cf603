"""Who this worker is, and whether a neighbour on the same machine is gone."""

from __future__ import annotations

import os
import secrets
import socket
from pathlib import Path

from ..backends.base import WorkerInfo


def this_worker(queues: dict[str, int], slots: int, lease_s: float) -> WorkerInfo:
    """A new identity for this process."""
    pid = os.getpid()
    return WorkerInfo(
        id=f"{socket.gethostname()[:40]}:{pid}:{secrets.token_hex(5)}",
        host=socket.gethostname(),
        pid=pid,
        pid_started=_started(pid) or 0,
        boot=_boot(),
        pid_namespace=_pid_namespace(),
        queues=queues,
        slots=slots,
        lease_s=lease_s,
    )


def is_gone(other: WorkerInfo) -> bool:
    """Whether another worker is certainly dead: same boot and pid namespace, and no such process any more.

    A pid alone is not enough, since it may belong to a later process; the start time tells them apart.
    """
    if not other.boot or other.boot != _boot() or other.pid_namespace != _pid_namespace():
        return False
    return _started(other.pid) != other.pid_started


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _pid_namespace() -> int:
    try:
        return Path("/proc/self/ns/pid").stat().st_ino
    except OSError:
        return 0


def _started(pid: int) -> int | None:
    """When a process began, in clock ticks since boot; None if there is none, or only its zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])
