"""A bar for each system, as SVG. Nothing in it is fetched: the font is the reader's own."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import NamedTuple

WIDTH, LEFT, RIGHT, BAR, GAP, TOP = 760, 190, 90, 18, 8, 58
COLOURS = {"ours": "#1a7f5a", "again": "#3f6fb0", "lost": "#9aa4af"}
LEGEND = {"ours": "Narrowboat", "again": "a killed worker's job runs again", "lost": "it is lost, or failed"}


class Bar(NamedTuple):
    """One system's figure. kind: a key of LEGEND."""

    name: str
    value: float
    kind: str


def draw(title: str, unit: str, bars: Sequence[Bar]) -> str:
    """Bars from the longest to the shortest, each with its figure: neither colour nor length is needed to read it."""
    ordered = sorted(bars, key=lambda bar: -bar.value)
    longest = max((bar.value for bar in ordered), default=0) or 1
    rows = [_row(number, bar, longest) for number, bar in enumerate(ordered)]
    height = TOP + len(rows) * (BAR + GAP) + GAP
    return (
        f'<svg viewBox="0 0 {WIDTH} {height}" xmlns="http://www.w3.org/2000/svg" role="img" '
        f'font-family="ui-sans-serif, system-ui, sans-serif" font-size="13">\n'
        f"<title>{escape(title)}, {escape(unit)}</title>\n"
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>\n'
        f'<text x="12" y="22" font-size="16" font-weight="600" fill="#1c2128">{escape(title)} '
        f'<tspan font-size="13" font-weight="400">{escape(unit)}</tspan></text>\n'
        f"{_legend()}\n" + "\n".join(rows) + "\n</svg>\n"
    )


def _row(number: int, bar: Bar, longest: float) -> str:
    y = TOP + number * (BAR + GAP)
    length = max(1.0, bar.value / longest * (WIDTH - LEFT - RIGHT))
    text = f'y="{y + BAR - 4}" fill="#1c2128"'
    return (
        f'<text x="{LEFT - 8}" {text} text-anchor="end">{escape(bar.name)}</text>'
        f'<rect x="{LEFT}" y="{y}" width="{length:.1f}" height="{BAR}" rx="2" fill="{COLOURS[bar.kind]}"/>'
        f'<text x="{LEFT + length + 6:.1f}" {text}>{number_in_words(bar.value)}</text>'
    )


def _legend() -> str:
    parts, x = list[str](), 12
    for kind, words in LEGEND.items():
        parts.append(f'<rect x="{x}" y="34" width="12" height="12" rx="2" fill="{COLOURS[kind]}"/>')
        parts.append(f'<text x="{x + 18}" y="45" fill="#1c2128">{words}</text>')
        x += 40 + 7 * len(words)
    return "".join(parts)


def number_in_words(value: float) -> str:
    """With about three digits."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"
