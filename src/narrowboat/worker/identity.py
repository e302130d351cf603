"""Who this worker is, and whether a neighbour on the same machine is gone."""

from __future__ import annotations

import os
import secrets
import socket

from .. import kernel
from ..backends.base import WorkerInfo


def this_worker(slots: int, lease_s: float) -> WorkerInfo:
    """A new identity for this process; its queues are not known yet."""
    pid = os.getpid()
    return WorkerInfo(
        id=f"{socket.gethostname()[:40]}:{pid}:{secrets.token_hex(5)}",
        host=socket.gethostname(),
        pid=pid,
        pid_started=kernel.started(pid) or 0,
        boot=kernel.boot(),
        pid_namespace=kernel.pid_namespace(),
        slots=slots,
        lease_s=lease_s,
    )


def is_gone(other: WorkerInfo) -> bool:
    """Whether another worker is certainly dead: same boot and pid namespace, and no such process any more.

    A pid alone is not enough, since it may belong to a later process; the start time tells them apart.
    """
    if not other.boot or other.boot != kernel.boot() or other.pid_namespace != kernel.pid_namespace():
        return False
    return kernel.has_ended(other.pid, other.pid_started)
