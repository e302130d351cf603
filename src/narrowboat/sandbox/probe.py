"""Attacks on the worker from inside a throwaway locked executor, once at the start of each zygote's branch.

What is found is what is reported: a mechanism that is there by its version number, but does not hold, is noticed. The
targets are made by the worker for this and nothing else, so that an attack which succeeds does no harm.
"""

from __future__ import annotations

import errno
import os
import resource
import signal
import socket
import threading
from collections.abc import Callable

from ..core.needs import Limits, Reach
from .findings import DECLARED, ENFORCED, MISSING, PARTIAL, Finding, Questions

_MEMORY_TRIED = 64 * 1024 * 1024


def findings(questions: Questions, reach: Reach, limits: Limits) -> tuple[Finding, ...]:
    """What this process could do, by property."""
    return (
        _secrets(questions),
        _read(questions, reach),
        _write(questions, reach),
        _programs(reach),
        _network(questions, reach),
        _signals(questions),
        _memory(questions, reach, limits),
        _processor(limits),
        Finding("time", ENFORCED, "the worker kills by the clock"),
        _clean_up(questions),
    )


def _secrets(questions: Questions) -> Finding:
    for name in ("environ", "mem"):
        if _works(lambda name=name: open(f"/proc/{questions.worker}/{name}", "rb").close()):
            return Finding("secrets", MISSING, f"the worker's /proc/PID/{name} can be opened")
    return Finding("secrets", ENFORCED)


def _read(questions: Questions, reach: Reach) -> Finding:
    if _works(lambda: open(questions.read, "rb").close()):
        return Finding("files read", MISSING, "a file of the worker can be read")
    return Finding("files read", ENFORCED, "besides what it declares" if reach.read or reach.write else "")


def _write(questions: Questions, reach: Reach) -> Finding:
    path = os.path.join(questions.write, f"written-{os.getpid()}")
    if _works(lambda: open(path, "x").close()) or _works(lambda: os.mkdir(path)):
        return Finding("files written", MISSING, "a file can be made in a folder of the worker")
    if _works(lambda: os.truncate(questions.read, 0)):
        return Finding("files written", MISSING, "a file of the worker can be emptied")
    return Finding("files written", ENFORCED, "besides what it declares" if reach.write else "")


def _programs(reach: Reach) -> Finding:
    shell = os.path.realpath("/bin/sh")

    def run() -> None:
        pid = os.posix_spawn(shell, ["sh", "-c", ":"], {})
        _, status = os.waitpid(pid, 0)
        if os.waitstatus_to_exitcode(status) != 0:
            raise PermissionError

    if _works(run):
        return Finding("programs", MISSING, f"{shell} can be run")
    return Finding("programs", ENFORCED, "besides what it declares" if reach.programs else "")


def _network(questions: Questions, reach: Reach) -> Finding:
    if reach.network:
        return Finding("network", DECLARED, "every host and port")

    def connect() -> None:
        with socket.create_connection(("127.0.0.1", questions.port), 1.0):
            pass

    def knock() -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as local:
            local.connect("/nowhere/at/all")

    if _works(connect):
        if reach.ports:
            return Finding("network", PARTIAL, "ports cannot be told apart by this kernel: every port is open")
        return Finding("network", MISSING, "a port of this host can be reached")
    if reach.sockets and _has_a_name(questions.read):  # Landlock has no say in who connects to a path
        return Finding("network", PARTIAL, "no mount namespace: every local socket that its user may use is open")
    if reach.ports:
        return Finding("network", DECLARED, f"TCP {', '.join(map(str, reach.ports))}, and UDP for names")
    if not reach.sockets and _works(knock, fine=(errno.ENOENT, errno.ECONNREFUSED)):
        return Finding("network", MISSING, "local sockets can be reached")
    return Finding("network", DECLARED, "local sockets") if reach.sockets else Finding("network", ENFORCED)


def _has_a_name(path: str) -> bool:
    try:
        os.stat(path)
    except FileNotFoundError:
        return False
    except OSError:
        pass  # it is there, if not for everybody
    return True


def _signals(questions: Questions) -> Finding:
    if _works(lambda: os.kill(questions.worker, 0)) or _works(lambda: _signal_by_descriptor(questions.worker)):
        return Finding("signals", MISSING, "the worker can be signalled")
    zygote = os.getppid()  # 0 where it is outside of a pid namespace, whose first process stands for the others there
    if _works(lambda: os.kill(zygote or 1, 0)):
        return Finding(
            "signals", PARTIAL, f"{'its zygote' if zygote else 'executors with the same needs'} can be signalled"
        )
    return Finding("signals", ENFORCED)


def _signal_by_descriptor(pid: int) -> None:
    descriptor = os.pidfd_open(pid)
    try:
        signal.pidfd_send_signal(descriptor, 0)
    finally:
        os.close(descriptor)


def _memory(questions: Questions, reach: Reach, limits: Limits) -> Finding:
    if limits.memory is None:
        return Finding("memory", DECLARED, "no limit: the task has no memory=")
    import mmap

    size = limits.memory + _MEMORY_TRIED

    def shared() -> None:
        mmap.mmap(-1, 2 * size + 512 * 1024 * 1024).close()

    def raised() -> None:
        resource.setrlimit(resource.RLIMIT_DATA, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

    if _works(lambda: mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS).close()):
        return Finding("memory", MISSING, "more than memory= can be had")
    if _works(shared) or _works(raised) or _works(lambda: os.close(os.memfd_create("more"))):
        return Finding("memory", PARTIAL, "shared memory is not limited")
    if questions.is_grouped:
        return Finding("memory", ENFORCED, "with its helpers, by a cgroup" if reach.programs else "")
    if reach.programs and not questions.is_weighed:
        return Finding("memory", PARTIAL, "each helper has the limit for itself: the worker cannot see them in /proc")
    return Finding("memory", ENFORCED, "with its helpers, which the worker watches" if reach.programs else "")


def _processor(limits: Limits) -> Finding:
    """Threads up to the limit and a few more; all end at once."""
    done = threading.Event()
    small = max(65_536, os.sysconf("SC_THREAD_STACK_MIN"))  # so that it is not memory that stops them
    started, usual = 0, threading.stack_size(small)
    try:
        for _ in range(limits.processes + 8):
            threading.Thread(target=done.wait, daemon=True).start()
            started += 1
    except (RuntimeError, MemoryError):
        pass
    finally:
        done.set()
        threading.stack_size(usual)
    if started > limits.processes:
        return Finding("processor", PARTIAL, "the number of threads is not limited")
    return Finding("processor", ENFORCED)


def _clean_up(questions: Questions) -> Finding:
    if _works(os.setsid) or _works(lambda: os.setpgid(0, 0)):
        return Finding("clean-up", MISSING, "a helper can leave its session")
    if os.getppid() == 0:  # its parent is outside of its pid namespace, whose end is the end of all in it
        return Finding("clean-up", ENFORCED)
    if questions.is_grouped:
        return Finding("clean-up", ENFORCED, "by a cgroup")
    return Finding("clean-up", PARTIAL, "no pid namespace: helpers are found by their session only")


def _works(attack: Callable[[], object], fine: tuple[int, ...] = ()) -> bool:
    try:
        attack()
    except OSError as error:
        return error.errno in fine
    except (MemoryError, ValueError, OverflowError):
        return False
    return True
