"""Runs on a machine with another processor or kernel: the attacks, the doctor, and a worker with a few jobs."""

from __future__ import annotations

import os

from report import end, follow, introduce, say, sh
from steps import NONE_INSIDE, OPEN_WITHOUT_NAMESPACES, attacks, doctor, jobs

ENFORCED = "all of it is enforced"


def stacks() -> None:
    """The processor, and what Python's threads and signals need on it."""
    for name in ("SC_MINSIGSTKSZ", "SC_THREAD_STACK_MIN"):
        say(f"{name} {os.sysconf(name)}")
    say(sh("grep -m1 Features /proc/cpuinfo"))


def main() -> None:
    introduce()
    follow(
        (stacks,),
        (attacks, "root", NONE_INSIDE, OPEN_WITHOUT_NAMESPACES),
        (attacks, "shop", NONE_INSIDE, OPEN_WITHOUT_NAMESPACES),
        (doctor, "root", ENFORCED),
        (doctor, "shop", ENFORCED),
        (jobs, "root"),
        (jobs, "shop"),
    )
    end()


if __name__ == "__main__":
    main()
