"""The backend is away from all hosts for two minutes, which is four leases."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from narrowboat.core.states import State
from tests.support.processes import wait_for

from .fleets import SERVERS, Fleet, fleet_on

pytestmark = pytest.mark.linux
LEASE_S = 30.0  # as by default
AWAY_S = 120.0


@pytest.fixture(params=SERVERS)
def fleet(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fleet]:
    with fleet_on(request.param, tmp_path, monkeypatch) as fleet:
        yield fleet


def test_two_minutes_away_from_all_make_no_job_run_twice(fleet: Fleet) -> None:
    with fleet.worker(0, LEASE_S) as one, fleet.worker(1, LEASE_S) as other:
        jobs = [fleet.enqueue("guard", seconds) for seconds in (AWAY_S / 4, AWAY_S / 2, AWAY_S + 5)]
        alone = fleet.enqueue("guard_alone", 2 * AWAY_S)
        fleet.until_begun(*jobs, alone)
        for host in fleet.hosts:
            host.pull()
        over = time.monotonic() + AWAY_S
        wait_for("two minutes", lambda: time.monotonic() > over, AWAY_S + 10)
        for host in fleet.hosts:
            host.plug()
        for job in jobs:
            record = job.wait("60s").record
            assert (record.state, record.attempts, record.history) == (State.SUCCEEDED, 1, ())
            assert len(fleet.said(job)) == 1
        wait_for("the exclusive one to run on", lambda: len(fleet.said(alone)[-1]) > 150 and len(fleet.said(alone)) > 1)
        before, after = fleet.said(alone)  # not more than these
        assert before[-1] < after[0], "it was stopped before its lease ended"
        assert alone.refresh().record.crashes == alone.record.errors == 0
        alone.cancel()
        assert alone.wait("20s").state is State.CANCELLED
        assert "another worker took it" not in one.output() + other.output()
        assert fleet.harbour.backend.audit() == []
