"""The tables in docs/security.md, from runs. `make security` writes them.

`python -m tests.security.table --beside` runs the attacks as who one is, and prints what differs from the page.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from benchmarks import layers, measure, zygotes

from . import pictures
from .attacks import ATTACKS, IMPOSSIBLE
from .ground import ground_for, run_attacks

PAGE = Path(__file__).resolve().parents[2] / "docs" / "security.md"
MARKS = {
    name: (f"<!-- {name}: written by a run -->", f"<!-- end of {name} -->")
    for name in ("layers", "attacks", "pictures")
}


class Layer(NamedTuple):
    """A row of the table of layers. once, each: what of it is measured; tests: each tries this layer alone."""

    name: str
    stops: str
    once: tuple[str, ...]
    each: tuple[str, ...]
    tests: tuple[str, ...]


ALONE = "a_layer_alone_stops_what_it_is_for"
LAYERS = (
    Layer(
        "zygotes start by *exec* with a clean environment", "secrets in memory that was copied or freed",
        (zygotes.EXEC,), (), ("a_zygote_has_nothing_of_the_worker_in_its_memory_though_the_sandbox_is_off",),
    ),
    Layer(
        "namespaces with a private root, where the host allows them",
        "every file, process, socket and host that has no name there; helpers that outlive the attempt",
        ("namespaces and a root",), ("namespaces", "scratch folder"),
        (ALONE, "a_private_root_alone", "a_network_namespace_alone", "a_pid_namespace_alone", "an_ipc_namespace_alone",
         "a_user_namespace_alone"),
    ),
    Layer(
        "Landlock",
        "the same files and TCP ports where namespaces are not allowed; signals and abstract sockets",
        ("rules of Landlock",), ("Landlock",), (ALONE, "landlock_alone"),
    ),
    Layer(
        "a seccomp allowlist",
        "sockets, programs, and kernel interfaces with a history of holes; "
        "a call that only attacks make ends the process",
        ("filter of seccomp",), ("seccomp",), (ALONE, "calls_by_another_table_are_the_end"),
    ),
    Layer(
        "no new privileges, no capabilities, a user of its own under a root worker, not dumpable",
        "set-uid programs, `ptrace`, `/proc` of others", (), ("no capabilities", "not dumpable"),
        ("no_new_privileges_makes_a_set_uid_program_an_ordinary_one",
         "without_capabilities_root_is_bound_by_the_modes_of_files",
         "a_user_of_its_own_keeps_executors_of_root_from_the_worker",
         "who_is_not_dumpable_cannot_be_looked_into_by_the_same_user"),
    ),
    Layer(
        "descriptors replaced, a session of its own, an end with the worker",
        "connections and terminals that were open before; orphans", (),
        ("descriptors", "session", "lifeline"),
        ("descriptors_are_replaced_and_their_numbers_stay_taken", "a_session_of_its_own_has_no_terminal",
         "it_dies_with_the_worker_though_it_blocks_every_signal_and_holds_the_interpreter"),
    ),
    Layer(
        "limits", "bombs of memory, files, threads and processor time", ("limits of all",), ("limits",),
        (ALONE, "each_limit_alone", "processes_are_counted", "processor_time_ends_a_loop"),
    ),
    Layer(
        "an attack from within, at the start", "walls that are there by name only", (zygotes.PROBE,), (),
        ("a_worker_that_takes_what_there_is_says_what_is_missing",),
    ),
)  # fmt: skip
EXECUTORS, ZYGOTES = 400, 20
Times = tuple[Mapping[str, float], Mapping[str, float]]  # medians, and what the fastest tenth took at most


def of_layers(each: Times, once: Times, conditions: str) -> str:
    """Microseconds by what was measured."""
    lines = ["| layer | stops | once, us | each executor, us | tried alone by `test_...` |", "|---|---|---|---|---|"]
    for layer in LAYERS:
        tests = ", ".join(f"`{name}`" for name in layer.tests)
        cells = (_sum(once, layer.once), _sum(each, layer.each))
        lines.append(f"| {layer.name} | {layer.stops} | {' | '.join(cells)} | {tests} |")
    lines.append(f"| the fork of the executor | | | {_sum(each, ('fork',))} | |")
    lines.append(f"| **all of it**, with what the interpreter does in between | | | {_sum(each, ('whole',))} | |")
    return "\n".join([*lines, "", conditions])


def _sum(times: Times, names: tuple[str, ...]) -> str:
    """Of both. Not every host has all of them."""
    return " / ".join(f"{sum(found.get(name, 0.0) for name in names):,.0f}" for found in times) if names else ""


def measure_layers() -> str:
    """As they are on this machine now."""
    before = os.getloadavg()[0]
    host, *each = layers.run(EXECUTORS)
    once = zygotes.run(ZYGOTES)
    after = os.getloadavg()[0]
    who = "root" if os.geteuid() == 0 else "an ordinary user"
    conditions = (
        f"Medians of {EXECUTORS} executors and {ZYGOTES} zygotes / what the fastest tenth took at most, as {who} "
        f"({host}), on {measure.machine()}. The app has imported Pillow. The load of the machine was {before:.1f} "
        f"before, {after:.1f} after: what else it did is in the medians, too."
    )
    return of_layers((each[0], each[1]), once, conditions)


def of(in_the_open: dict[str, str], inside: dict[str, str], floor: dict[str, str]) -> str:
    """Three results of every attack, by name."""
    lines = ["| aim | attack | how | in the open | inside | inside, no namespaces |", "|---|---|---|---|---|---|"]
    for group, attacks in ATTACKS.items():
        for name, function in attacks.items():
            how = (function.__doc__ or "").strip().splitlines()[0].rstrip(".").replace("|", "\\|")
            cells = (word(in_the_open[name]), word(inside[name]), word(floor[name]))
            lines.append(f"| {group} | {name.replace('_', ' ')} | {how} | {' | '.join(cells)} |")
    counts = [sum(word(found) == "works" for found in results.values()) for results in (in_the_open, inside, floor)]
    total = len(in_the_open)
    lines.append(f"| | **{total} attacks** | | **{counts[0]} work** | **{counts[1]} work** | **{counts[2]} work** |")
    return "\n".join(lines)


def word(found: str) -> str:
    """What a result is called in the table."""
    if found.startswith("error"):
        return found
    if found.startswith("killed"):
        return "killed"
    if found.startswith(IMPOSSIBLE):
        return "not in this kernel"
    return "works" if found else "refused"


def of_attacks(user: int = 0) -> str:
    """Run all attacks."""
    names = [name for group in ATTACKS.values() for name in group]
    results: list[dict[str, str]] = []
    layers = ""
    for walls, restricted in ((False, False), (True, False), (True, True)):
        if restricted and "namespaces" not in layers:  # in a container there are none to take away
            results.append(results[-1])
            break
        with ground_for(user) as ground:
            found, layers = run_attacks(names, ground, user=user, walls=walls, restricted=restricted)
            print(told(found, layers), flush=True)
            results.append(found)
    return of(*results)


def told(found: dict[str, str], layers: str) -> str:
    """One run in a line, with the exceptions: inside those that work, in the open those that do not."""
    working = [name for name, text in found.items() if word(text) == "works"]
    others = working if layers else [name for name in found if name not in working]
    return f"{layers or 'in the open'}: {len(working)} work; {'these' if layers else 'not'}: {', '.join(others) or '-'}"


def of_pictures() -> str:
    """Run all pictures."""
    with pictures.ground_for_pictures() as ground:
        results = [pictures.in_the_open(ground)]
        for is_container in (False, True):
            with pictures.gallery(ground, is_container=is_container) as app:
                results.append(pictures.inside(ground, app))
    return pictures.table(*results)


def rows(table: str) -> dict[str, list[str]]:
    """What became of each attack: in the open, inside, and inside without namespaces."""
    found = [[cell.strip() for cell in line.split(" | ")] for line in table.splitlines()]
    return {
        cells[1]: [cell.rstrip(" |") for cell in cells[-3:]]
        for cells in found
        if len(cells) == 6 and cells[1] != "attack"
    }


def beside() -> str:
    """Run all attacks, and say which came to something else than on the page."""
    here, there = rows(of_attacks(os.geteuid())), rows(PAGE.read_text())
    lines = [f"{name}: {cells}, and on the page {there[name]}" for name, cells in here.items() if cells != there[name]]
    return "\n".join([*lines, f"{len(lines)} of {len(here)} rows differ"])


def written(name: str, table: str, text: str) -> str:
    """The page with this table between its marks."""
    begin, end = MARKS[name]
    made = f"{begin}\n{table}\n{end}"
    return re.sub(f"{re.escape(begin)}.*{re.escape(end)}", lambda _: made, text, flags=re.DOTALL)


def main() -> int:
    """As the docstring of the module says."""
    if "--beside" in sys.argv:
        print(beside())
        return 0
    runs = {"layers": measure_layers, "attacks": of_attacks, "pictures": of_pictures}
    for name in sys.argv[1:] or runs:
        table = runs[name]()
        PAGE.write_text(written(name, table, PAGE.read_text()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
