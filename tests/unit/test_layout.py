"""What people see on a terminal: as wide as it is, in colours where they are wanted."""

from __future__ import annotations

import logging

import pytest

from narrowboat.cli.layout import lines
from narrowboat.core.colour import is_wanted
from narrowboat.core.units import in_words
from narrowboat.worker.logs import ForPeople

LONG = "ConnectionRefusedError: the mail server of the shop does not answer"


@pytest.mark.parametrize(
    ("is_terminal", "env", "expected"),
    [
        (True, {}, True),
        (False, {}, False),
        (True, {"NO_COLOR": "1"}, False),
        (True, {"TERM": "dumb"}, False),
        (False, {"FORCE_COLOR": "1"}, True),
        (False, {"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
    ],
)
def test_colours_are_for_terminals_unless_the_environment_says_otherwise(
    is_terminal: bool, env: dict[str, str], expected: bool
) -> None:
    assert is_wanted(is_terminal, env) is expected


def test_numbers_stand_to_the_right_and_names_to_the_left() -> None:
    assert lines([["email", "7"], ["a", "-"]], ["QUEUE", "JOBS"], None)[1:] == ["email     7", "a         -"]


@pytest.mark.parametrize("room", [30, 50, 80])
def test_on_a_terminal_no_line_is_wider_than_it_and_no_word_is_lost(room: int) -> None:
    _, *shown = lines([["email", LONG], ["images", "well"]], ["QUEUE", "NOTE"], room)
    assert max(map(len, shown)) <= room
    assert " ".join(" ".join(shown).split()) == f"email {LONG} images well"


def test_elsewhere_a_row_is_a_line_however_long() -> None:
    assert lines([["email", LONG]], ["QUEUE", "NOTE"], None)[1:] == [f"email  {LONG}"]


def test_a_state_has_its_colour_and_what_a_task_wrote_has_none() -> None:
    _, row = lines([["dead", "\x1b[31mred"]], ["STATE", "NOTE"], None)
    assert row == "\x1b[31mdead \x1b[0m  \\x1b[31mred"


def test_a_log_line_is_the_same_text_with_colours_and_without() -> None:
    record = logging.LogRecord("narrowboat", logging.ERROR, "", 0, "is dead\nas said", None, None)
    plain = ForPeople(False).format(record)
    assert plain[9:] == "ERROR   is dead\nas said"
    assert ForPeople(True).format(record) == f"\x1b[2m{plain[:8]}\x1b[0m \x1b[31mERROR  \x1b[0m is dead\nas said"


def test_a_short_time_is_never_none_at_all() -> None:
    assert [in_words(s) for s in (0, 0.0004, 0.004, 1.2)] == ["0 ms", "0.4 ms", "4 ms", "1.2 s"]
