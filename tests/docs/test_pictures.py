"""The terminal pictures of the docs: each is used, and shows what the commands in it still print."""

from __future__ import annotations

import html
import re

import imagesize
import pytest

from docs.pictures import PICTURES, Picture, Type, take
from docs.screens import SCREENS
from tests.support.processes import ROOT

from .test_pages import MARKDOWN

FOLDER = ROOT / "docs" / "pictures"
NAMED = re.compile(r'!\[([^\]]*)\]\(([^)]+\.svg)\)|<img src="([^"]+\.svg)"[^>]* alt="([^"]*)"')


def words_in(picture: Picture) -> str:
    """The text of its file, a line of the terminal in each line: the pieces of one have the same place from the top."""
    lines: dict[str, str] = {}
    for top, text in re.findall(
        r'<text [^>]* y="([\d.]+)"[^>]*>([^<]*)</text>', (FOLDER / f"{picture.name}.svg").read_text()
    ):
        lines[top] = lines.get(top, "") + html.unescape(text).replace("\xa0", " ")
    return "\n".join(lines.values())


def test_every_picture_is_in_a_page_and_described_there() -> None:
    named = {
        (page, alt or other): page.parent / (path or src)
        for page in MARKDOWN
        for alt, path, src, other in NAMED.findall(page.read_text())
    }
    assert all(len(words) > 20 for _, words in named), "the words for those who do not see it"
    here = {path.resolve() for path in named.values() if path.parent.name == FOLDER.name}  # others are of measurements
    assert here == set(FOLDER.glob("*.svg"))
    assert {path.stem for path in here} == {picture.name for picture in PICTURES}


def test_every_screenshot_is_in_a_page_described_and_of_the_size_it_is_taken_in() -> None:
    pages = "\n".join(page.read_text() for page in MARKDOWN)
    assert {path.stem for path in FOLDER.glob("*.png")} == {screen.name for screen in SCREENS}
    for screen in SCREENS:
        assert f"pictures/{screen.name}.png" in pages
        assert imagesize.get(FOLDER / f"{screen.name}.png") == tuple(screen.options["viewport"].values())
    described = re.findall(r'!\[([^\]]*)\]\([^)]+\.png\)|<img src="[^"]+\.png"[^>]* alt="([^"]*)"', pages)
    assert described and all(len(alt or other) > 20 for alt, other in described)


@pytest.mark.parametrize("picture", PICTURES, ids=lambda picture: picture.name)
def test_a_picture_shows_what_its_commands_print(picture: Picture) -> None:
    assert "\x1b[1;32m$" in take(picture), "it fails by itself where a word of it is not seen"
    drawn = words_in(picture)
    commands = [step.command for step in picture.steps if isinstance(step, Type) and "$" not in step.command]
    assert [word for word in [*picture.words, *commands] if word not in drawn] == [], "run `make pictures`"


@pytest.mark.parametrize("picture", PICTURES, ids=lambda picture: picture.name)
def test_a_picture_fetches_nothing_and_is_from_no_machine(picture: Picture) -> None:
    text = (FOLDER / f"{picture.name}.svg").read_text()
    assert not re.search(r"@font-face|@import|href|<script|<image|url\((?!#)|/tmp/|/home/|/work", text)
