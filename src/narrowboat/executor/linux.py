"""The few calls to the kernel that Python has no name for, and what an executor does with its descriptors."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import resource
import signal

_PR_SET_CHILD_SUBREAPER = 36
_F_SETSIG = 10
_libc = ctypes.CDLL(None, use_errno=True)


def become_subreaper() -> None:
    """Make orphans below this process its children, so that executors outlive their zygote in good order."""
    if _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def die_with(lifeline: int) -> None:
    """Have the kernel kill this process when the last writer of a pipe is gone.

    The worker holds the only write end. Unlike PR_SET_PDEATHSIG this does not depend on who the parent is,
    and unlike a thread that reads it works while the task holds the interpreter. The signal belongs to an
    open file, and forks share those, so each process opens the pipe again for itself.
    """
    mine = os.open(f"/proc/self/fd/{lifeline}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    os.dup2(mine, lifeline, inheritable=False)
    os.close(mine)
    fcntl.fcntl(lifeline, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(lifeline, _F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(lifeline, fcntl.F_SETFL, os.O_NONBLOCK | os.O_ASYNC)
    try:
        gone = os.read(lifeline, 1) == b""
    except BlockingIOError:
        gone = False
    if gone:
        os._exit(0)


def silence_descriptors(keep: set[int]) -> None:
    """Make every descriptor but those in `keep` /dev/null.

    Not closed: a closed number would be taken by the next file, and a log handler from the time of import
    would then write into the task's files.
    """
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for name in os.listdir("/proc/self/fd"):
        number = int(name)
        if number not in keep and number != null:
            try:
                os.fstat(number)
            except OSError:
                continue  # the descriptor of the listing itself
            os.dup2(null, number, inheritable=number <= 2)
    if null > 2:
        os.close(null)


def limit_memory(extra: int) -> None:
    """Let this process take `extra` bytes of private memory beyond what it has now.

    RLIMIT_DATA is close to what people mean; RLIMIT_AS also catches shared anonymous memory, but counts
    reserved address space, so it is set wide.
    """
    with open("/proc/self/statm") as statm:
        fields = statm.read().split()
    page = resource.getpagesize()
    data = int(fields[5]) * page + extra
    space = int(fields[0]) * page + 2 * extra + 512 * 1024 * 1024
    resource.setrlimit(resource.RLIMIT_DATA, (data, data))
    resource.setrlimit(resource.RLIMIT_AS, (space, space))


def offer_to_oom_killer() -> None:
    """When the machine runs out of memory, an executor goes before the worker does: that costs one attempt."""
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as score:
        score.write("500")


def call_me(name: str) -> None:
    """Set the name that ps and top show for this process (15 characters)."""
    with open("/proc/self/comm", "w") as comm:
        comm.write(name)


def dead_child() -> int | None:
    """The pid of a child that has died and is not reaped yet, or None."""
    try:
        found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return None
    return found.si_pid if found else None


def kill_group_and_reap(pid: int) -> int:
    """Kill what a dead child left in its session, reap it, and return its exit code (minus a signal number).

    In this order: while the zombie is there, its number cannot have become another process group.
    """
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status)
