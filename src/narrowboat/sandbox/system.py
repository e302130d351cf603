"""The calls to the kernel that Python has no name for. Each raises OSError with the name of what failed."""

from __future__ import annotations

import ctypes
import os

NEW_USER, NEW_MOUNTS, NEW_NETWORK, NEW_IPC = 0x10000000, 0x00020000, 0x40000000, 0x08000000
NEW_HOSTNAME, NEW_PIDS = 0x04000000, 0x20000000
READ_ONLY, NO_SUID, NO_DEVICES, NO_EXEC = 1, 2, 4, 8  # as mount and mount_setattr know them
BIND, RECURSIVE, PRIVATE, DETACH = 0x1000, 0x4000, 0x40000, 2

_PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP = 4, 38, 22
_SECCOMP_MODE_FILTER = 2
_CAPABILITY_VERSION = 0x20080522
_THIS_PROCESS, _NO_CAPABILITIES = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0), (ctypes.c_uint32 * 6)()
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
_MOUNT_SETATTR = 442  # this and those of Landlock have one number everywhere
_AT_RECURSIVE = 0x8000
_libc = ctypes.CDLL(None, use_errno=True)


class _FilterProgram(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


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


def syscall(what: str, number: int, *arguments: object) -> int:
    """One that libc has no function for."""
    return checked(_libc.syscall(ctypes.c_long(number), *arguments), what)


def unshare(flags: int) -> None:
    """Leave the namespaces that these flags name."""
    checked(_libc.unshare(flags), "unshare")


def mount(source: str, target: str, kind: str = "", flags: int = 0, data: str = "") -> None:
    """As mount(2)."""
    words = (word.encode() or None for word in (source, target, kind))
    checked(_libc.mount(*words, ctypes.c_ulong(flags), data.encode()), f"mount {kind or source} at {target}")


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
    checked(_libc.umount2(b".", DETACH), "umount of the old root")
    os.chdir("/")


def set_dumpable(is_dumpable: bool) -> None:
    """Whether processes of the same user may look into this one."""
    checked(_libc.prctl(_PR_SET_DUMPABLE, int(is_dumpable), 0, 0, 0), "prctl(PR_SET_DUMPABLE)")


def give_up_privileges() -> None:
    """No program that this process starts gains any; comes before Landlock and seccomp."""
    checked(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl(PR_SET_NO_NEW_PRIVS)")


def drop_capabilities() -> None:
    """All of them, in every set."""
    checked(_libc.capset(_THIS_PROCESS, _NO_CAPABILITIES), "capset")


def filter_calls(program: bytes) -> None:
    """Load a seccomp filter, for good."""
    wanted = _FilterProgram(len(program) // 8, program)
    checked(_libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(wanted), 0, 0), "prctl(PR_SET_SECCOMP)")
