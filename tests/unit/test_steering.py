"""Controls as they are declared together, and as people are told how they stand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from narrowboat import App, Breaker, ConfigError, Limit, Rate
from narrowboat.app.steering import named, state_of
from narrowboat.backends.base import WorkerInfo
from narrowboat.cli import pause, resume
from narrowboat.core.controls import NEVER, Meter

DAY_S = 86_400.0


@pytest.mark.parametrize(
    ("one", "other", "what"),
    [
        ({"rate": Rate("100/m", key="mailgun")}, {"rate": Rate("50/m", key="mailgun")}, r"100/m; 50/m"),
        ({"rate": Rate("5/s", key="k")}, {"rate": Rate("5/s", burst=9, key="k")}, r"5/s; 5/s, 9 at once"),
        ({"limit": Limit(2, key="db-{n}")}, {"limit": Limit(3, key="db-{n}")}, r"2 at a time; 3 at a time"),
        ({"breaker": Breaker("smtp")}, {"breaker": Breaker("smtp", failures=9)}, r"after 5 failures.*after 9 failures"),
    ],
)
def test_tasks_that_share_a_control_share_its_numbers(one: dict[str, Any], other: dict[str, Any], what: str) -> None:
    app = App("shop", url="memory://")

    def work(n: int) -> None: ...

    app.task(name="shop.one", **one)(work)
    app.task(name="shop.same", **one)(work)
    with pytest.raises(ConfigError, match=f"tasks shop.one and shop.other share .*{what}"):
        app.task(name="shop.other", **other)(work)


def test_another_kind_or_another_key_has_numbers_of_its_own() -> None:
    app = App("shop", url="memory://")
    app.task(name="shop.one", rate=Rate("5/s", key="db"), limit=Limit(1, key="db"))(lambda: None)
    app.task(name="shop.two", rate=Rate("6/s", key="other"), limit=Limit(1, key="db"))(lambda: None)
    assert len(app.manifest().tasks) == 2


def test_a_breaker_that_is_paused_for_years_has_an_end_all_the_same() -> None:
    smtp, now = Breaker("smtp").spec("shop.mail"), 1_000_000.0
    assert state_of(smtp, Meter(until=NEVER), now) == "open until a person closes it"
    assert "one job tries" in state_of(smtp, Meter(until=now + 20 * 366 * DAY_S), now)


def test_a_control_of_one_value_is_found_by_its_name_and_no_other_kind_or_key_is(tmp_path: Path) -> None:
    app = App("shop", url=f"sqlite:///{tmp_path / 'shop.db'}")
    app.task(name="shop.report", limit=Limit(1, key="tenant:{tenant}"), rate="50/s")(lambda tenant: tenant)
    app.backend.publish(WorkerInfo(id="w", host="here", pid=0), app.manifest())
    app.adjust("limit:tenant:7", 3)
    scopes = ("limit:tenant:7", "limit:tenant:8", "limit:tenant:{tenant}")
    found = {scope: named(app.backend, scope) for scope in scopes}
    words = {scope: shown and (shown.numbers, shown.state(0.0)) for scope, shown in found.items()}
    assert words == {
        "limit:tenant:7": ("3 at a time", "0 of 3 running"),
        "limit:tenant:8": ("1 at a time", "0 of 1 running"),
        "limit:tenant:{tenant}": ("1 at a time", "one for each value"),
    }
    assert [named(app.backend, scope) for scope in ("rate:tenant:7", "limit:tenant:", "breaker:smtp")] == [None] * 3
    app.close()


def test_what_there_is_nothing_to_say_about_is_no_empty_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    app = App("shop", url=f"sqlite:///{tmp_path / 'shop.db'}")
    app.task(name="shop.mail", breaker=Breaker("smtp"))(lambda: None)
    app.backend.publish(WorkerInfo(id="w", host="here", pid=0), app.manifest())
    app.close()
    for command in (pause.command, resume.command):
        command.main(["--breaker", "smtp", "--url", f"sqlite:///{tmp_path / 'shop.db'}"], standalone_mode=False)
    assert capsys.readouterr().out == "breaker smtp is paused until it is resumed\nbreaker smtp is resumed\n"
