"""What a token allows, and all that it does not."""

from __future__ import annotations

import base64
import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from narrowboat import ConfigError
from narrowboat.core.ids import new_job_id
from narrowboat.web.tokens import Signer

NOW = 1_800_000_000.0
KEY, NEW_KEY = "k" * 32, "n" * 32
signer = Signer([KEY])
jobs = st.from_regex(r"[a-z_]{1,20}(\.[a-z_]{1,20}){0,3}:[0-7][0-9A-HJKMNP-TV-Z]{25}", fullmatch=True)


@settings(deadline=None)
@given(jobs, st.booleans(), st.integers(1, 86_400))
def test_a_token_says_what_was_signed_until_it_is_over(job: str, may_cancel: bool, ttl: int) -> None:
    token = signer.sign(job, NOW, ttl, may_cancel=may_cancel)
    grant = signer.read(token, NOW + ttl - 1)
    assert grant is not None
    assert dataclasses.asdict(grant) == {
        "job": job,
        "may_cancel": may_cancel,
        "ends_at": int(NOW + ttl),
        "token": token,
    }
    assert signer.read(token, NOW + ttl) is None


@settings(deadline=None)
@given(jobs, st.data())
def test_a_token_with_any_bit_changed_is_none(job: str, data: st.DataObject) -> None:
    raw = bytearray(base64.urlsafe_b64decode(signer.sign(job, NOW, 60) + "=="))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    assert signer.read(base64.urlsafe_b64encode(raw).decode().rstrip("="), NOW) is None


@settings(deadline=None)
@given(st.text(max_size=700))
def test_no_text_of_a_stranger_is_a_token(text: str) -> None:
    assert signer.read(text, NOW) is None


def test_a_token_of_another_key_is_none() -> None:
    assert signer.read(Signer([NEW_KEY]).sign(new_job_id("shop.resize"), NOW, 60), NOW) is None


def test_a_key_is_replaced_without_a_gap() -> None:
    job = new_job_id("shop.resize")
    both = Signer.of(f"{NEW_KEY}, {KEY}")
    assert both.read(signer.sign(job, NOW, 60), NOW) is not None, "tokens of the old key are still good"
    assert Signer([NEW_KEY]).read(both.sign(job, NOW, 60), NOW) is not None, "new ones are of the new key"


@pytest.mark.parametrize("key", ["", "short", f"{KEY},short"])
def test_a_key_that_can_be_guessed_is_refused_with_the_way_to_make_one(key: str) -> None:
    with pytest.raises(ConfigError, match=r"NARROWBOAT_WEB_KEY.*at least 32.*token_urlsafe"):
        Signer.of(key)


def test_the_key_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    job = new_job_id("shop.resize")
    monkeypatch.setenv("NARROWBOAT_WEB_KEY", KEY)
    assert Signer.of(None).read(signer.sign(job, NOW, 60), NOW) is not None
    monkeypatch.delenv("NARROWBOAT_WEB_KEY")
    with pytest.raises(ConfigError, match="NARROWBOAT_WEB_KEY"):
        Signer.of(None)
