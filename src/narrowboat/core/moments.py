"""Moments as people write them: a time of day, a date, or a while from now; in the local time of this machine."""

from __future__ import annotations

import re
from datetime import date, datetime, time, timedelta

from .controls import SLOWEST_S
from .errors import ConfigError
from .units import in_words, seconds

Moment = float | str | timedelta | datetime
_TIME = re.compile(r"\d{1,2}:\d\d(:\d\d)?")


def moment(value: Moment, now: float) -> float:
    """Seconds since 1970. "18:00" is the next one; "2026-12-01" its midnight; "2h", a timedelta or a number of seconds
    count from `now`.

    Raises ConfigError when it is not understood, or not after `now`.
    """
    found = _found(value, datetime.fromtimestamp(now))
    if found <= now:
        raise ConfigError(f"{value} is over already; give a moment to come, such as '18:00' or '2h'")
    return found


def wait_of(retry_after: float | str | timedelta | None, now: float) -> float:
    """Seconds that a service asks for, as SlowDown takes it: 30 without a word, at most a day, never less than 0."""
    if retry_after is None:
        return 30.0
    if isinstance(retry_after, str) and re.search(r"\d\d:\d\d", retry_after):
        from email.utils import parsedate_to_datetime  # only here: it brings much, and executors are forked from this

        try:
            found = parsedate_to_datetime(retry_after).timestamp() - now
        except ValueError:
            raise ConfigError(f"{retry_after!r} is not a date as HTTP writes it") from None
    else:
        found = seconds(retry_after)
    return min(max(0.0, found), SLOWEST_S)


def in_short(moment: float, now: float) -> str:
    """For people: "18:00 (in 3 h)", with the date when it is another day."""
    there = datetime.fromtimestamp(moment)
    is_today = there.date() == datetime.fromtimestamp(now).date()
    return f"{there:%H:%M}{'' if is_today else f' on {there:%Y-%m-%d}'} (in {in_words(max(0.0, moment - now))})"


def _found(value: Moment, now: datetime) -> float:
    if isinstance(value, datetime):
        return value.timestamp()  # without a zone it is local
    if not isinstance(value, str):
        return now.timestamp() + seconds(value)
    text = value.strip()
    try:
        if _TIME.fullmatch(text):
            today = datetime.combine(now.date(), time.fromisoformat(text.zfill(5)))
            return (today if today > now else _next_day(today)).timestamp()
        if re.match(r"\d{4}-", text):
            return datetime.fromisoformat(text).timestamp()
    except ValueError:
        raise ConfigError(f"{value!r} is not a moment; write '18:00', '2026-12-01 18:00' or '2h'") from None
    return now.timestamp() + seconds(text)


def _next_day(moment: datetime) -> datetime:
    """The same time by the clock on the wall, whatever daylight saving does in between."""
    return datetime.combine(date.fromordinal(moment.toordinal() + 1), moment.time())
