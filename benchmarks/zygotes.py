"""What the layers cost once, before any executor is forked: for a zygote, and for each reach that branches from it.

Zygotes, branches and probes are those of `narrowboat doctor`; the parts of raising walls are timed in branches that do
only that. Run in a process of its own, which becomes the parent of what is left of them.
"""

from __future__ import annotations

import functools
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from narrowboat.cli.settings import EXECUTOR_USER
from narrowboat.core.needs import Reach
from narrowboat.sandbox import seccomp
from narrowboat.sandbox import walls as walls_module
from narrowboat.sandbox.walls import Order, Walls
from narrowboat.worker.nursery import Grower
from narrowboat.worker.survey import survey
from narrowboat.worker.zygote import MEMORY, clean_environment

from . import measure

ROOT = Path(__file__).resolve().parents[1]
EXEC, ZYGOTE, WALLS, PROBE = "exec", "zygote", "walls", "probe"
PARTS: tuple[tuple[str, tuple[tuple[Any, str], ...]], ...] = (
    ("namespaces and a root", ((walls_module, "_first_error"), (Walls, "_enter"))),  # tried first, in a fork
    ("rules of Landlock", ((Walls, "_place"), (Walls, "_ruleset_for_all"))),
    ("filter of seccomp", ((seccomp, "build"),)),
    ("limits of all", ((Walls, "_limit_all"),)),
)
USER = int(EXECUTOR_USER)
Times = dict[str, float]


def run(count: int) -> tuple[Times, Times]:
    """Microseconds: medians of so many, and what the fastest tenth took at most.

    EXEC: to the first line of Python; ZYGOTE: to the manifest of an app without tasks; WALLS: from the request for a
    branch until they stand, with each of PARTS; PROBE: until it has answered.
    """
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.zygotes", str(count)],
        cwd=ROOT, stdout=subprocess.PIPE, check=True, timeout=300,
    )  # fmt: skip
    runs: list[Times] = json.loads(done.stdout.splitlines()[-1])
    return measure.medians_and_tenths_us(runs)


def _exec() -> float:
    began = time.monotonic_ns()
    done = subprocess.run(
        [sys.executable, "-I", "-c", "import time; print(time.monotonic_ns())"],
        env=clean_environment() | MEMORY, stdout=subprocess.PIPE, check=True,
    )  # fmt: skip
    return int(done.stdout) - began


def _grown() -> Times:
    """One survey, by the moments at which it asks for something or hears of it."""
    moments: dict[str, int] = {}
    names = ("start_zygote", "plant", "ask_for_probe", "accepts")
    real = {name: getattr(Grower, name) for name in names}

    def noted(name: str) -> Callable[..., Any]:
        @functools.wraps(real[name])
        def note(*args: Any) -> Any:
            moments[name] = time.monotonic_ns()
            return real[name](*args)

        return note

    for name in names:
        setattr(Grower, name, noted(name))
    try:
        survey("narrowboat.worker.checkup:app", USER, only=(Reach(),))
    finally:
        for name in names:
            setattr(Grower, name, real[name])
    times = [moments[name] for name in names]
    steps = [later - earlier for earlier, later in itertools.pairwise(times)]
    return dict(zip((ZYGOTE, WALLS, PROBE), steps, strict=True))


def _parts(folder: str) -> Times:
    """Of raising walls, in a process that does it with a clock around each."""
    reader, writer = os.pipe()
    lifeline, held = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setsid()
            spent = _watched()
            user = USER if os.geteuid() == 0 else None
            Walls(Reach(), Order(folder=folder, user=user)).raise_up(lifeline)
            os.write(writer, json.dumps(spent).encode())
        finally:
            os._exit(0)
    for descriptor in (writer, lifeline, held):
        os.close(descriptor)
    with os.fdopen(reader) as told:
        found: Times = json.load(told)
    os.waitpid(pid, 0)
    return found


def _watched() -> Times:
    """Nanoseconds by part, from now on, in this process."""
    spent: Times = dict.fromkeys((name for name, _ in PARTS), 0)
    inside: list[str] = []

    def timed(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def watch(*args: Any, **keywords: Any) -> Any:
            if inside:  # part of what is being timed
                return function(*args, **keywords)
            inside.append(name)
            began = time.monotonic_ns()
            try:
                return function(*args, **keywords)
            finally:
                spent[name] += time.monotonic_ns() - began
                inside.clear()

        return watch

    for name, functions in PARTS:
        for owner, function in functions:
            setattr(owner, function, timed(name, getattr(owner, function)))
    return spent


def main(count: int) -> None:
    """Print what each of so many took, in nanoseconds, as JSON."""
    with tempfile.TemporaryDirectory(prefix="narrowboat-zygotes-") as folder:
        os.chmod(folder, 0o755)
        runs = [{EXEC: _exec()} | _grown() | _parts(folder) for _ in range(count)]
    print(json.dumps(runs))


if __name__ == "__main__":
    main(int(sys.argv[1]))
