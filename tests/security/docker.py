"""A host like a container with Docker's default profile: no namespaces, no mounts, and few capabilities.

https://github.com/moby/profiles/blob/main/seccomp/default.json refuses these calls without CAP_SYS_ADMIN; the
capabilities kept are the fourteen of https://docs.docker.com/engine/containers/run/#runtime-privilege-and-linux-capabilities
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
import sys

from narrowboat.sandbox import system, table

NUMBERS = {"x86_64": table.X86_64, "aarch64": table.AARCH64}[platform.machine()]  # this runs as a script by its path

REFUSED = (
    "mount", "umount2", "unshare", "setns", "pivot_root", "open_tree", "move_mount", "fsopen", "fsconfig", "fsmount",
    "fspick", "mount_setattr", "perf_event_open", "bpf", "syslog", "reboot", "kexec_load",
)  # fmt: skip
NEW = 0x7E020000
KEPT = 0xA80425FB


def restrict() -> None:
    """For the rest of this process and those below it."""
    program = [(0x20, 0, 0, 0)]
    for name in REFUSED:
        program += [(0x15, 0, 1, NUMBERS[name]), (0x06, 0, 0, 0x00050000 | errno.EPERM)]
    program += [
        (0x15, 0, 3, NUMBERS["clone"]),
        (0x20, 0, 0, 16),
        (0x45, 0, 1, NEW),
        (0x06, 0, 0, 0x00050000 | errno.EPERM),
    ]
    program += [
        (0x20, 0, 0, 0),
        (0x15, 0, 1, NUMBERS["clone3"]),
        (0x06, 0, 0, 0x00050000 | errno.ENOSYS),
        (0x06, 0, 0, 0x7FFF0000),
    ]
    filter_ = b"".join(struct.pack("=HBBI", *step) for step in program)
    if os.geteuid() == 0:
        system.Filter(filter_).load()
        libc = ctypes.CDLL(None, use_errno=True)
        for capability in range(41):
            if not KEPT >> capability & 1:
                libc.prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP
        header = (ctypes.c_uint32 * 2)(0x20080522, 0)
        system.checked(libc.capset(header, (ctypes.c_uint32 * 6)(KEPT, KEPT, KEPT, 0, 0, 0)), "capset")
    else:
        system.give_up_privileges()  # an ordinary user may load a filter only so
        system.Filter(filter_).load()


if __name__ == "__main__":
    restrict()
    os.execvp(sys.argv[1], sys.argv[1:])
