"""One cgroup for each executor, where a part of the tree of cgroup v2 was given to the worker (systemd: Delegate=yes).

The kernel then keeps the limits of an executor and all its helpers together, and ends them together.
https://docs.kernel.org/admin-guide/cgroup-v2.html
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Collection
from pathlib import Path

from .. import kernel
from ..core.needs import Limits

LEAF = "narrowboat"  # for the worker and its zygotes: a group that limits its children has no processes of its own
EXECUTOR = "executor-"  # and the worker's pid, and a number
CONTROLLERS = {"memory", "pids"}
PATIENCE_S = 1.0  # at the end, for killed processes to be gone


class NotOurs(Exception):
    """There is no tree that the worker may use; the text says why."""


class Group:
    """Of one executor and its helpers."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def limit(self, memory: int | None, processes: int) -> None:
        """memory: bytes. Who goes over it is killed with all others in the group. Raises OSError."""
        if memory is not None:
            (self.path / "memory.max").write_text(str(memory))
            (self.path / "memory.oom.group").write_text("1")
            with contextlib.suppress(OSError):  # there is no such file where there is no swap to count
                (self.path / "memory.swap.max").write_text("0")
        (self.path / "pids.max").write_text(str(processes))

    def ran_out(self) -> bool:
        """Whether the kernel has killed any process in it for want of memory."""
        try:
            events = dict(line.split() for line in (self.path / "memory.events").read_text().splitlines())
        except OSError:
            return False
        return int(events.get("oom_kill", 0)) > 0

    def remove(self) -> bool:
        """Kill what is in it, and remove it; False if the dead are not gone yet: ask again."""
        try:
            (self.path / "cgroup.kill").write_text("1")
            self.path.rmdir()
        except FileNotFoundError:
            return True
        except OSError:
            return False
        return True


class Groups:
    """Those of a worker. hindrance: why it has none, for people; empty where it has."""

    def __init__(self, home: Path | None, hindrance: str = "") -> None:
        self._home, self.hindrance = home, hindrance
        self._leaving: list[Group] = []

    def confine(self, pid: int, name: str, limits: Limits, born: int) -> Group | None:
        """Put a new process into a group of its own, before it sees a job; None where there are no groups.

        born: bytes that it shares with its zygote, and may come to have as its own. Raises OSError, and then it is in
        no group.
        """
        if self._home is None:
            return None
        group = Group(self._home / f"{EXECUTOR}{os.getpid()}{name}")
        try:
            group.path.mkdir()
            memory = None if limits.memory is None else born + limits.memory + limits.scratch
            group.limit(memory, limits.processes + 1)
            (group.path / "cgroup.procs").write_text(str(pid))
        except OSError:
            self.release(group)
            raise
        return group

    def release(self, group: Group) -> None:
        """Its executor has ended, and what is left in it ends, too."""
        self._leaving.append(group)
        self.sweep()

    def sweep(self) -> None:
        """Remove those whose dead are gone by now."""
        self._leaving = [group for group in self._leaving if not group.remove()]

    def close(self) -> None:
        """Wait a moment for the last of them to be gone."""
        until = time.monotonic() + PATIENCE_S
        while self._leaving and time.monotonic() < until:
            time.sleep(0.01)
            self.sweep()


def groups_here(kept_by: Collection[int] = (), proc: Path = Path("/proc"), is_root: bool | None = None) -> Groups:
    """Move this process into a leaf of its own group, and be able to make others beside it. Comes before any child.

    kept_by: processes that go with it. is_root: one may then write to groups that were given to nobody.
    """
    try:
        home = _home(proc, os.geteuid() == 0 if is_root is None else is_root)
        _settle_in(home, {os.getpid(), *kept_by})
    except NotOurs as error:
        return Groups(None, str(error))
    except OSError as error:
        return Groups(None, f"{error.filename}: {error.strerror}")
    _remove_abandoned(home)
    return Groups(home)


def _home(proc: Path, is_root: bool) -> Path:
    """The group that was given to this worker."""
    try:
        lines = (proc / "self/cgroup").read_text().splitlines()
        mounts = [line.split() for line in (proc / "self/mounts").read_text().splitlines()]
    except OSError:
        raise NotOurs("there are no cgroups here") from None
    own = next((line.removeprefix("0::") for line in lines if line.startswith("0::")), "")
    mounted = next((fields[1] for fields in mounts if fields[2] == "cgroup2"), "")
    if not own or not mounted:
        raise NotOurs("there is no cgroup v2 here")
    home = Path(mounted, own.strip("/"))
    home = home.parent if home.name == LEAF else home  # it was started by one who has moved already
    missing = CONTROLLERS - set((home / "cgroup.controllers").read_text().split())
    if missing:
        raise NotOurs(f"cgroup v2 has no {' and '.join(sorted(missing))} controller at {home}")
    files = (home, home / "cgroup.procs", home / "cgroup.subtree_control")
    if not all(os.access(path, os.W_OK) for path in files) or (is_root and not _is_given(home, own)):
        raise NotOurs(f"the cgroup {home} is not delegated to the worker (systemd: Delegate=yes)")
    return home


def _is_given(home: Path, own: str) -> bool:
    """Root may write everywhere. systemd marks what it delegates; the top of a container's own tree belongs to it."""
    for mark in ("user.delegate", "trusted.delegate"):
        with contextlib.suppress(OSError):
            if os.getxattr(home, mark) == b"1":
                return True
    return own.strip("/") in ("", LEAF) and (home / "cgroup.type").exists()  # which the machine's own top lacks


def _settle_in(home: Path, ours: set[int]) -> None:
    inside = {int(pid) for pid in (home / "cgroup.procs").read_text().split()}
    if inside - ours:
        raise NotOurs(f"other processes are in the worker's cgroup {home}, too")
    leaf = home / LEAF
    leaf.mkdir(exist_ok=True)
    for pid in inside:
        (leaf / "cgroup.procs").write_text(str(pid))
    (home / "cgroup.subtree_control").write_text(" ".join(f"+{name}" for name in sorted(CONTROLLERS)))


def _remove_abandoned(home: Path) -> None:
    """What killed workers have left."""
    for path in home.glob(f"{EXECUTOR}*"):
        pid = path.name.removeprefix(EXECUTOR).partition("-")[0]
        if pid.isdigit() and kernel.has_ended(int(pid)):
            Group(path).remove()
