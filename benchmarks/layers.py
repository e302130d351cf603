"""What each layer of the lock-down costs a fresh executor, timed inside real ones: `executor.child.main` itself runs.

What is timed are the steps of `executor.child.start`, each under the name of its layer. Run in a process of its own,
since a zygote cannot leave its walls.
"""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from narrowboat import kernel
from narrowboat.core.needs import Limits, Reach
from narrowboat.executor import child, wire
from narrowboat.sandbox.walls import Order, Step, Walls
from narrowboat.worker.zygote import MEMORY, clean_environment

from . import measure

ROOT = Path(__file__).resolve().parents[1]
LIMITS = Limits(memory=256 * 1024 * 1024)


class Clock:
    """Adds up, by layer, the time that its steps take."""

    def __init__(self) -> None:
        self.spent_ns: dict[str, int] = {}

    def watch(self, steps: Sequence[Step]) -> list[Step]:
        """The same steps, timed."""
        self.spent_ns = {"fork": 0} | {layer: 0 for layer, _ in steps}
        return [(layer, self._timed(layer, step)) for layer, step in steps]

    def _timed(self, layer: str, step: Callable[[], object]) -> Callable[[], object]:
        def timed() -> None:
            began = time.monotonic_ns()
            step()
            self.spent_ns[layer] += time.monotonic_ns() - began

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
    gc.collect()
    gc.freeze()
    kernel.take_large_pages()
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
    mould = Mould(clock)
    runs: list[dict[str, float]] = []
    inherited = child.inheritance(walls.is_on, ())
    steps, serve = child.start(mould, walls, lifeline, inherited, wire.Fork(0, LIMITS, 0, scratch, True))  # type: ignore[arg-type]
    steps = clock.watch(steps)
    gc.collect()
    gc.freeze()
    for _ in range(count):
        ours, theirs = wire.pair()
        inherited.take(theirs.fileno(), inherited.null)
        began = time.monotonic_ns()
        pid = os.fork()
        if pid == 0:
            forked_at = time.monotonic_ns()
            clock.spent_ns["fork"] = forked_at - began
            child.main(steps, serve, inherited.last_words)
        inherited.let_go()
        told = json.loads(ours.recv(65536))
        os.waitpid(pid, 0)
        runs.append({**told["spent"], "whole": told["locked_at"] - began})
        for channel in (ours, theirs):
            channel.close()
    found, tenth = measure.medians_and_tenths_us(runs)
    os.write(1, json.dumps({"layers": walls.layers.in_words(), "us": found, "tenth": tenth}).encode())
    os._exit(0)


def run(count: int) -> tuple[str, dict[str, float], dict[str, float]]:
    """What the host has, in words; microseconds by layer, "fork" and "whole" among them: medians, and what the fastest
    tenth took at most, which is nearer to what the layer costs where the machine does something else, too.
    """
    command = [
        sys.executable,
        "-c",
        "from narrowboat.executor import pages; gathered = pages.gather(); import narrowboat.executor.forking\n"
        f"from benchmarks.layers import main; main({count})",
    ]
    environment = clean_environment() | MEMORY
    done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, check=True, timeout=300)
    found = json.loads(done.stdout.splitlines()[-1])
    return found["layers"], found["us"], found["tenth"]
