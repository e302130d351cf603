"""The system calls that an executor may make: a filter for the kernel, as classic BPF.

An allowlist. A call that is not on it fails with EPERM, so that a gap in the list is an exception in a program and not
a dead process; only calls that no task makes and attacks do (table.HOSTILE) end the process, with SIGSYS.
"""

from __future__ import annotations

import errno
import platform
import struct
from collections.abc import Iterable
from dataclasses import dataclass

from . import table

_LOAD, _JUMP_EQUAL, _JUMP_SET, _JUMP_AT_LEAST, _JUMP, _AND, _RETURN = 0x20, 0x15, 0x45, 0x35, 0x05, 0x54, 0x06
_NUMBER, _ARCH = 0, 4  # offsets in struct seccomp_data
ALLOW, TRAP, KILL = 0x7FFF0000, 0x00030000, 0x80000000
_ERROR = 0x00050000
DENY, ABSENT, PRETEND = _ERROR | errno.EPERM, _ERROR | errno.ENOSYS, _ERROR | 0
_X32 = 0x40000000  # x86-64's second table, whose numbers mean the same calls
OWN_PID = 0x5E1F_901D  # stands for the pid of the process until the filter is loaded

_PROT_WRITE, _PROT_EXEC = 2, 4
_AF_UNIX, _AF_INET, _AF_INET6 = 1, 2, 10
_SOCK_STREAM, _SOCK_DGRAM, _SOCK_SEQPACKET, _SOCK_TYPE = 1, 2, 5, 0xF
_CLONE_THREAD, _CLONE_NEW = 0x10000, 0x7E020080  # the latter: every kind of namespace
_SIGSYS = 31
_F_SETOWN, _F_SETOWN_EX = 8, 15
_PRCTLS = (
    0x53564D41,
    3,
    15,
    16,
    21,
    25,
    39,
)  # name memory, get dumpable, set and get the name, get seccomp, TSC, privileges
_IOCTLS = (
    0x541B,
    0x5421,
    0x5450,
    0x5451,
    0x5401,
    0x5413,
)  # FIONREAD, FIONBIO, FIONCLEX, FIOCLEX; TCGETS, TIOCGWINSZ say "no tty"

Program = list[tuple[int, int, int, int]]


@dataclass(frozen=True, slots=True)
class Calls:
    """What a filter lets through besides the usual. network: internet sockets; sockets: local ones; programs: helpers.

    only_connects: no socket may listen. Landlock does not stop one that is bound to no port, and gets a free one then.
    wide_signals: helpers may be signalled, because Landlock or a pid namespace keeps signals from the worker.
    """

    network: bool = False
    sockets: bool = False
    only_connects: bool = False
    programs: bool = False
    wide_signals: bool = False


class UnknownProcessor(Exception):
    """There is no table of system calls for this processor."""


def build(calls: Calls, machine: str = "") -> bytes:
    """The filter, with OWN_PID in the place of the pid. machine: as platform.machine says. Raises UnknownProcessor."""
    machine = machine or platform.machine()
    if machine not in ("x86_64", "aarch64"):
        raise UnknownProcessor(f"no table of system calls for {machine}")
    is_x86 = machine == "x86_64"
    numbers = table.X86_64 if is_x86 else table.AARCH64
    rules = {numbers[name]: rule for name, rule in _rules(calls).items() if name in numbers}
    program: Program = [
        (_LOAD, 0, 0, _ARCH),
        (_JUMP_EQUAL, 1, 0, 0xC000003E if is_x86 else 0xC00000B7),
        (_RETURN, 0, 0, KILL),
        (_LOAD, 0, 0, _NUMBER),
    ]
    if is_x86:
        program += [(_JUMP_AT_LEAST, 0, 1, _X32), (_RETURN, 0, 0, KILL)]
    program += _search(_intervals(rules))
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in program)


def pids_in(program: bytes) -> list[int]:
    """Where in a filter the pid is to be put, in bytes from its start."""
    mark = struct.pack("=I", OWN_PID)
    return [place for place in range(4, len(program), 8) if program[place : place + 4] == mark]


def _rules(calls: Calls) -> dict[str, Program]:
    """Call -> what to do, as instructions that end with a return."""
    allowed = [*table.FILES, *table.MEMORY, *table.THREADS, *table.SIGNALS, *table.SELF, *table.TIME, *table.WAITING]
    allowed += table.OWN_SOCKETS
    if calls.network or calls.sockets:
        allowed += table.NETWORK
    rules: dict[str, Program] = {name: [_give(ALLOW)] for name in allowed}
    rules |= {name: [_give(PRETEND)] for name in table.PRETENDED}
    rules |= {name: [_give(ABSENT)] for name in table.ABSENT}
    rules |= {name: [_give(TRAP)] for name in table.HOSTILE}
    # "Now" for a path is how Path.touch asks whether the file is there: told yes, it would not make it.
    rules |= {name: _when_null(1, DENY, PRETEND) for name in ("utime", "utimes")}
    rules["utimensat"] = _when_null(1, PRETEND, _when_null(2, DENY, PRETEND))
    own_pid = _when_one_of(0, [OWN_PID])
    rules |= {
        # No page is writable and executable, nor becomes executable after it was written.
        "mmap": _unless_all(2, _PROT_WRITE | _PROT_EXEC),
        "mprotect": _unless_any(2, _PROT_EXEC),
        "pkey_mprotect": _unless_any(2, _PROT_EXEC),
        "prctl": _when_one_of(0, _PRCTLS),
        "ioctl": _when_one_of(1, _IOCTLS),
        "fcntl": _unless_one_of(1, (_F_SETOWN, _F_SETOWN_EX)),  # signals to whom one names
        "socketpair": _socket((_AF_UNIX,), (_SOCK_STREAM, _SOCK_SEQPACKET)),  # a datagram one could send to any path
        "prlimit64": _when_one_of(0, [0, OWN_PID]),
        "personality": _when_one_of(0, [0xFFFFFFFF]),
        "kill": own_pid,
        "tkill": _when_one_of(0, [OWN_PID]),
        "tgkill": own_pid,
        # Nobody goes on after a hostile call. Python's fault handler, which has written down where it was made,
        # calls this to hand the signal on, and thereby ends the process.
        "rt_sigaction": _unless_one_of(0, [_SIGSYS], KILL),
        "clone": _clone(calls.programs),
        "sendto": [_give(ALLOW)] if calls.network or calls.sockets else _when_null(4),
    }
    if calls.network or calls.sockets:
        families = (*((_AF_INET, _AF_INET6) if calls.network else ()), *((_AF_UNIX,) if calls.sockets else ()))
        rules["socket"] = _socket(families, (_SOCK_STREAM, *((_SOCK_DGRAM,) if calls.network else ())))
    if calls.only_connects:
        rules["listen"] = [_give(DENY)]
    if calls.programs:
        helpers = ("execve", "fork", "vfork", "pidfd_open", "rt_sigaction")
        rules |= {name: [_give(ALLOW)] for name in helpers}  # the last since programs reset every signal
    if calls.programs and calls.wide_signals:
        rules |= {name: [_give(ALLOW)] for name in ("kill", "tgkill", "pidfd_send_signal")}
    return rules


def _intervals(rules: dict[int, Program]) -> list[tuple[int, Program]]:
    """[(first number, what to do from there on)], in order."""
    found: list[tuple[int, Program]] = []
    for number in range(table.NEWEST + 2):
        rule = rules.get(number, [_give(DENY)]) if number <= table.NEWEST else [_give(ABSENT)]
        if not found or found[-1][1] != rule:
            found.append((number, rule))
    return found


def _search(intervals: list[tuple[int, Program]]) -> Program:
    """Find the interval that the number is in by halving, and do what it says."""
    if len(intervals) == 1:
        return intervals[0][1]
    middle = len(intervals) // 2
    low, high = _search(intervals[:middle]), _search(intervals[middle:])
    border = intervals[middle][0]
    if len(low) <= 255:
        return [(_JUMP_AT_LEAST, len(low), 0, border), *low, *high]
    return [(_JUMP_AT_LEAST, 0, 1, border), (_JUMP, 0, 0, len(low)), *low, *high]


def _give(action: int) -> tuple[int, int, int, int]:
    return (_RETURN, 0, 0, action)


def _low(argument: int) -> tuple[int, int, int, int]:
    return (_LOAD, 0, 0, 16 + 8 * argument)


def _when_one_of(argument: int, values: Iterable[int]) -> Program:
    tests = [(_JUMP_EQUAL, 0, 1, value) for value in values]
    return [_low(argument), *(step for test in tests for step in (test, _give(ALLOW))), _give(DENY)]


def _unless_one_of(argument: int, values: Iterable[int], otherwise: int = DENY) -> Program:
    tests = [(_JUMP_EQUAL, 0, 1, value) for value in values]
    return [_low(argument), *(step for test in tests for step in (test, _give(otherwise))), _give(ALLOW)]


def _unless_any(argument: int, bits: int) -> Program:
    return [_low(argument), (_JUMP_SET, 0, 1, bits), _give(DENY), _give(ALLOW)]


def _unless_all(argument: int, bits: int) -> Program:
    return [_low(argument), (_AND, 0, 0, bits), (_JUMP_EQUAL, 0, 1, bits), _give(DENY), _give(ALLOW)]


def _when_null(argument: int, then: int = ALLOW, otherwise: int | Program = DENY) -> Program:
    high = (_LOAD, 0, 0, 16 + 8 * argument + 4)
    rest = [_give(otherwise)] if isinstance(otherwise, int) else otherwise
    return [_low(argument), (_JUMP_EQUAL, 0, 3, 0), high, (_JUMP_EQUAL, 0, 1, 0), _give(then), *rest]


def _socket(families: Iterable[int], types: Iterable[int]) -> Program:
    kinds = [(_JUMP_EQUAL, 0, 1, kind) for kind in types]
    accept = [
        _low(1),
        (_AND, 0, 0, _SOCK_TYPE),
        *(step for kind in kinds for step in (kind, _give(ALLOW))),
        _give(DENY),
    ]
    program: Program = [_low(0)]
    for family in families:
        program += [(_JUMP_EQUAL, 0, len(accept), family), *accept]
    return [*program, _give(DENY)]


def _clone(programs: bool) -> Program:
    """Threads; other processes for tasks with programs; never a namespace."""
    other = ALLOW if programs else DENY
    return [
        _low(0),
        (_JUMP_SET, 0, 1, _CLONE_NEW),
        _give(TRAP),
        (_JUMP_SET, 0, 1, _CLONE_THREAD),
        _give(ALLOW),
        _give(other),
    ]
