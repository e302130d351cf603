"""Groups of executors, on a tree of ordinary files that looks like one of cgroup v2."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from narrowboat.core.needs import Limits
from narrowboat.worker import groups
from narrowboat.worker.executors import Executor, Kind, cause_of_death
from narrowboat.worker.groups import LEAF, Group, groups_here

LIMITS = Limits(memory=1000, scratch=200, processes=16)
pytestmark = pytest.mark.linux


class Tree:
    """What /proc and the mounted tree show to a worker in `unit`."""

    def __init__(self, folder: Path, controllers: str = "cpu memory pids", inside: str = "") -> None:
        self.proc, self.top = folder / "proc", folder / "cgroup"
        self.unit = self.top / "unit"
        self.unit.mkdir(parents=True)
        (self.proc / "self").mkdir(parents=True)
        (self.proc / "self/mounts").write_text(f"none /none tmpfs rw 0 0\ncgroup2 {self.top} cgroup2 rw 0 0\n")
        self.be_in("unit")
        (self.unit / "cgroup.controllers").write_text(controllers)
        (self.unit / "cgroup.procs").write_text(inside or f"{os.getpid()}\n")
        (self.unit / "cgroup.subtree_control").write_text("")

    def be_in(self, path: str) -> None:
        (self.proc / "self/cgroup").write_text(f"9:memory:/old\n0::/{path}\n")

    def groups(self, *kept_by: int, is_root: bool = False) -> groups.Groups:
        return groups_here(kept_by, self.proc, is_root)


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tree:
    monkeypatch.setattr(Path, "rmdir", shutil.rmtree)  # the kernel's files go with their group
    return Tree(tmp_path)


def test_the_worker_moves_into_a_leaf_and_makes_groups_beside_it(tree: Tree) -> None:
    found = tree.groups()
    assert found.hindrance == ""
    assert (tree.unit / LEAF / "cgroup.procs").read_text() == str(os.getpid())
    assert (tree.unit / "cgroup.subtree_control").read_text() == "+memory +pids"
    group = found.confine(4711, "-1", LIMITS, 50)
    assert group is not None and group.path.parent == tree.unit
    written = {path.name: path.read_text() for path in group.path.iterdir()}
    assert written == {
        "memory.max": "1250",
        "memory.oom.group": "1",
        "memory.swap.max": "0",
        "pids.max": "17",
        "cgroup.procs": "4711",
    }
    found.release(group)
    assert not group.path.exists()
    found.close()


def test_a_task_without_a_limit_of_memory_has_one_of_processes(tree: Tree) -> None:
    group = tree.groups().confine(4711, "-1", Limits(processes=3), 50)
    assert group is not None
    assert {path.name for path in group.path.iterdir()} == {"pids.max", "cgroup.procs"}


def test_a_worker_that_was_started_in_the_leaf_uses_what_is_above(tree: Tree) -> None:
    tree.groups()
    tree.be_in(f"unit/{LEAF}")
    (tree.unit / "cgroup.procs").write_text("")
    group = tree.groups().confine(4711, "-1", LIMITS, 0)
    assert group is not None and group.path.parent == tree.unit


def test_a_keeper_moves_along(tree: Tree) -> None:
    (tree.unit / "cgroup.procs").write_text(f"{os.getppid()}\n{os.getpid()}\n")
    assert "other processes" in tree.groups().hindrance
    assert tree.groups(os.getppid()).hindrance == ""


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda tree: (tree.unit / "cgroup.controllers").write_text("cpu pids"), "no memory controller"),
        (lambda tree: (tree.unit / "cgroup.procs").write_text("1\n"), "other processes are in the worker's cgroup"),
        (lambda tree: (tree.proc / "self/cgroup").write_text("9:memory:/\n"), "no cgroup v2 here"),
        (lambda tree: (tree.proc / "self/mounts").write_text(""), "no cgroup v2 here"),
        (lambda tree: shutil.rmtree(tree.proc / "self"), "no cgroups here"),
        (lambda tree: tree.be_in("../elsewhere"), "No such file or directory"),
        (lambda tree: (tree.unit / "cgroup.subtree_control").unlink(), "not delegated"),
    ],
)
def test_what_was_not_given_to_the_worker_is_left_alone(tree: Tree, spoil: object, said: str) -> None:
    spoil(tree)  # type: ignore[operator]
    found = tree.groups()
    assert said in found.hindrance
    assert found.confine(4711, "-1", LIMITS, 0) is None
    assert not (tree.unit / LEAF).exists()


def test_root_uses_only_what_is_marked_as_given(tree: Tree) -> None:
    assert "not delegated" in tree.groups(is_root=True).hindrance


def test_root_may_use_the_top_of_a_container(tree: Tree) -> None:
    for path in tree.unit.iterdir():
        path.rename(tree.top / path.name)
    tree.be_in("")
    assert "not delegated" in tree.groups(is_root=True).hindrance
    (tree.top / "cgroup.type").write_text("domain")
    assert tree.groups(is_root=True).hindrance == ""


def test_a_group_that_cannot_be_made_leaves_nothing(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    found = tree.groups()

    def fail(*_: object) -> None:
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr(Group, "limit", fail)
    with pytest.raises(OSError):
        found.confine(4711, "-1", LIMITS, 0)
    assert {path.name for path in tree.unit.iterdir() if path.is_dir()} == {LEAF}


def test_a_group_whose_dead_are_not_gone_yet_is_removed_later(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    found = tree.groups()
    group = found.confine(4711, "-1", LIMITS, 0)
    assert group is not None

    def busy(_: object) -> None:
        raise OSError(16, "Device or resource busy")

    monkeypatch.setattr(Path, "rmdir", busy)
    found.release(group)
    assert group.path.exists() and (group.path / "cgroup.kill").read_text() == "1"
    monkeypatch.setattr(Path, "rmdir", shutil.rmtree)
    found.close()
    assert not group.path.exists()


def test_what_a_killed_worker_left_is_removed(tree: Tree) -> None:
    dead = subprocess.Popen(["true"])
    dead.wait()
    for pid in (dead.pid, os.getpid()):
        (tree.unit / f"executor-{pid}-1").mkdir()
    tree.groups()
    assert not (tree.unit / f"executor-{dead.pid}-1").exists()
    assert (tree.unit / f"executor-{os.getpid()}-1").exists()


def test_the_kernel_says_that_memory_was_the_cause(tree: Tree) -> None:
    executor = Executor(1, Kind(limits=LIMITS))
    try:
        executor.group = tree.groups().confine(4711, "-1", LIMITS, 0)
        assert executor.group is not None
        assert cause_of_death(executor, -9).startswith("SIGKILL (from outside")
        events = executor.group.path / "memory.events"
        events.write_text("low 0\noom 1\noom_kill 0\noom_group_kill 0\n")
        assert cause_of_death(executor, -9).startswith("SIGKILL (from outside")
        events.write_text("low 0\noom 1\noom_kill 2\noom_group_kill 1\n")
        assert cause_of_death(executor, -9) == "out of memory"
        assert not executor.is_watched
    finally:
        executor.close()
