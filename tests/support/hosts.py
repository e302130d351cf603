"""Hosts of a small network on this machine: network namespaces with cables that can be pulled. Takes root and `ip`."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import subprocess
from collections.abc import Generator

import pytest

_numbers = itertools.count()


def ip(*words: str) -> None:
    """One command of iproute2."""
    done = subprocess.run(["ip", *words], capture_output=True, text=True)
    assert done.returncode == 0, f"ip {' '.join(words)}: {done.stderr}"


class Cabled:
    """A host. through: the words that run a program there."""

    def __init__(self, network: str, number: int) -> None:
        self.name = f"{network}-{number}"
        self._end = f"{network}v{number}"
        self.through = ("ip", "netns", "exec", self.name)
        ip("netns", "add", self.name)
        ip("link", "add", self._end, "type", "veth", "peer", "name", "eth0", "netns", self.name)
        ip("link", "set", self._end, "master", network, "up")
        ip("-n", self.name, "link", "set", "lo", "up")

    def at(self, address: str) -> None:
        """Give it an address."""
        ip("-n", self.name, "addr", "add", f"{address}/24", "dev", "eth0")
        ip("-n", self.name, "link", "set", "eth0", "up")

    def pull(self) -> None:
        """Take the cable out: packets are lost, and nobody is told."""
        ip("link", "set", self._end, "down")

    def plug(self) -> None:
        """Put it in again."""
        ip("link", "set", self._end, "up")

    def remove(self) -> None:
        """It is gone."""
        subprocess.run(["ip", "netns", "del", self.name], capture_output=True)
        subprocess.run(["ip", "link", "del", self._end], capture_output=True)


@contextlib.contextmanager
def network(hosts: int) -> Generator[tuple[str, list[Cabled]]]:
    """A switch with so many hosts; yields this machine's address there, and the hosts.

    Skips the test where that may not be made, or fails where nothing may be skipped.
    """
    if os.geteuid() != 0 or shutil.which("ip") is None:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)("takes root and `ip` (Debian: iproute2)")
    number = os.getpid() % 200 + 20, next(_numbers) % 250 + 1
    name = f"nb{number[0]}x{number[1]}"
    prefix = f"10.{number[0]}.{number[1]}"
    made: list[Cabled] = []
    ip("link", "add", name, "type", "bridge")
    try:
        ip("addr", "add", f"{prefix}.1/24", "dev", name)
        ip("link", "set", name, "up")
        for n in range(hosts):
            made.append(Cabled(name, n))
            made[-1].at(f"{prefix}.{n + 10}")
        yield f"{prefix}.1", made
    finally:
        for host in made:
            host.remove()
        subprocess.run(["ip", "link", "del", name], capture_output=True)
