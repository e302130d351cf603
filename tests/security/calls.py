"""The numbers of system calls on this processor, also of those that no executor may make."""

from __future__ import annotations

import platform

from narrowboat.sandbox import table

NUMBERS = {
    "x86_64": table.X86_64 | {"shmget": 29, "shmctl": 31},
    "aarch64": table.AARCH64 | {"shmget": 194, "shmctl": 195},
}[platform.machine()]
