"""A task that enqueues others: with its success, all of them and once; without it, none."""

from __future__ import annotations

import os
import signal
from collections import Counter

import pytest

from narrowboat.backends.base import Filter
from narrowboat.core import codec
from narrowboat.core.states import State
from tests.support.processes import running_worker, wait_for

from .conftest import Harbour


def mails(harbour: Harbour) -> list[int]:
    """The numbers of all mails that were ever enqueued."""
    found: list[int] = []
    cursor = None
    while True:
        page = harbour.backend.find(Filter(task="harbour.mail"), cursor, 500)
        jobs = harbour.backend.get([job.id for job in page.jobs])
        found += [codec.decode(job.args)["number"] for job in jobs if job]
        cursor = page.next
        if cursor is None:
            return sorted(found)


def test_a_newsletter_makes_its_mails_exactly_once_however_often_it_is_killed(harbour: Harbour) -> None:
    ledger, readers = harbour.folder / "ledger", 10_000
    job = harbour.module.newsletter.enqueue(str(ledger), readers)
    killed = Counter[str]()
    for round_ in range(6):
        begun = ledger.read_text().count("begin") if ledger.exists() else 0
        with running_worker("harbour:app", harbour.url, harbour.folder, "-q", "default", "-n", "1") as worker:
            wait_for("it to begin", lambda n=begun: ledger.exists() and ledger.read_text().count("begin") > n)
            if round_ % 2:
                worker.kill()
                killed["worker"] += 1
            else:
                for pid in worker.executors():
                    os.kill(pid, signal.SIGKILL)
                    killed["executor"] += 1
                wait_for("its crash", lambda: job.refresh().record.crashes or job.is_finished)
                worker.kill()
        if job.refresh().is_finished:
            break
    with running_worker("harbour:app", harbour.url, harbour.folder, "-q", "default", "-n", "1"):
        assert job.wait(90).result == readers
    assert mails(harbour) == list(range(readers))
    print(f"killed: {dict(killed)}; attempts: {job.attempts}; mails: {readers}")


def test_mails_of_an_attempt_that_fails_at_the_end_are_not_sent(harbour: Harbour) -> None:
    with running_worker("harbour:app", harbour.url, harbour.folder, "-q", "default", "-n", "1"):
        job = harbour.module.newsletter.enqueue(str(harbour.folder / "ledger"), 1000, str(harbour.folder / "fail"))
        wait_for("its failure", lambda: job.refresh().record.errors)
        assert mails(harbour) == [] or job.refresh().state is State.SUCCEEDED  # in this order: the next attempt runs
        job.wait(20)
    assert mails(harbour) == list(range(1000))


def test_an_async_task_enqueues_too(harbour: Harbour) -> None:
    with running_worker("harbour:app", harbour.url, harbour.folder, "-n", "1"):
        harbour.module.newsletter_async.enqueue(str(harbour.folder / "ledger"), 100).wait(30)
        wait_for("the mails", lambda: len(mails(harbour)) == 100)


def test_what_is_not_declared_is_refused_with_the_line_to_write(harbour: Harbour) -> None:
    with running_worker("harbour:app", harbour.url, harbour.folder, "-n", "1"):
        job = harbour.module.undeclared.enqueue("-").wait(30)
    assert job.state is State.DEAD
    assert 'needs=Needs(enqueue=["harbour.mail"])' in job.record.reason
    assert mails(harbour) == []


@pytest.mark.parametrize("handler", ["tell"])
def test_on_dead_hears_of_each_job_that_ends_dead(harbour: Harbour, handler: str) -> None:
    with running_worker("harbour:app", harbour.url, harbour.folder, "-n", "1") as worker:
        dead = [harbour.module.segfault.enqueue(), harbour.module.undeclared.enqueue("-")]
        told = harbour.folder / "told"
        wait_for("both to be told", lambda: told.exists() and told.read_text().count("\n") == 2)
        lines = sorted(told.read_text().splitlines())
        assert [line.split()[0] for line in lines] == sorted(job.id for job in dead)
        assert "SIGSEGV" in told.read_text()
        assert worker.stop() == 0
