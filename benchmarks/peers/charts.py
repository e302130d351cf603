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


class Line(NamedTuple):
    """What came of something in time, from left to right."""

    name: str
    points: Sequence[tuple[float, float]]


PLOT = (70, 50, 520, 300)  # left, top, width, height
STROKES = ("#1a7f5a", "#b3452c", "#3f6fb0", "#8a5a9e", "#6b7480", "#a07b12")
DASHES = ("", "7 3", "2 3", "9 3 2 3", "12 4", "4 4")


def draw_lines(title: str, unit: str, along: str, lines: Sequence[Line]) -> str:
    """Lines over one another, each named at its end and dashed in its own way: no colour is needed to tell them."""
    left, top, width, height = PLOT
    most_x = max(x for line in lines for x, _ in line.points)
    most_y = _round_up(max(y for line in lines for _, y in line.points))

    def at(x: float, y: float) -> tuple[float, float]:
        return left + x / most_x * width, top + height - y / most_y * height

    parts = [
        f'<line x1="{left}" x2="{left + width}" y1="{at(0, y)[1]:.1f}" y2="{at(0, y)[1]:.1f}" stroke="#d8dee4"/>'
        f'<text x="{left - 8}" y="{at(0, y)[1] + 4:.1f}" text-anchor="end" fill="#1c2128">{y:,.0f}</text>'
        for y in (most_y * n / 4 for n in range(5))
    ]
    parts += [
        f'<text x="{at(x, 0)[0]:.1f}" y="{top + height + 18}" text-anchor="middle" fill="#1c2128">{x:.0f}</text>'
        for x in range(0, int(most_x) + 1, max(1, int(most_x) // 6))
    ]
    parts.append(
        f'<text x="{left + width / 2}" y="{top + height + 38}" text-anchor="middle" fill="#1c2128">'
        f"{escape(along)}</text>"
    )
    free_y = float("inf")
    for number, line in sorted(enumerate(lines), key=lambda one: one[1].points[-1][1]):
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (at(*point) for point in line.points))
        colour, dashes = STROKES[number % len(STROKES)], DASHES[number % len(DASHES)]
        parts.append(
            f'<polyline points="{path}" fill="none" stroke-width="2" stroke="{colour}" stroke-dasharray="{dashes}"/>'
        )
        free_y = min(free_y - 17, at(*line.points[-1])[1] + 4)
        x = at(*line.points[-1])[0]
        parts.append(
            f'<text x="{x + 8:.1f}" y="{free_y:.1f}" fill="{STROKES[number % len(STROKES)]}">{escape(line.name)}</text>'
        )
    return (
        f'<svg viewBox="0 0 {WIDTH} {top + height + 50}" xmlns="http://www.w3.org/2000/svg" role="img" '
        f'font-family="ui-sans-serif, system-ui, sans-serif" font-size="13">\n'
        f"<title>{escape(title)}: {escape(unit)}</title>\n"
        f'<rect width="{WIDTH}" height="{top + height + 50}" fill="#ffffff"/>\n'
        f'<text x="12" y="22" font-size="16" font-weight="600" fill="#1c2128">{escape(title)} '
        f'<tspan font-size="13" font-weight="400">{escape(unit)}</tspan></text>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def _round_up(value: float) -> float:
    """The next of 1, 2, 4 or 8 times a power of ten, so that quarters are round."""
    power = 10.0 ** (len(str(int(value))) - 1)
    return next((n * power for n in (1, 2, 4, 8) if value <= n * power), 10 * power)
