"""Landlock: which files, TCP ports and processes an executor reaches, by the kernel's own rule sets.

What each version of it can do: https://docs.kernel.org/userspace-api/landlock.html
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

from . import system

_CREATE, _ADD, _RESTRICT = 444, 445, 446
_VERSION_FLAG = 1
_BENEATH, _PORT = 1, 2

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1, 2, 4, 8
_REFER, _TRUNCATE = 1 << 13, 1 << 14
_MAKE_CHAR, _MAKE_BLOCK = 1 << 6, 1 << 11
_RIGHTS = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}  # by the version that added some
_ON_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | (1 << 15)
_CONNECT_TCP, _BIND_TCP = 2, 1
_SCOPE_ABSTRACT, _SCOPE_SIGNAL = 1, 2

READ = _READ_FILE | _READ_DIR
RUN = _READ_FILE | _EXECUTE
WRITE = (1 << 16) - 1 & ~(_EXECUTE | _MAKE_CHAR | _MAKE_BLOCK | (1 << 15))


class _Ruleset(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("network", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _layout_ = "ms"
    _fields_ = (("rights", ctypes.c_uint64), ("parent", ctypes.c_int32))


class _Port(ctypes.Structure):
    _fields_ = (("rights", ctypes.c_uint64), ("port", ctypes.c_uint64))


@dataclass(frozen=True, slots=True)
class Place:
    """An open directory or file (O_PATH) and what may be done at and below it."""

    descriptor: int
    rights: int
    is_folder: bool


def version() -> int:
    """Of the kernel's Landlock; 0 where there is none."""
    try:
        return system.syscall("landlock", _CREATE, None, ctypes.c_size_t(0), _VERSION_FLAG)
    except OSError:
        return 0


def place(path: str, rights: int) -> Place:
    """Open one. Raises OSError."""
    descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    return Place(descriptor, rights, os.path.isdir(path))


def ruleset(places: Iterable[Place], ports: Iterable[int] | None, version: int) -> int:
    """A descriptor that stands for: only these places, and of TCP connects only these ports (None: every one)."""
    handled = max(rights for since, rights in _RIGHTS.items() if since <= version)
    network = _CONNECT_TCP | _BIND_TCP if ports is not None and version >= 4 else 0
    scoped = _SCOPE_ABSTRACT | _SCOPE_SIGNAL if version >= 6 else 0
    wanted = _Ruleset(handled, network, scoped)
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    made = system.syscall("landlock_create_ruleset", _CREATE, ctypes.byref(wanted), ctypes.c_size_t(size), 0)
    try:
        for found in places:
            rights = found.rights & handled & (-1 if found.is_folder else _ON_FILES)
            rule = _Beneath(rights, found.descriptor)
            system.syscall("landlock_add_rule", _ADD, made, _BENEATH, ctypes.byref(rule), 0)
        for port in ports or () if network else ():
            port_rule = _Port(_CONNECT_TCP, port)
            system.syscall("landlock_add_rule", _ADD, made, _PORT, ctypes.byref(port_rule), 0)
    except BaseException:
        os.close(made)
        raise
    return made


def restricting(made: int) -> partial[int]:
    """To leave a process only what the ruleset names, for good."""
    return partial(system.function("syscall", "landlock_restrict_self"), ctypes.c_long(_RESTRICT), made, 0)
