"""Values and decisions."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from narrowboat import Backoff, Breaker, ConfigError, Limit, Rate, Retry
from narrowboat.core import digest, keys
from narrowboat.core.codec import printable
from narrowboat.core.controls import Controls, controls_of
from narrowboat.core.decide import Settlement, decide
from narrowboat.core.errors import BadArguments
from narrowboat.core.ids import is_task_name, new_job_id, task_of, ulid
from narrowboat.core.job import Claim
from narrowboat.core.moments import wait_of
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


def test_a_job_that_would_be_tried_too_late_is_dead_instead() -> None:
    policy = RetryPolicy(attempts=9, delay_s=10.0, factor=1.0, max_age_s=60.0)

    def end(outcome: Outcome, age_s: float) -> Settlement:
        return decide(claim(), outcome, policy, lambda: 1.0, age_s)

    assert end(Failed(ERROR), 49).to is State.SCHEDULED
    last = end(Failed(ERROR, trips=True), 51)
    assert (last.to, last.trips) == (State.DEAD, False), "no breaker brings it back"
    assert last.reason == "ValueError: no (not tried again: over 60 s old)"
    assert end(Crashed("SIGSEGV"), 51).reason.startswith("crashed: SIGSEGV (not tried")
    assert end(Failed(ERROR, delay_s=5.0), 54).to is State.SCHEDULED
    assert end(Snoozed(9), 1000).to is State.SCHEDULED


def test_some_errors_wait_in_a_way_of_their_own() -> None:
    retry = Retry(
        backoff={TimeoutError: Backoff("1m", factor=2), (KeyError, OSError): Backoff(5, factor=1, jitter=False)}
    )
    assert retry.delay_s(TimeoutError(), 3, lambda: 1.0) == 240
    assert retry.delay_s(TimeoutError(), 3, lambda: 0.5) == 120
    assert retry.delay_s(FileNotFoundError(), 9, lambda: 0.5) == 5
    assert retry.delay_s(ValueError(), 1, lambda: 0.5) is None
    with pytest.raises(ConfigError, match="shrink"):
        Backoff(factor=0.5)


def test_a_retry_after_is_read_as_services_write_it() -> None:
    assert wait_of(None, 0.0) == 30
    assert [wait_of(text, 0.0) for text in ("120", "2m", 1.5, "400 d")] == [120, 120, 1.5, 86_400]
    assert wait_of("Thu, 01 Jan 1970 00:10:00 GMT", 540.0) == 60
    assert wait_of("Thu, 01 Jan 1970 00:10:00 GMT", 900.0) == 0
    with pytest.raises(ConfigError):
        wait_of("Thu, 99 Jan 1970 00:10:00 GMT", 0.0)


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda: Rate("fast"), "how many in how long"),
        (lambda: Rate("0/s"), "how many in how long"),
        (lambda: Rate("5/s", burst=0), "at least 1"),
        (lambda: Limit(0), "pause it"),
        (lambda: Breaker(failures=0), "at least 1"),
        (lambda: Breaker(retry_after=0), "more than 0"),
        (lambda: Breaker(within="31d"), "at most 30 d"),
        (lambda: controls_of("t", Rate("1/s", key="a:{a}"), Limit(1, key="b:{b}"), None), "the same key"),
        (lambda: controls_of("t", Rate("1/s", key="x" * 300), None, None), "200 characters"),
    ],
)
def test_controls_that_cannot_be_meant_are_refused(make: Callable[[], object], what: str) -> None:
    with pytest.raises(ConfigError, match=what):
        make()


def test_a_rate_is_read_and_said_as_people_write_it() -> None:
    for text, interval_s, burst, words in (
        ("100/m", 0.6, 1, "100/m"),
        ("5/s", 0.2, 1, "5/s"),
        ("50/s", 0.02, 5, "50/s, 5 at once"),
        ("1/10s", 10.0, 1, "6/m"),
        ("2 / h", 1800.0, 1, "2/h"),
        ("1/7d", 604_800.0, 1, "one in 7 d"),
    ):
        spec = Rate(text).spec("t")
        assert (spec.key, spec.interval_s, spec.burst, spec.words()) == ("t", pytest.approx(interval_s), burst, words)


def test_gates_of_a_lane_have_its_key_where_they_depend_on_an_argument() -> None:
    found = controls_of("t", Rate("1/s", key="tenant:{tenant}"), Limit(2, key="db"), Breaker("smtp"))
    assert found.per == "tenant:{tenant}"
    assert [gate.scope for gate in found.gates("tenant:7")] == ["breaker:smtp", "rate:tenant:7", "limit:db"]
    assert not Controls()


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
    assert ulid(1, bytes(16)) < ulid(2, bytes(16)) < ulid(2**40, bytes(16))
    assert ulid(1469918176385, bytes(range(30, 46))) == "01ARYZ6S41YZ0123456789ABCD"
    assert len({new_job_id("t") for _ in range(1000)}) == 1000
    for text in ("", "thumbnail", "t:short", "t:01M84DV5TCF1RXYBB2A2J0ZYNBX", "t:01M84DV5TCF1RXYBB2A2J0ZYN\n"):
        assert task_of(text) is None


def test_a_process_and_its_forks_make_no_id_twice() -> None:
    new_job_id("t")  # others are ready for the next ones, which a fork must not take, too
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(write, new_job_id("t").encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as answer:
        of_child = answer.read()
    os.waitpid(pid, 0)
    drawn = [job_id[-16:] for job_id in (of_child, new_job_id("t"))]
    assert len(of_child) == 28 and drawn[0] != drawn[1]


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


def test_digests_are_those_of_hashlib() -> None:
    for content in (b"", b"narrowboat", bytes(range(256)) * 9):
        assert digest.sha256(content) == hashlib.sha256(content).hexdigest()
