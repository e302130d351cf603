"""app.batch and then=: what callers, and the final job itself, see of them."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from narrowboat import (
    App,
    BatchHandle,
    ConfigError,
    File,
    Needs,
    Queue,
    QueueFull,
    Retry,
    State,
    UnknownBatch,
    WaitTimeout,
    current_job,
)
from narrowboat.app import batch as batching
from narrowboat.backends.sqlite import connection as sqlite_connection
from narrowboat.cli.batches import command

app = App("photos", url="memory://")
told: list[tuple[int, int, int, int]] = []
broken: set[int] = set()


@app.task(retry=Retry(1))
def thumbnail(photo: int) -> int:
    if photo in broken:
        raise ValueError("no photo")
    return photo


@app.task(key="report")
def report(album: str = "May") -> None:
    job = current_job()
    assert job is not None
    batch = job.batch
    assert batch is not None
    told.append((batch.total, batch.succeeded, batch.dead, batch.cancelled))


@app.task(needs=Needs(enqueue=["tests.unit.test_batches.thumbnail"]))
def nested() -> None:
    app.batch([thumbnail.job(1)])


@app.task
def shrink(photo: File) -> None: ...


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    told.clear()
    broken.clear()
    yield


def test_the_final_job_runs_after_all_others_and_knows_how_they_ended() -> None:
    with app.testing() as rehearsal:
        batch = app.batch([thumbnail.job(n) for n in range(3)], then=report.job(), summary="album May")
        assert (batch.total, batch.succeeded, batch.open, batch.then) == (3, 0, 3, None)
        assert [job.state for job in batch.jobs] == [State.QUEUED] * 3
        assert batch.jobs[0].record.batch == batch.id
        rehearsal.drain()
        batch.refresh()
        assert (batch.succeeded, batch.open, batch.has_ended, batch.is_finished) == (3, 0, True, True)
        assert batch.then is not None
        assert batch.then.state is State.SUCCEEDED
        assert batch.record.summary == "album May"
        assert told == [(3, 3, 0, 0)]
        assert app.get_batch(batch.id) == batch


def test_a_dead_job_holds_the_batch_until_its_retry_succeeds() -> None:
    broken.add(1)
    with app.testing(errors="record") as rehearsal:
        batch = app.batch([thumbnail.job(n) for n in range(3)], then=report.job())
        rehearsal.drain()
        assert batch.wait("1s").has_ended
        assert (batch.succeeded, batch.dead, batch.is_finished) == (2, 1, False)
        broken.clear()
        [job] = batch.find(State.DEAD)
        assert job.retry()
        rehearsal.drain()
        assert batch.refresh().is_finished
        assert told == [(3, 3, 0, 0)]


def test_a_batch_that_waits_for_ends_tells_its_final_job_what_died() -> None:
    broken.add(1)
    with app.testing(errors="record") as rehearsal:
        batch = app.batch([thumbnail.job(n) for n in range(3)], then=report.job(), when="ended")
        batch.jobs[0].cancel()
        rehearsal.drain()
        assert told == [(3, 1, 1, 1)]
        assert batch.refresh().is_finished


def test_a_job_with_then_is_followed_once() -> None:
    with app.testing() as rehearsal:
        job = thumbnail.using(then=report.job("June")).enqueue(7)
        rehearsal.assert_not_enqueued(report)
        rehearsal.drain()
        assert job.refresh().state is State.SUCCEEDED
        assert len(rehearsal.enqueued(report, "June")) == 1
        assert told == [(1, 1, 0, 0)]
        assert app.backend.latest_batches() == []


def test_what_is_left_out_for_its_key_is_not_waited_for() -> None:
    with app.testing() as rehearsal:
        first = thumbnail.using(key="one").enqueue(1)
        batch = app.batch([thumbnail.using(key="one").job(1), thumbnail.job(2)], then=report.job())
        assert batch.jobs[0] == first
        assert not batch.jobs[0].created
        assert batch.total == 1
        again = thumbnail.using(key="one", then=report.job()).enqueue(1)
        assert not again.created
        rehearsal.drain()
        assert told == [(1, 1, 0, 0)]  # of the batch alone


def test_the_final_job_has_no_key_that_could_keep_it_away() -> None:
    with app.testing() as rehearsal:
        other = report.using(run_after="1h").enqueue()
        app.batch([], then=report.job())
        rehearsal.drain()
        assert told == [(0, 0, 0, 0)]
        assert other.state is State.SCHEDULED


def test_a_large_batch_is_written_in_parts_and_sealed_by_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batching, "PART", 10)
    with app.testing(inline=True):
        batch = app.batch((thumbnail.job(n) for n in range(25)), then=report.job())
        assert (batch.total, batch.is_finished) == (25, True)
        assert told == [(25, 25, 0, 0)]


def test_a_call_that_breaks_off_leaves_a_batch_that_shows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batching, "PART", 2)

    def jobs() -> Iterator[object]:
        yield from (thumbnail.job(n) for n in range(4))
        raise KeyError("album")

    with app.testing() as rehearsal:
        with pytest.raises(KeyError):
            app.batch(jobs(), then=report.job())  # type: ignore[arg-type]
        rehearsal.drain()
        [batch] = app.backend.latest_batches()
        assert (batch.total, batch.succeeded, batch.is_sealed, batch.finished_at) == (2, 2, False, None)
        assert told == []


def test_a_limited_queue_takes_all_of_a_batch_or_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batching, "PART", 2)
    small = App("small", url="memory://", queues=[Queue("default", waiting=5)])

    @small.task(name="t.one")
    def one() -> None: ...

    with small.testing() as rehearsal:
        with pytest.raises(QueueFull):
            small.batch([one.job() for _ in range(6)])
        assert rehearsal.enqueued() == []
        assert small.backend.latest_batches() == []
        assert small.batch([one.job() for _ in range(5)]).total == 5


def test_a_whole_batch_can_be_cancelled() -> None:
    with app.testing() as rehearsal:
        batch = app.batch([thumbnail.job(n) for n in range(120)], then=report.job())
        assert batch.cancel("wrong album") == 120
        rehearsal.drain()
        assert (batch.cancelled, batch.has_ended, batch.is_finished) == (120, True, False)
        assert batch.jobs[0].record.reason == "wrong album"


def test_waiting_runs_a_rehearsal_and_ends_when_time_must_pass() -> None:
    with app.testing():
        assert app.batch([thumbnail.job(1)]).wait().succeeded == 1
        with pytest.raises(WaitTimeout):
            app.batch([thumbnail.using(run_after="1h").job(1)]).wait()


def test_a_batch_is_in_the_callers_transaction_or_nowhere(tmp_path: Path) -> None:
    mine = App("mine", url=f"sqlite:///{tmp_path}/nb.db")

    @mine.task(name="t.mine")
    def work() -> None: ...

    mine.backend.stats()
    connection = sqlite3.connect(tmp_path / "nb.db")
    batch = mine.batch([work.job() for _ in range(3)], then=work.job(), connection=connection)
    connection.rollback()
    with pytest.raises(UnknownBatch):
        batch.refresh()
    batch = mine.batch([work.using(connection=connection).job() for _ in range(3)], then=work.job())
    one = work.using(then=work.job(), connection=connection).enqueue()
    with pytest.raises(UnknownBatch):
        mine.get_batch(batch.id)
    connection.commit()
    connection.close()
    assert batch.refresh().total == 3
    assert one.state is State.QUEUED
    assert mine.backend.audit() == []
    mine.close()


def test_async_code_makes_batches_too() -> None:
    async def make() -> BatchHandle:
        batch = await app.abatch([thumbnail.job(1), thumbnail.job(2)], then=report.job())
        return await batch.await_()

    with app.testing():
        assert asyncio.run(make()).succeeded == 2


def test_what_cannot_be_is_refused() -> None:
    with app.testing(errors="record") as rehearsal:
        with pytest.raises(ConfigError, match="when="):
            app.batch([], when="sometimes")  # type: ignore[arg-type]
        with pytest.raises(ConfigError, match="no then= of its own"):
            app.batch([thumbnail.using(then=report.job()).job(1)])
        with pytest.raises(ConfigError, match="no then= and no connection="):
            app.batch([], then=thumbnail.using(then=report.job()).job(1))
        with pytest.raises(ConfigError, match="no files"):
            app.batch([], then=shrink.job(File(__file__)))
        job = nested.enqueue()
        rehearsal.drain()
        assert "a task makes no batches" in job.record.history[0].error.message  # type: ignore[union-attr]
        with pytest.raises(UnknownBatch):
            app.get_batch("01J9ZK")


def test_a_database_of_the_version_before_is_brought_up_to_date(tmp_path: Path) -> None:
    path = tmp_path / "nb.db"
    mine = App("mine", url=f"sqlite:///{path}")

    @mine.task(name="t.old")
    def work() -> None: ...

    old = work.enqueue()
    mine.close()
    with sqlite3.connect(path) as connection:
        connection.executescript(
            "DROP INDEX job_keyed; DROP INDEX job_batch; DROP TABLE batch; ALTER TABLE job DROP COLUMN batch;"
            "PRAGMA user_version = 5"
        )
    connection.close()
    assert mine.batch([work.job()]).total == 1
    assert mine.get(old.id).state is State.QUEUED
    assert mine.backend.audit() == []
    mine.close()
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (sqlite_connection.SCHEMA_VERSION,)
    connection.close()


def test_the_command_shows_and_cancels_a_batch(tmp_path: Path) -> None:
    mine = App("mine", url=f"sqlite:///{tmp_path}/nb.db")

    @mine.task(name="t.mine")
    def work() -> None: ...

    batch = mine.batch([work.job(), work.job()], then=work.job(), summary="May")
    work.using(then=work.job()).enqueue()
    where = ["--url", f"sqlite:///{tmp_path}/nb.db"]

    def said(*words: str) -> str:
        return CliRunner().invoke(command, [*words, *where]).output

    assert "under way: May" in said()
    assert len(said().splitlines()) == 2  # a batch of one is not listed
    assert said(batch.id, "--cancel").startswith("2 jobs cancelled")
    assert "held open: May" in said(batch.id)
    assert f'"id":"{batch.id}"' in said("--json")
    assert isinstance(CliRunner().invoke(command, ["01J9ZK", *where]).exception, UnknownBatch)
    mine.close()
