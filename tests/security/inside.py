"""Runs attacks, each in a process of its own, and prints what became of them as JSON; a program for the tests.

argv[1] is JSON: {"names": [...], "ground": {...}, "walls": bool, "user": uid to become, "executor_user": uid or null,
"restricted": bool, "only": layers to leave on or null for all, "folder": "..."}
"""

from __future__ import annotations

import gc
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from narrowboat.core.needs import Limits, Reach
from narrowboat.sandbox import landlock, seccomp, system, walls
from narrowboat.sandbox.walls import Order, Walls

from . import attacks, docker
from .alone import become

MB = 1024 * 1024
LIMITS = Limits(memory=128 * MB, processes=16, scratch=16 * MB)


def main() -> None:
    """As the docstring of the module says."""
    setup = json.loads(sys.argv[1])
    if setup["user"] != os.geteuid():
        become(setup["user"])
        system.set_dumpable(True)  # as who has always been this user
    if setup["restricted"]:
        docker.restrict()
    ground = setup["ground"]
    if not setup["walls"]:
        results = in_the_open(setup["names"], ground)
        print(json.dumps({"results": results, "layers": ""}))
        return
    # A branch of the zygote is a process of its own, and a leader; the same here.
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.setsid()
        if setup["only"] is not None:
            leave_only(setup["only"])
        behind_walls(setup, ground, writer)
    os.close(writer)
    with os.fdopen(reader) as told:
        print(told.read())
    os.waitpid(pid, 0)


def in_the_open(names: list[str], ground: attacks.Ground) -> dict[str, str]:
    """What each comes to, as the control."""

    def live_beside() -> None:
        os.mkdir(f"{ground['scratches']}/beside", 0o700)
        os.chdir(f"{ground['scratches']}/beside")

    with somebody_beside(live_beside) as ground["beside"]:
        return {name: in_a_process(name, ground, lambda: os.chdir(ground["control_scratch"])) for name in names}


def leave_only(layers: list[str]) -> None:
    """Switch every other layer off, for this process and those below it."""
    first_error, tried = walls._first_error, [] if "namespaces" in layers else [walls.Walls._enter]

    def maybe_off(trial: Callable[[], object]) -> str:
        return "off" if tried and tried.pop() else first_error(trial)

    def no_filter(calls: seccomp.Calls) -> bytes:
        raise seccomp.UnknownProcessor("off")

    walls._first_error = maybe_off
    if "landlock" not in layers:
        landlock.version = lambda: 0
    if "seccomp" not in layers:
        seccomp.build = no_filter  # type: ignore[assignment]
    if "limits" not in layers:
        Walls._limit_all = lambda *_: None  # type: ignore[method-assign, assignment]
    if "namespaces" in layers:
        layers = [*layers, "not dumpable"]
    if "not dumpable" not in layers:
        system.set_dumpable = lambda _: None
    if "no new privileges" not in layers and not {"landlock", "seccomp"} & {*layers}:  # which need it
        system.give_up_privileges = lambda: None
    off = {"limits", "no capabilities", "not dumpable"} - {*layers}
    Walls.locking_in = lambda *args, real=Walls.locking_in: [  # type: ignore[method-assign, assignment]
        (layer, step) for layer, step in real(*args) if layer not in off
    ]


def behind_walls(setup: dict[str, object], ground: attacks.Ground, writer: int) -> None:
    """What a branch does, without a worker."""
    lifeline, held = os.pipe()
    try:
        around = Walls(Reach(), Order(folder=str(setup["folder"]), user=setup["executor_user"], hidden=()))  # type: ignore[arg-type]
        around.raise_up(lifeline)
        gc.freeze()

        def lock(name: str) -> None:
            scratch = f"{ground['scratches']}/{name}"
            if not around.has_root:
                os.mkdir(scratch, 0o700)
            null = os.open(os.devnull, os.O_RDWR)
            for _, step in around.locking_in(LIMITS, scratch):
                step()
            for descriptor in around.descriptors:
                os.dup2(null, descriptor)
            os.chdir(around.scratch(scratch))

        with somebody_beside(lambda: lock("beside")) as ground["beside"]:
            names: list[str] = setup["names"]  # type: ignore[assignment]
            results = {name: in_a_process(name, ground, lambda name=name: lock(name)) for name in names}
        os.write(writer, json.dumps({"results": results, "layers": around.layers.in_words()}).encode())
        os._exit(0)
    except BaseException as error:  # noqa: BLE001  (told to whoever reads)
        os.write(writer, json.dumps({"error": repr(error)}).encode())
        os._exit(1)
    finally:
        os.close(held)


@contextmanager
def somebody_beside(prepare: Callable[[], None]) -> Iterator[dict[str, object]]:
    """An attempt that goes on meanwhile, with a file in its scratch folder; where that is, and its pids."""
    reader, writer = os.pipe()
    ended, held = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(held)
            os.setsid()
            prepare()
            with open("treasure", "w") as file:
                file.write("of another attempt")
            os.write(writer, json.dumps([os.getcwd(), os.getpid()]).encode())
            os.read(ended, 1)
        finally:
            os._exit(0)
    os.close(writer)
    folder, own_pid = json.loads(os.read(reader, 4096))
    os.close(reader)
    yield {"folder": folder, "pids": sorted({pid, own_pid})}
    os.close(held)
    os.close(ended)
    os.waitpid(pid, 0)


def in_a_process(name: str, ground: attacks.Ground, prepare: Callable[[], None]) -> str:
    """What an attack came to; empty if it was refused, "killed" if its process was."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        status = 3
        try:
            os.setsid()
            prepare()
            found = attacks.run(name, ground)
            os.write(writer, found.encode()[:200])
            status = 0
        finally:
            os._exit(status)
    os.close(writer)
    with os.fdopen(reader, "rb") as told:
        text = told.read().decode(errors="replace")
    _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    if code == 3:
        return "error: it could not be prepared"
    return text if code == 0 else f"killed by signal {-code}" if code < 0 else f"error: exit code {code}"


if __name__ == "__main__":
    main()
