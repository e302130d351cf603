"""Writes the generated pages: `python -m docs.generate`. A test fails when they are stale."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path

import click

from narrowboat.backends.base import Backend, Capabilities
from narrowboat.backends.postgres import pool
from narrowboat.backends.redis import health
from narrowboat.backends.transport import Transport, TransportCapabilities
from narrowboat.backends.urls import MODULES, TRANSPORTS
from narrowboat.cli import COMMANDS, EXIT_CODES
from narrowboat.core.states import TRANSITIONS, diagram
from narrowboat.core.units import bytes_in_words, in_words

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
CAN_DELIVER = {  # each field of TransportCapabilities
    "max_bytes": "largest message that it is given",
    "has_priorities": "it heeds priorities; the store does in any case",
}
VERSIONS_OF_TRANSPORTS = {
    "RabbitMQ": ("RabbitMQ with quorum queues", "3.10"),
    "Amazon SQS": ("an account of AWS, or a service that speaks like it", "moto 5"),
    "Gearman": ("gearmand, in a network that is trusted", "1.1.20"),
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
    """The page of backends with its table anew."""
    return _with_table("backends.md", capability_table())


def transports_page() -> str:
    """The page of transports, the same."""
    return _with_table("transports.md", transport_table())


def _with_table(page: str, table: str) -> str:
    """A page with its table, which is between two comments."""
    before, start, rest = (HERE / page).read_text().partition("<!-- generated ")
    comment, newline, rest = rest.partition("\n")
    _, end, after = rest.partition("<!-- end -->")
    return "".join((before, start, comment, newline, table, end, after))


def capability_table() -> str:
    """What each backend can do, by its own Capabilities, and which versions of its service were run."""
    return _table(MODULES, Backend, CAN, VERSIONS)


def transport_table() -> str:
    """What each transport can do, by its own TransportCapabilities, and which versions of its service were run."""
    return _table(TRANSPORTS, Transport, CAN_DELIVER, VERSIONS_OF_TRANSPORTS)


def _table(
    schemes: Mapping[str, str],
    kind: type[Backend] | type[Transport],
    can: Mapping[str, str],
    versions: Mapping[str, tuple[str, str]],
) -> str:
    modules = dict.fromkeys(schemes.values(), "")
    for scheme, module in schemes.items():
        modules[module] += f"{', ' if modules[module] else ''}`{scheme}://`"
    found = [_capabilities(module, kind) for module in modules]
    rows = [["", *(of.name for of in found)], ["---"] * (len(found) + 1), ["URL", *modules.values()]]
    fields = [field for field in found[0].__struct_fields__ if field != "name"]
    rows += [[can[field], *(_in_words(field, getattr(of, field)) for of in found)] for field in fields]
    rows += [[name, *(versions[of.name][n] for of in found)] for n, name in enumerate(KNOWN)]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _capabilities(module: str, kind: type[Backend] | type[Transport]) -> Capabilities | TransportCapabilities:
    """Of the one backend or transport in a module."""
    [found] = {
        value.capabilities
        for value in vars(importlib.import_module(module)).values()
        if isinstance(value, type) and issubclass(value, kind)
    }
    return found


def _in_words(field: str, value: bool | float | None) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if field.endswith("_bytes") and value is not None:
        return bytes_in_words(int(value))
    return "any" if value is None else in_words(value)


PAGES = {
    "states.md": states_page,
    "commands.md": commands_page,
    "backends.md": backends_page,
    "transports.md": transports_page,
}


def main() -> None:
    """Write them all."""
    for name, page in PAGES.items():
        (HERE / name).write_text(page())


if __name__ == "__main__":
    main()
