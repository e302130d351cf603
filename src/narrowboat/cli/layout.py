"""Tables and paragraphs for people, as wide as their terminal. What came from a task cannot steer it."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Sequence

import click

from ..core import codec
from .common import write

STATES = {  # by what a column STATE says: of jobs, and of what the sandbox holds
    "succeeded": "green",
    "running": "cyan",
    "dead": "red",
    "cancelled": "yellow",
    "enforced": "green",
    "partial": "yellow",
    "missing": "red",
}
NARROWEST = 30  # a last column with less room than this goes on lines of its own


def state(word: str, text: str = "") -> str:
    """The word of a state, or a text about it, in its colour."""
    return click.style(text or word, fg=STATES[word]) if word in STATES else text or word


def table(rows: Sequence[Sequence[str]], head: Sequence[str]) -> None:
    """Columns as wide as their widest cell, numbers to the right; a terminal's last column is folded into its room."""
    for line in lines(rows, head, _room()):
        write(line)


def paragraph(text: str) -> None:
    """A text, folded between words on a terminal."""
    room = _room()
    text = codec.printable(text)
    write(text if room is None else "\n".join(textwrap.wrap(text, room, subsequent_indent="  ")))


def lines(rows: Sequence[Sequence[str]], head: Sequence[str], room: int | None) -> list[str]:
    """The lines of a table; room: columns of the terminal, if it is one."""
    whole = [[codec.printable(cell) for cell in row] for row in [head, *rows]]
    widths = [max(len(row[i]) for row in whole) for i in range(len(head))]
    pads = [str.rjust if _is_numbers([row[i] for row in whole[1:]]) else str.ljust for i in range(len(head))]
    found: list[str] = []
    for number, row in enumerate(whole):
        cells = [pad(cell, width) for pad, cell, width in zip(pads, row, widths, strict=True)]
        last = cells.pop().rstrip()
        first, *more = _fold(last, sum(widths[:-1]) + 2 * len(cells), room)
        cells = [click.style(cell, dim=True) if row[i] == "0" else cell for i, cell in enumerate(cells)]
        if number and "STATE" in head[:-1]:
            place = head.index("STATE")
            cells[place] = state(row[place], cells[place])
        line = "  ".join([*cells, first]).rstrip()
        found.append(line if number else click.style(line, bold=True))
        found += more
    return found


def _fold(text: str, used: int, room: int | None) -> list[str]:
    """What of a last cell stands beside the other cells, and the lines below."""
    if room is None or used + len(text) <= room:
        return [text]
    if room - used >= NARROWEST:
        first, *more = textwrap.wrap(text, room - used)
        return [first, *(" " * used + line for line in more)]
    return ["", *textwrap.wrap(text, max(room, NARROWEST), initial_indent="    ", subsequent_indent="    ")]


def _is_numbers(cells: Sequence[str]) -> bool:
    return any(cell.isdecimal() for cell in cells) and all(cell.isdecimal() or cell == "-" for cell in cells)


def _room() -> int | None:
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None
