"""Values and decisions."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from narrowboat import ConfigError, Retry
from narrowboat.core import keys
from narrowboat.core.codec import printable
from narrowboat.core.decide import Settlement, decide
from narrowboat.core.errors import BadArguments
from narrowboat.core.ids import is_task_name, new_job_id, task_of, ulid
from narrowboat.core.job import Claim
from narrowboat.core.outcome import Cancelled, Crashed, ErrorInfo, Failed, Outcome, Released, Snoozed, Succeeded
from narrowboat.core.retry import RetryPolicy, backoff_s
from narrowboat.core.states import FINAL, TRANSITIONS, State, can_move
from narrowboat.core.units import seconds, size

ERROR = ErrorInfo(type="ValueError", message="no\nmore")


def claim(errors: int = 0, crashes: int = 0) -> Claim:
    return Claim(id="t:1", task="t", queue="q", token=7, args=b"{}", errors=errors, crashes=crashes)


def outcome_of(outcome: Outcome, errors: int = 0, crashes: int = 0, policy: RetryPolicy | None = None) -> Settlement:
    return decide(claim(errors, crashes), outcome, policy or RetryPolicy(), lambda: 0.5)


def test_an_error_is_tried_again_until_the_attempts_are_spent() -> None:
    assert outcome_of(Failed(ERROR)).to is State.SCHEDULED
    assert outcome_of(Failed(ERROR), errors=1).to is State.SCHEDULED
    last = outcome_of(Failed(ERROR), errors=2)
    assert (last.to, last.reason) == (State.DEAD, "ValueError: no")


def test_an_error_that_retry_does_not_cover_is_dead_at_once() -> None:
    assert outcome_of(Failed(ERROR, retry=False)).to is State.DEAD


def test_crashes_have_a_limit_of_their_own() -> None:
    policy = RetryPolicy(attempts=10, crashes=2)
    assert outcome_of(Crashed("SIGSEGV"), policy=policy).to is State.SCHEDULED
    assert outcome_of(Crashed("SIGSEGV"), errors=5, policy=policy).to is State.SCHEDULED
    assert outcome_of(Crashed("SIGSEGV"), crashes=1, policy=policy).reason == "crashed: SIGSEGV"
    assert outcome_of(Crashed("SIGSEGV"), errors=9, policy=policy).to is State.DEAD


def test_the_outcomes_that_charge_nothing() -> None:
    assert outcome_of(Snoozed(9), errors=2).delay_s == 9
    assert outcome_of(Released("drain"), errors=2).to is State.QUEUED
    assert outcome_of(Cancelled("enough")).reason == "enough"
    assert outcome_of(Succeeded(b"1")).result == b"1"


def test_every_settlement_is_a_move_of_the_table() -> None:
    outcomes: list[Outcome] = [Succeeded(), Failed(ERROR), Snoozed(1), Cancelled(""), Crashed("x"), Released()]
    for outcome in outcomes:
        for errors in (0, 2):
            assert can_move(State.RUNNING, outcome_of(outcome, errors=errors).to)


def test_nothing_leaves_success_and_everything_can_end() -> None:
    assert not any(move.source is State.SUCCEEDED for move in TRANSITIONS)
    reachable = {state for state in State if state in FINAL}
    for _ in State:
        reachable |= {move.source for move in TRANSITIONS if move.target in reachable}
    assert reachable == set(State)


@given(st.integers(1, 2000), st.floats(0, 1, exclude_max=True))
def test_a_backoff_is_between_zero_and_the_longest(failures: int, draw: float) -> None:
    policy = RetryPolicy(delay_s=2, factor=3, max_delay_s=100)
    assert 0 <= backoff_s(policy, failures, lambda: draw) <= min(100, 2 * 3 ** min(failures - 1, 64))


def test_without_jitter_waits_grow_to_the_longest() -> None:
    policy = Retry(delay=1, factor=2, max_delay=5, jitter=False).policy
    assert [backoff_s(policy, n, lambda: 0.0) for n in (1, 2, 3, 4)] == [1, 2, 4, 5]


def test_retry_covers_what_it_says() -> None:
    retry = Retry(on=(OSError, ValueError), never=FileNotFoundError)
    assert retry.covers(ValueError())
    assert retry.covers(PermissionError())
    assert not retry.covers(FileNotFoundError())
    assert not retry.covers(KeyError())


@pytest.mark.parametrize("bad", [{"attempts": 0}, {"crashes": 0}, {"factor": 0.5}, {"delay": "soon"}, {"delay": -1}])
def test_a_retry_that_cannot_work_is_refused(bad: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        Retry(**bad)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "expected"), [("90s", 90), ("5m", 300), ("1h30m", 5400), (2, 2), ("1.5s", 1.5), (timedelta(days=1), 86400)]
)
def test_durations(text: float | str | timedelta, expected: float) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize("text", ["", "5 parsecs", "m5", -1, float("inf"), "1h-3m"])
def test_durations_that_are_none(text: float | str) -> None:
    with pytest.raises(ConfigError):
        seconds(text)


def test_sizes() -> None:
    assert [size("256MB"), size("1GiB"), size(5)] == [256_000_000, 2**30, 5]
    with pytest.raises(ConfigError):
        size("lots")


def test_a_job_id_says_its_task_and_sorts_by_time() -> None:
    job_id = new_job_id("studio.images.thumbnail")
    assert task_of(job_id) == "studio.images.thumbnail"
    assert ulid(1, bytes(10)) < ulid(2, bytes(10)) < ulid(2**40, bytes(10))
    assert len({new_job_id("t") for _ in range(1000)}) == 1000
    for text in ("", "thumbnail", "t:short", "t:01M84DV5TCF1RXYBB2A2J0ZYNBX", "t:01M84DV5TCF1RXYBB2A2J0ZYN\n"):
        assert task_of(text) is None


def test_task_names() -> None:
    assert is_task_name("studio.images.thumbnail")
    assert not any(map(is_task_name, ["", "a b", "a:b", ".a", "a..b", "a" * 201, "1a"]))


def test_the_same_arguments_in_any_order_are_the_same_name() -> None:
    assert keys.name_of({"a": 1, "b": [2]}) == keys.name_of({"b": [2], "a": 1})
    assert keys.name_of({"a": 1}) != keys.name_of({"a": "1"})


def test_a_key_template_that_cannot_be_filled_in_says_what_there_is() -> None:
    assert keys.fill("cat-{width}", {"width": 3}, "key") == "cat-3"
    with pytest.raises(BadArguments, match="arguments: width"):
        keys.fill("cat-{height}", {"width": 3}, "key")


def test_text_from_the_far_side_cannot_steer_a_terminal() -> None:
    assert printable("\x1b[2Jhi\r\n") == "\\x1b[2Jhi\\r\n"
