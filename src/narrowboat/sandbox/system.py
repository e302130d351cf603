"""The calls to the kernel that Python has no name for. Each raises OSError with the name of what failed.

Some are libc's own functions, so that a call with all its arguments can be prepared (functools.partial) and then made
without touching more memory than it must.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterable
from functools import partial
from typing import Any

NEW_USER, NEW_MOUNTS, NEW_NETWORK, NEW_IPC = 0x10000000, 0x00020000, 0x40000000, 0x08000000
NEW_HOSTNAME, NEW_PIDS = 0x04000000, 0x20000000
READ_ONLY, NO_SUID, NO_DEVICES, NO_EXEC = 1, 2, 4, 8  # as mount and mount_setattr know them
BIND, RECURSIVE, PRIVATE, DETACH = 0x1000, 0x4000, 0x40000, 2

SHOWN, HIDDEN = (4, 1, 0, 0, 0), (4, 0, 0, 0, 0)  # for prctl: whether others may look in
_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP = 38, 22
_SECCOMP_MODE_FILTER = 2
_CAPABILITY_VERSION = 0x20080522
NO_CAPABILITIES = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0), (ctypes.c_uint32 * 6)()  # for capset: all sets
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
_MOUNT_SETATTR = 442  # this and those of Landlock have one number everywhere
_AT_RECURSIVE = 0x8000
_put_pid = struct.Struct("=I").pack_into
_libc = ctypes.CDLL(None, use_errno=True)


class _FilterProgram(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


class _MountAttributes(ctypes.Structure):
    _fields_ = (
        ("set", ctypes.c_uint64),
        ("clear", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns", ctypes.c_uint64),
    )


def checked(result: int, what: str) -> int:
    """The result of a call, unless it says that the call failed."""
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def function(symbol: str, name: str = "") -> Any:
    """One of libc's, which raises OSError with its name when it fails."""
    found: Any = _libc[symbol]
    found.__name__ = name or symbol
    found.errcheck = _check
    return found


def _check(result: int, function: Any, arguments: tuple[object, ...]) -> int:
    return checked(result, function.__name__)


unshare, prctl, capset = function("unshare"), function("prctl"), function("capset")
_umount = function("umount2", "umount of the old root")


def syscall(what: str, number: int, *arguments: object) -> int:
    """One that libc has no function for."""
    return checked(_libc.syscall(ctypes.c_long(number), *arguments), what)


def mounting(source: str, target: str, kind: str = "", flags: int = 0, data: str = "") -> partial[int]:
    """A mount as with mount(2), still to be made."""
    words = [word.encode() or None for word in (source, target, kind)]
    return partial(
        function("mount", f"mount {kind or source} at {target}"), *words, ctypes.c_ulong(flags), data.encode()
    )


def mount(source: str, target: str, kind: str = "", flags: int = 0, data: str = "") -> None:
    """As mount(2)."""
    mounting(source, target, kind, flags, data)()


def restrict_mount(path: str, attributes: int, is_deep: bool = True) -> None:
    """Take rights from a mount and, if deep, from those below it; it has only fewer afterwards."""
    wanted = _MountAttributes(set=attributes)
    size = ctypes.c_size_t(ctypes.sizeof(wanted))
    syscall(
        f"mount_setattr {path}",
        _MOUNT_SETATTR,
        -100,
        path.encode(),
        _AT_RECURSIVE * is_deep,
        ctypes.byref(wanted),
        size,
    )


def enter_root(path: str, machine: str) -> None:
    """Make a mount the root of this process and let go of everything above it."""
    os.chdir(path)
    syscall("pivot_root", _PIVOT_ROOT[machine], b".", b".")
    _umount(b".", DETACH)
    os.chdir("/")


def set_dumpable(is_dumpable: bool) -> None:
    """Whether processes of the same user may look into this one."""
    prctl(*(SHOWN if is_dumpable else HIDDEN))


def give_up_privileges() -> None:
    """No program that this process starts gains any; comes before Landlock and seccomp."""
    prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


class Filter:
    """A seccomp filter, ready to be loaded."""

    def __init__(self, program: bytes, pids: Iterable[int] = ()) -> None:
        """pids: where in it the pid of the process that loads it is to stand, in bytes from the start."""
        self._content, self._pids = ctypes.create_string_buffer(program, len(program)), tuple(pids)
        self._program = _FilterProgram(len(program) // 8, ctypes.addressof(self._content))
        self._load = partial(prctl, _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(self._program), 0, 0)

    def load(self) -> None:
        """For good."""
        pid = os.getpid()
        for place in self._pids:
            _put_pid(self._content, place, pid)
        self._load()
