"""A root of its own: the executor's file system holds what it may see, and nothing else has a name there."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from functools import partial

from . import system
from .places import Place

SCRATCHES = "/scratch"  # what is below this folder in each executor is mounted there by itself, for itself
SCRATCH = SCRATCHES + "/own"
_ACCOUNT = "executor:x:{uid}:{gid}:executor:" + SCRATCH + ":/nonexistent\n"
_FILE_FLAGS = system.NO_SUID | system.NO_DEVICES


def build(folder: str, places: Sequence[Place], uid: int, gid: int) -> None:
    """Make `folder` the root of this process, in a mount namespace of its own, with these places in it."""
    system.mount("none", "/", flags=system.RECURSIVE | system.PRIVATE)
    system.mount("narrowboat", folder, "tmpfs", _FILE_FLAGS, "size=1m,mode=755")
    _mirror_links(folder)
    for place in places:
        if os.path.islink("/" + place.path.split("/")[1]):
            continue  # /lib is /usr/lib; what it really is, is a place, too
        if place.how != "list":
            _show(folder, place)
        else:
            os.makedirs(folder + place.path, exist_ok=True)
    for path in (SCRATCH, "/dev", "/etc"):
        os.makedirs(folder + path, exist_ok=True)
    _write(folder + "/etc/passwd", _ACCOUNT.format(uid=uid, gid=gid))
    _write(folder + "/etc/group", f"executor:x:{gid}:\n")
    if not os.path.exists(folder + "/etc/hosts"):
        _write(folder + "/etc/hosts", "127.0.0.1 localhost\n::1 localhost\n")
    os.symlink(SCRATCH, folder + "/dev/shm")
    for path in ("/tmp", "/var/tmp"):
        if not os.path.lexists(folder + path):
            os.makedirs(os.path.dirname(folder + path), exist_ok=True)
            os.symlink(SCRATCH, folder + path)
    system.restrict_mount(folder, system.READ_ONLY, is_deep=False)
    system.enter_root(folder, platform.machine())


def mounting_scratch(size: int) -> partial[int]:
    """To give a process a scratch folder of its own, of at most so many bytes, which goes when the process does."""
    flags = system.NO_SUID | system.NO_DEVICES | system.NO_EXEC
    data = f"size={size},nr_inodes={max(64, size // 4096)},mode=700"
    return system.mounting("scratch", SCRATCH, "tmpfs", flags, data)


def _show(folder: str, place: Place) -> None:
    path, target = place.path, folder + place.path
    if os.path.lexists(target) and os.path.islink(target):
        return  # /lib, which is /usr/lib
    if os.path.isdir(path):
        os.makedirs(target, exist_ok=True)
    elif not os.path.exists(target):
        os.makedirs(os.path.dirname(target), exist_ok=True)
        _write(target, "")
    system.mount(path, target, flags=system.BIND | system.RECURSIVE)
    if place.how in ("write", "socket"):
        system.restrict_mount(target, system.NO_SUID | system.NO_DEVICES)
    elif place.how != "device":
        system.restrict_mount(target, system.READ_ONLY | system.NO_SUID | system.NO_DEVICES)


def _mirror_links(folder: str) -> None:
    """/lib and its like are links to /usr/lib on most systems."""
    for name in ("lib", "lib64", "lib32"):
        if os.path.islink(f"/{name}"):
            os.symlink(os.readlink(f"/{name}"), f"{folder}/{name}")


def _write(path: str, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)
