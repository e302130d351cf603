"""What executors share lies in large pages, and nothing else is touched for it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from narrowboat.worker.zygote import MEMORY

pytestmark = pytest.mark.linux

PROGRAM = """
import mmap, sys
from narrowboat.executor import pages
gathered = pages.gather()
import narrowboat.executor.zygote, narrowboat.app
from narrowboat import kernel

def kib(name):
    with open("/proc/self/smaps_rollup") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith(name))

MIB = 1024 * 1024
full, sparse = (mmap.mmap(-1, 16 * MIB, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) for _ in range(2))
full.write(bytes(16 * MIB))
sparse[0] = sparse[8 * MIB] = 1
before = kib("AnonHugePages:"), kib("Rss:")
kernel.take_large_pages()
after = kib("AnonHugePages:"), kib("Rss:")
print(*before, *after)
"""


def test_memory_that_is_full_goes_into_large_pages_and_what_is_nearly_empty_stays_so() -> None:
    command = [sys.executable, "-I", "-c", PROGRAM]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True, env=MEMORY)
    large_before, all_before, large, all_ = map(int, done.stdout.split())
    if large == large_before == 0:
        pytest.skip("this kernel gives no large pages")  # before 6.1
    assert large >= large_before + 12 * 1024 + 4 * 1024, "most of what is full, and most of what was imported"
    assert all_ - all_before < 4 * 1024, "little more than before"
