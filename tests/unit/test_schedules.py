"""Schedules: which times are due, what was missed, days on which clocks change, and tests that move the clock."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from narrowboat import App, ConfigError, Limit, Schedule
from narrowboat.app.timetable import Entry, clock_changes
from narrowboat.backends.base import WorkerInfo
from narrowboat.backends.sqlite import SQLiteBackend
from narrowboat.cli.schedules import command
from narrowboat.core.schedule import (
    ScheduleState,
    explained,
    latest_until,
    next_after,
    plan,
    unusual_days,
)
from narrowboat.core.task import TaskSpec

LONDON = "Europe/London"


def at(text: str, zone: str = "UTC") -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


def utc(moment: float) -> str:
    return f"{datetime.fromtimestamp(moment, ZoneInfo('UTC')):%Y-%m-%d %H:%M}"


NIGHTLY = Schedule("0 3 * * *").spec("nightly")


def test_a_new_schedule_begins_with_the_times_after_the_first_look() -> None:
    now = at("2026-11-27 12:00")
    assert plan(NIGHTLY, ScheduleState(), now) == (now, False, at("2026-11-28 03:00"))


def test_a_time_is_due_once_and_then_the_next_one() -> None:
    state = ScheduleState(last=at("2026-11-27 12:00"))
    assert plan(NIGHTLY, state, at("2026-11-28 02:59")).due is None
    due = at("2026-11-28 03:00")
    assert plan(NIGHTLY, state, due) == (due, True, at("2026-11-29 03:00"))
    assert plan(NIGHTLY, ScheduleState(last=due), due + 5).due is None


def test_a_time_is_not_due_a_moment_before_it() -> None:
    due = at("2026-11-28 03:00")
    state = ScheduleState(last=at("2026-11-27 12:00"))
    for early_s in (0.001, 0.5, 0.999, 1.0, 1.5):
        assert plan(NIGHTLY, state, due - early_s) == (None, False, due)
        assert latest_until(NIGHTLY, due - early_s) == due - 86_400.0
    assert latest_until(NIGHTLY, due) == latest_until(NIGHTLY, due + 0.5) == due


def test_of_missed_times_the_latest_is_caught_up_or_none() -> None:
    state, now = ScheduleState(last=at("2026-11-24 03:00")), at("2026-11-27 12:00")
    assert plan(NIGHTLY, state, now)[:2] == (at("2026-11-27 03:00"), True)
    skipping = Schedule("0 3 * * *", missed="skip").spec("nightly")
    assert plan(skipping, state, now)[:2] == (at("2026-11-27 03:00"), False)
    assert plan(skipping, state, at("2026-11-27 03:00") + 30)[:2] == (at("2026-11-27 03:00"), True), "a little late"


def test_the_times_of_a_pause_pass_without_a_job() -> None:
    paused = ScheduleState(last=at("2026-11-26 03:00"), is_paused=True)
    assert plan(NIGHTLY, paused, at("2026-11-27 03:00"))[:2] == (at("2026-11-27 03:00"), False)


def test_a_schedule_with_other_times_is_another_one() -> None:
    keys = {Schedule("0 3 * * *", timezone=zone).spec("n").key for zone in ("UTC", LONDON)}
    assert len(keys | {Schedule("0 4 * * *").spec("n").key, NIGHTLY.key}) == 4
    assert Schedule("0  3 * *  *").spec("nightly").key == NIGHTLY.key


def test_the_hour_that_is_left_out_and_the_hour_that_comes_twice() -> None:
    # 2027: forward on 28 March at 01:00, back on 31 October at 02:00.
    at_half_past_one = Schedule("30 1 * * *", timezone=LONDON).spec("n")
    assert utc(next_after(at_half_past_one, at("2027-03-27 12:00"))) == "2027-03-28 01:00", "just after the gap"
    first = next_after(at_half_past_one, at("2027-10-30 12:00"))
    assert utc(first) == "2027-10-31 00:30"
    assert utc(next_after(at_half_past_one, first)) == "2027-11-01 01:30", "once, though 01:30 comes twice"
    hourly = Schedule("0 * * * *", timezone=LONDON).spec("n")
    times = [at("2027-10-30 23:30")]
    for _ in range(4):
        times.append(next_after(hourly, times[-1]))
    assert [utc(time)[-5:] for time in times[1:]] == ["00:00", "01:00", "02:00", "03:00"], "hours go on"
    assert utc(latest_until(at_half_past_one, at("2027-03-28 09:00"))) == "2027-03-28 01:00"


def test_days_on_which_the_clocks_change_are_told() -> None:
    spec = Schedule("30 1 * * *", timezone=LONDON).spec("n")
    days = unusual_days(spec, at("2026-11-27 12:00"))
    assert [f"{day:%Y-%m-%d}" for day, _ in days] == ["2027-03-28", "2027-10-31"]
    assert [[f"{time:%H:%M %Z}" for time in times] for _, times in days] == [["02:00 BST"], ["01:30 BST"]]
    assert unusual_days(NIGHTLY, at("2026-11-27 12:00")) == []


@pytest.mark.parametrize(
    ("cron", "sentences"),
    [
        (
            "30 1 * * *",
            [
                "Sun 28 Mar 2027: the clocks go forward; it runs at 02:00 BST",
                "Sun 31 Oct 2027: the clocks go back; it runs at 01:30 BST",
            ],
        ),
        (
            "0 3 * * MON-FRI",
            [
                "Sun 28 Mar 2027: the clocks go forward; it does not run that day",
                "Sun 31 Oct 2027: the clocks go back; it does not run that day",
            ],
        ),
        (
            "0 * * * *",
            [
                "Sun 28 Mar 2027: the clocks go forward; it runs 23 times or more that day",
                "Sun 31 Oct 2027: the clocks go back; it runs 25 times or more that day",
            ],
        ),
    ],
)
def test_what_becomes_of_its_times_when_the_clocks_change_is_told_in_sentences(cron: str, sentences: list[str]) -> None:
    entry = Entry(name="n", task="t.n", cron=cron, timezone=LONDON, words="", next=0.0, last=0.0, is_paused=False)
    assert clock_changes(entry, at("2026-11-27 12:00")) == sentences


def test_it_is_said_in_words() -> None:
    assert explained(Schedule("0 3 * * MON-FRI").spec("n")) == "At 03:00 on Monday through Friday"


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda: Schedule("0 3 * *"), "five fields"),
        (lambda: Schedule("99 3 * * *"), "Bad minute"),
        (lambda: Schedule("0 3 30 2 *"), "Bad day-of-month"),
        (lambda: Schedule("0 3 31 2,4 MON#6"), "Bad"),
        (lambda: Schedule("* * */20 * 1L"), "never comes"),
        (lambda: Schedule("0 3 * * *", timezone="Mars/Olympus"), "no time zone"),
        (lambda: Schedule("0 3 * * *", missed="twice"), "once"),  # type: ignore[arg-type]
    ],
)
def test_what_cannot_be_meant_is_refused(make: object, what: str) -> None:
    with pytest.raises(ConfigError, match=what):
        make()  # type: ignore[operator]


def test_arguments_of_a_schedule_are_those_of_its_task() -> None:
    app = App("s", url="memory://")

    @app.task(
        name="s.report", schedule=[Schedule("0 3 * * *", region="eu"), Schedule("0 4 * * *", name="us", region="us")]
    )
    def report(region: str, days: int = 1) -> str:
        return region

    first, second = report.spec.schedules
    assert (first.name, first.args, second.name) == ("s.report/1", '{"region":"eu"}', "us")
    with pytest.raises(ConfigError, match="region"):
        app.task(name="s.other", schedule="0 3 * * *")(report._function)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="same name twice"):
        app.task(name="s.twice", schedule=[Schedule("0 3 * * *", name="x"), Schedule("0 4 * * *", name="x")])(
            lambda: None
        )


def test_a_job_of_a_schedule_is_like_every_other_job_of_its_task() -> None:
    app = App("s", url="memory://")

    @app.task(
        name="s.report",
        schedule=[Schedule("0 3 * * *", name="all"), Schedule("0 3 * * *", name="eu", region="eu")],
        key="report-{region}",
        key_for="1h",
        limit=Limit(1, key="region:{region}"),
        tags=["money"],
        summary="The report of {region}",
    )
    def report(region: str = "all") -> str:
        return region

    with app.testing() as jobs:
        jobs.clock.advance("25h")
        by_hand = report.enqueue("eu")
        assert {job.result for job in jobs.drain()} == {"all", "eu"}
        made, of_eu = report.find(), report.find("eu")
        assert made is not None and of_eu is not None
        assert of_eu.id == by_hand.id, "it held the key when the time came"
        record, usual = made.record, report.job().new
        assert (record.key, record.lane_key, record.summary) == (usual.key, usual.lane_key, usual.summary)
        assert (record.key, record.lane_key, record.tags) == ("report-all", "region:all", ("schedule:all", "money"))
        jobs.clock.advance("24h")
        assert {job.result for job in jobs.drain()} == {"all", "eu"}


def test_a_schedule_and_a_key_that_only_code_can_tell_do_not_go_together() -> None:
    app = App("s", url="memory://")
    with pytest.raises(ConfigError, match="cannot be a function"):
        app.task(name="s.report", schedule="0 3 * * *", key=lambda: "today")(lambda: None)


def test_a_test_moves_the_clock_to_when_something_is_due() -> None:
    app = App("s", url="memory://")

    @app.task(name="s.nightly", schedule="0 3 * * *", timezone=LONDON)
    def nightly() -> str:
        return "done"

    with app.testing() as jobs:
        assert jobs.drain() == []
        jobs.clock.advance("25h")
        [job] = jobs.drain()
        assert (job.result, job.record.tags) == ("done", ("schedule:s.nightly",))
        assert jobs.drain() == []


def test_a_look_at_one_schedule_asks_once_what_is_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    app = App("shop", url=f"sqlite:///{tmp_path / 'shop.db'}")

    @app.task(schedule="0 3 * * *", timezone=LONDON, name="shop.nightly")
    def nightly() -> None: ...

    app.backend.publish(WorkerInfo(id="w", host="here", pid=0), app.manifest())
    app.close()
    calls: list[object] = []
    published = SQLiteBackend.published

    def counted(self: SQLiteBackend, names: Sequence[str] | None = None) -> dict[str, TaskSpec]:
        calls.append(names)
        return published(self, names)

    monkeypatch.setattr(SQLiteBackend, "published", counted)
    command.main(["shop.nightly", "--url", f"sqlite:///{tmp_path / 'shop.db'}"], standalone_mode=False)
    assert "the clocks go" in capsys.readouterr().out
    assert len(calls) == 1
