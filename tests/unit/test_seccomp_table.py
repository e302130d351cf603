"""The tables of system calls are those of the kernel's own headers, where these are installed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from narrowboat.sandbox import table

HEADERS = {
    "x86_64": ("/usr/include/x86_64-linux-gnu/asm/unistd_64.h", table.X86_64),
    "aarch64": ("/usr/include/asm-generic/unistd.h", table.AARCH64),
}
OTHER_NAMES = {  # in asm-generic, calls that differ between 32 and 64 bits
    "3264_fadvise64": "fadvise64", "3264_fcntl": "fcntl", "3264_fstat": "fstat", "3264_fstatat": "newfstatat",
    "3264_fstatfs": "fstatfs", "3264_ftruncate": "ftruncate", "3264_lseek": "lseek", "3264_mmap": "mmap",
    "3264_sendfile": "sendfile", "3264_statfs": "statfs",
}  # fmt: skip


LISTS = (
    table.FILES, table.MEMORY, table.THREADS, table.SIGNALS, table.SELF, table.TIME, table.WAITING, table.OWN_SOCKETS,
    table.NETWORK, table.PRETENDED, table.ABSENT, table.HOSTILE,
)  # fmt: skip


@pytest.mark.parametrize("processor", HEADERS)
def test_the_table_is_that_of_the_header(processor: str) -> None:
    path, numbers = HEADERS[processor]
    if not Path(path).exists():
        pytest.skip(f"no {path} here")
    defined = re.findall(r"^#define __NR_?((?:3264_)?\w+)\s+(\d+)", Path(path).read_text(), re.MULTILINE)
    known = {OTHER_NAMES.get(name, name): int(number) for name, number in defined if name != "syscalls"}
    newest = max(known.values())
    wrong = {
        name: (number, known.get(name))
        for name, number in numbers.items()
        if number <= newest and number != known.get(name)
    }
    assert not wrong
    assert not {name for names in LISTS for name in names if name in known and name not in numbers}
