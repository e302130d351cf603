"""Writes the generated pages: `python -m docs.generate`. A test fails when they are stale."""

from __future__ import annotations

import importlib
from pathlib import Path

import click

from narrowboat.cli import COMMANDS, EXIT_CODES
from narrowboat.core.states import TRANSITIONS, diagram

HERE = Path(__file__).resolve().parent


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


PAGES = {"states.md": states_page, "commands.md": commands_page}


def main() -> None:
    """Write them all."""
    for name, page in PAGES.items():
        (HERE / name).write_text(page())


if __name__ == "__main__":
    main()
