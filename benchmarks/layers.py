"""What each layer of the lock-down costs a fresh executor, timed inside real ones: `executor.child.main` itself runs.

Each timed function is one layer, in the order in which an executor goes through them; a layer that this host does not
have takes no time. Run in a process of its own, since a zygote cannot leave its walls.
"""

from __future__ import annotations

import functools
import gc
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from narrowboat import kernel
from narrowboat.core.needs import Limits, Reach
from narrowboat.executor import child, wire
from narrowboat.sandbox import system
from narrowboat.sandbox.walls import Order, Walls
from narrowboat.worker.zygote import MEMORY, clean_environment

ROOT = Path(__file__).resolve().parents[1]
LIMITS = Limits(memory=256 * 1024 * 1024)
LAYERS: tuple[tuple[str, tuple[tuple[Any, str], ...]], ...] = (
    ("session", ((os, "setsid"), (kernel, "call_me"))),
    ("lifeline (where there is no pid namespace)", ((kernel, "die_with"),)),
    ("namespaces and scratch tmpfs", ((Walls, "_own_namespace"),)),
    ("limits", ((Walls, "_limit"),)),
    ("no dump, no capabilities", ((system, "set_dumpable"), (system, "drop_capabilities"))),
    ("Landlock", ((Walls, "_restrict"),)),
    ("seccomp", ((system, "filter_calls"),)),
    ("descriptors", ((child.Inherited, "silence"),)),
)


class Clock:
    """Adds up, by layer, the time between entering and leaving its functions."""

    def __init__(self) -> None:
        self.spent_ns: dict[str, int] = dict.fromkeys((name for name, _ in LAYERS), 0)
        self._inside = False

    def watch(self) -> None:
        """Put a clock around each of them, for good."""
        for name, functions in LAYERS:
            for owner, function in functions:
                setattr(owner, function, self._timed(name, getattr(owner, function)))

    def _timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def timed(*args: Any, **keywords: Any) -> Any:
            if self._inside:  # part of a layer that is being timed
                return function(*args, **keywords)
            self._inside = True
            began = time.monotonic_ns()
            try:
                return function(*args, **keywords)
            finally:
                self.spent_ns[name] += time.monotonic_ns() - began
                self._inside = False

        return timed


class Mould:
    """Stands where the zygote's does: the executor that it casts says what the way there took, instead of working."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def cast(self, fork: wire.Fork, scratch: object, has_helpers: bool) -> Mould:
        """Called when all the layers are there."""
        return self

    def serve(self, channel: kernel.Channel) -> None:
        """Tell."""
        now = time.monotonic_ns()
        channel.send(json.dumps({"locked_at": now, "spent": self._clock.spent_ns}).encode())


def main(count: int) -> None:
    """Become a zygote within walls, fork so many executors one after the other, and print their times as JSON."""
    from . import sandbox_app

    child.Mould(sandbox_app.app.runnables(), sandbox_app.app.hooks)  # warms up what executors share
    sys.stdout = sys.__stdout__
    with tempfile.TemporaryDirectory(prefix="narrowboat-layers-") as folder:
        lifeline, held = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                _measure(folder, lifeline, count)
            finally:
                os._exit(1)
        os.waitpid(pid, 0)
        os.close(held)


def _measure(folder: str, lifeline: int, count: int) -> None:
    os.setsid()
    walls = Walls(Reach(), Order(folder=folder))
    scratch = "" if os.geteuid() == 0 else folder
    walls.raise_up(lifeline)
    clock = Clock()
    clock.watch()
    mould = Mould(clock)
    runs: list[dict[str, float]] = []
    words = child.expect_last_words(walls.is_on)
    gc.collect()
    gc.freeze()
    for number in range(count):
        ours, theirs = wire.pair()
        began = time.monotonic_ns()
        pid = os.fork()
        if pid == 0:
            forked_at = time.monotonic_ns()
            clock.spent_ns["fork"] = forked_at - began
            inherited = child.Inherited(*words, (ours.fileno(),))
            child.main(mould, walls, theirs, lifeline, inherited, wire.Fork(number, LIMITS, 0, scratch, True))  # type: ignore[arg-type]
        told = json.loads(ours.recv(65536))
        os.waitpid(pid, 0)
        runs.append({**told["spent"], "whole": told["locked_at"] - began})
        for channel in (ours, theirs):
            channel.close()
    found = {name: statistics.median(run[name] for run in runs) / 1000 for name in runs[0]}
    tenth = sorted(run["whole"] for run in runs)[len(runs) // 10] / 1000
    os.write(1, json.dumps({"layers": walls.layers.in_words(), "us": found, "tenth": tenth}).encode())
    os._exit(0)


def run(count: int) -> tuple[str, dict[str, float], float]:
    """What the host has, in words; microseconds by layer (medians), "fork" and "whole" among them; those of the fastest
    tenth for the whole.
    """
    command = [
        sys.executable,
        "-c",
        f"import narrowboat.executor.forking; from benchmarks.layers import main; main({count})",
    ]
    environment = clean_environment() | MEMORY
    done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, check=True, timeout=300)
    found = json.loads(done.stdout.splitlines()[-1])
    return found["layers"], found["us"], found["tenth"]
