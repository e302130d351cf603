"""One of two hosts is cut off from the backend, and comes back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from narrowboat.core.states import State
from tests.support.processes import wait_for

from .fleets import LEASE_S, SERVERS, Fleet, fleet_on

pytestmark = pytest.mark.linux


@pytest.fixture(params=SERVERS)
def fleet(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fleet]:
    with fleet_on(request.param, tmp_path, monkeypatch) as fleet:
        yield fleet


def test_a_host_that_is_cut_off_and_comes_back_settles_nothing_twice(fleet: Fleet) -> None:
    with fleet.worker(0) as cut_off:
        plain, alone = fleet.enqueue("guard", 120.0), fleet.enqueue("guard_alone", 120.0)  # or until it is enough
        fleet.until_begun(plain, alone)
        with fleet.worker(1):
            fleet.hosts[0].pull()
            taken_over = lambda: len(fleet.said(plain)) == len(fleet.said(alone)) == 2  # noqa: E731
            wait_for("the other host to take over", taken_over, 10 * LEASE_S)
            for job in (plain, alone):
                wait_for("its attempt to be under way", lambda job=job: len(fleet.said(job)[1]) > 20)
            fleet.hosts[0].plug()
            wait_for("it to be told", lambda: "another worker took it" in cut_off.output(), 60)
            Path(f"{fleet.ledger}.enough").touch()
            for job in (plain, alone):
                record = job.wait("60s").record
                assert (record.state, record.errors, record.crashes) == (State.SUCCEEDED, 0, 1)
                assert record.history[0].error is not None and "lost worker" in record.history[0].error.message
    first, second = fleet.said(plain)
    assert first[-1] > second[0], "an attempt goes on while its worker is cut off, though in vain"
    first, second = fleet.said(alone)
    assert first[-1] < second[0], "attempts of an exclusive task never overlap"
    assert "is stopped before it may run elsewhere" in cut_off.output()
