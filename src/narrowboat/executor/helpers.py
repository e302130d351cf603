"""Programs that an attempt started: what is left of them at its end."""

from __future__ import annotations

import os


def are_left() -> bool:
    """Whether a child of this process still runs; takes in those that have ended.

    Orphans count: this process has adopted what its helpers left behind (kernel.adopt_orphans).
    """
    try:
        while os.waitpid(-1, os.WNOHANG)[0] != 0:
            pass
    except ChildProcessError:
        return False
    return True
