"""Moments as people write them."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from narrowboat.core.errors import ConfigError
from narrowboat.core.moments import in_short, moment

NOON = datetime(2026, 11, 25, 12, 0).timestamp()  # local time, as everything here


def at(*when: int) -> float:
    return datetime(*when).timestamp()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("18:00", at(2026, 11, 25, 18)),
        ("9:30", at(2026, 11, 26, 9, 30)),
        ("12:00", at(2026, 11, 26, 12)),
        ("2026-12-01", at(2026, 12, 1)),
        ("2026-12-01 08:15", at(2026, 12, 1, 8, 15)),
        ("2026-12-01T08:15:00+00:00", datetime.fromisoformat("2026-12-01T08:15:00+00:00").timestamp()),
        ("2h30m", NOON + 9000),
        (timedelta(days=1), NOON + 86_400),
        (90, NOON + 90),
        (datetime(2026, 11, 25, 13), at(2026, 11, 25, 13)),
    ],
)
def test_a_moment_is_a_time_a_date_or_a_while(written: object, meant: float) -> None:
    assert moment(written, NOON) == meant  # type: ignore[arg-type]


@pytest.mark.parametrize("written", ["2026-11-25 11:59", "2020-01-01", 0, timedelta(0), datetime(2026, 11, 25, 12)])
def test_a_moment_that_is_over_is_refused(written: object) -> None:
    with pytest.raises(ConfigError, match="is over already"):
        moment(written, NOON)  # type: ignore[arg-type]


@pytest.mark.parametrize("written", ["25:00", "12:61", "2026-13-01", "tomorrow", "", "18.00 o'clock"])
def test_what_is_no_moment_is_refused_in_words(written: str) -> None:
    with pytest.raises(ConfigError):
        moment(written, NOON)


def test_a_moment_is_told_with_its_date_on_another_day() -> None:
    assert in_short(at(2026, 11, 25, 18), NOON) == "18:00 (in 6 h)"
    assert in_short(at(2026, 11, 26, 9), NOON) == "09:00 on 2026-11-26 (in 21 h)"
