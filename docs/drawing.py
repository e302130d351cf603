"""Draws what a terminal showed as SVG. Nothing in it is fetched: the font is the reader's own."""

from __future__ import annotations

import io

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

from .terminal import COLUMNS


def _rgb(colour: str) -> tuple[int, int, int]:
    red, green, blue = bytes.fromhex(colour)
    return red, green, blue


THEME = TerminalTheme(
    _rgb("161b22"),
    _rgb("d8dee6"),
    [_rgb(colour) for colour in ["161b22", "ff8278", "6ec87d", "e6be5a", "6eaaff", "d796f0", "5ac8d7", "d8dee6"]],
    [_rgb(colour) for colour in ["6e7882", "ffa096", "8ce19b", "f5d782", "96c3ff", "e6b4fa", "82e1eb", "ffffff"]],
)
FORMAT = """\
<svg viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg" role="img">
<style>
.{unique_id}-matrix {{
  font-family: ui-monospace, "SFMono-Regular", Menlo, Consolas, "DejaVu Sans Mono", "Liberation Mono", monospace;
  font-size: {char_height}px; line-height: {line_height}px;
}}
.{unique_id}-title {{ font-size: 18px; font-weight: bold; font-family: sans-serif; }}
{styles}
</style>
<defs>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


def draw(shown: str, title: str, name: str) -> str:
    """An SVG of a terminal with this on it, each line cut into as many as it took there."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    for line in shown.splitlines():
        text = Text.from_ansi(line)
        for part in text.divide(range(COLUMNS, max(len(text), 1), COLUMNS)):
            console.print(part, no_wrap=True, overflow="ignore", highlight=False)
    return console.export_svg(title=title, theme=THEME, code_format=FORMAT, unique_id=f"picture-{name}")
