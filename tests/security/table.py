"""The tables in docs/security.md, from runs. `make security` writes them."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from . import pictures
from .attacks import ATTACKS
from .ground import ground_for, run_attacks

PAGE = Path(__file__).resolve().parents[2] / "docs" / "security.md"
MARKS = {name: (f"<!-- {name}: written by a run -->", f"<!-- end of {name} -->") for name in ("attacks", "pictures")}


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
    if found.startswith("killed"):
        return "killed"
    return "works" if found else "refused"


def of_attacks() -> str:
    """Run all attacks."""
    names = [name for group in ATTACKS.values() for name in group]
    results: list[dict[str, str]] = []
    for walls, restricted in ((False, False), (True, False), (True, True)):
        with ground_for(0) as ground:
            found, layers = run_attacks(names, ground, user=0, walls=walls, restricted=restricted)
            print(layers or "in the open", sum(word(text) == "works" for text in found.values()), "work")
            results.append(found)
    return of(*results)


def of_pictures() -> str:
    """Run all pictures."""
    with pictures.ground_for_pictures() as ground:
        results = [pictures.in_the_open(ground)]
        for is_container in (False, True):
            with pictures.gallery(ground, is_container=is_container) as app:
                results.append(pictures.inside(ground, app))
    return pictures.table(*results)


def written(name: str, table: str, text: str) -> str:
    """The page with this table between its marks."""
    begin, end = MARKS[name]
    made = f"{begin}\n{table}\n{end}"
    return re.sub(f"{re.escape(begin)}.*{re.escape(end)}", lambda _: made, text, flags=re.DOTALL)


def main() -> int:
    """Run all and write the tables."""
    for name, run in (("attacks", of_attacks), ("pictures", of_pictures)):
        table = run()
        PAGE.write_text(written(name, table, PAGE.read_text()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
