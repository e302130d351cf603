"""Writes the generated pages: `python -m docs.generate`. A test fails when they are stale."""

from __future__ import annotations

import importlib
from pathlib import Path

import click

from narrowboat.backends.base import Backend, Capabilities
from narrowboat.backends.postgres import pool
from narrowboat.backends.redis import health
from narrowboat.backends.urls import MODULES
from narrowboat.cli import COMMANDS, EXIT_CODES
from narrowboat.core.states import TRANSITIONS, diagram
from narrowboat.core.units import in_words

HERE = Path(__file__).resolve().parent

CAN = {  # each field of Capabilities
    "is_shared": "any number of processes share the jobs",
    "has_transactional_enqueue": "enqueue in your own transaction",
    "max_delay_s": "longest delay",
}
KNOWN = ("needs", "tests were run on")
VERSIONS = {  # KNOWN of each backend, by its name
    "SQLite": ("nothing: it comes with Python", "3.40"),
    "memory": ("nothing", ""),
    "PostgreSQL": (f"PostgreSQL {pool.OLDEST} or newer", "15; PgBouncer 1.18"),
    "Redis": (f"Redis {'.'.join(map(str, health.OLDEST))} or newer", "7.0"),
}

PICTURES = {
    "job": (
        "dead-job",
        "A dead job: its state, its arguments, three attempts with tracebacks and logs; then why it is dead",
    ),
    "queues": ("queues", "Queues in numbers, the newest jobs, and why one does not run: no worker knows its task"),
}


def states_page() -> str:
    """The state diagram and the table of moves."""
    rows = "\n".join(f"| {move.source} | {move.verb} | {move.target} |" for move in TRANSITIONS)
    return (
        "# The states of a job\n\nGenerated from `src/narrowboat/core/states.py`; `make docs` writes it again.\n\n"
        f"```mermaid\n{diagram()}```\n\n| from | by | to |\n|---|---|---|\n{rows}\n"
    )


def commands_page() -> str:
    """What every command prints for --help."""
    parts = ["# Commands\n\nGenerated from `--help`; `make docs` writes it again.\n"]
    for name in COMMANDS:
        command: click.Command = importlib.import_module(f"narrowboat.cli.{name}").command
        context = click.Context(command, info_name=f"narrowboat {name}", terminal_width=100, max_content_width=100)
        parts.append(f"\n## {name}\n\n```\n{command.get_help(context)}\n```\n")
        if name in PICTURES:
            file, words = PICTURES[name]
            parts.append(f"\n![{words}](pictures/{file}.svg)\n")
    codes = " ".join(EXIT_CODES.replace("\b", "").split())
    return "".join(parts) + f"\n{codes}\n"


def backends_page() -> str:
    """The page of backends with its table anew, which is between two comments."""
    before, start, rest = (HERE / "backends.md").read_text().partition("<!-- generated ")
    comment, newline, rest = rest.partition("\n")
    _, end, after = rest.partition("<!-- end -->")
    return "".join((before, start, comment, newline, capability_table(), end, after))


def capability_table() -> str:
    """What each backend can do, by its own Capabilities, and which versions of its service were run."""
    modules = dict.fromkeys(MODULES.values())
    for scheme, module in MODULES.items():
        modules[module] = f"{modules[module]}, `{scheme}://`" if modules[module] else f"`{scheme}://`"
    found = {module: _capabilities(module) for module in modules}
    rows = [["", *(of.name for of in found.values())], ["---"] * (len(found) + 1), ["URL", *map(str, modules.values())]]
    fields = [field for field in Capabilities.__struct_fields__ if field != "name"]
    rows += [[CAN[field], *(_in_words(getattr(of, field)) for of in found.values())] for field in fields]
    rows += [[name, *(VERSIONS[of.name][n] for of in found.values())] for n, name in enumerate(KNOWN)]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _capabilities(module: str) -> Capabilities:
    """Of the one backend in a module."""
    [found] = {
        value.capabilities
        for value in vars(importlib.import_module(module)).values()
        if isinstance(value, type) and issubclass(value, Backend)
    }
    return found


def _in_words(value: bool | float | None) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "any" if value is None else in_words(value)


PAGES = {"states.md": states_page, "commands.md": commands_page, "backends.md": backends_page}


def main() -> None:
    """Write them all."""
    for name, page in PAGES.items():
        (HERE / name).write_text(page())


if __name__ == "__main__":
    main()
