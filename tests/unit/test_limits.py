"""Limits on waiting jobs: what an app says of them, and what SQLite does beyond the conformance suite."""

from __future__ import annotations

import multiprocessing
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from narrowboat import App, ConfigError, File, Queue, QueueFull
from narrowboat.backends.base import Filter
from narrowboat.backends.sqlite import SQLiteBackend
from narrowboat.core.job import NewJob
from narrowboat.core.queue import MAX_CLIENT, Over, Tally
from narrowboat.core.states import State
from narrowboat.files.store import SHARDS

app = App("shop", queues=[Queue("images", waiting=3, waiting_per_client=2), Queue("mail")])


@app.task(queue="images")
def thumbnail(width: int) -> int:
    return width


@app.task(queue="images")
def resize(photo: File) -> None:
    pass


@app.task(queue="mail")
def send() -> None:
    pass


@pytest.mark.parametrize(
    ("of", "why"),
    [
        (lambda: Queue("a b"), "queue 'a b'"),
        (lambda: Queue("a", waiting=0), "waiting=0"),
        (lambda: Queue("a", waiting_per_client=-1), "waiting_per_client=-1"),
        (lambda: App("x", queues=[Queue("a"), Queue("a", 5)]), "twice"),
        (lambda: thumbnail.using(client="x" * (MAX_CLIENT + 1)), "client"),
    ],
)
def test_limits_that_cannot_be_are_refused(of: object, why: str) -> None:
    assert callable(of)
    with pytest.raises(ConfigError, match=why):
        of()


def test_every_way_to_enqueue_keeps_to_the_limits_of_the_app() -> None:
    with app.testing():
        thumbnail.enqueue(1)
        thumbnail.using(run_after="1h").enqueue(2)
        with pytest.raises(QueueFull, match="the queue images is full: 2 waiting jobs, 2 more were asked for"):
            app.enqueue_many([thumbnail.job(3), thumbnail.job(4)])
        app.enqueue_by_name(thumbnail.name, width=3)
        for enqueue in (
            lambda: thumbnail.enqueue(4),
            lambda: thumbnail.using(priority=9).enqueue(4),
            lambda: app.enqueue_by_name(thumbnail.name, width=4),
        ):
            with pytest.raises(QueueFull, match="its limit is 3 in all; nothing was written, try again in about 30 s"):
                enqueue()
        assert send.enqueue().state is State.QUEUED
        assert len(thumbnail.using(queue="mail").enqueue(4).id) > 0


@pytest.mark.parametrize("client", ["user-7", "2001:db8::7"])
def test_a_client_has_its_own_limit_and_stays_on_the_record(client: str) -> None:
    with app.testing() as jobs:
        of_client = thumbnail.using(client=client)
        assert of_client.enqueue(1).record.client == client
        of_client.enqueue(2)
        with pytest.raises(QueueFull, match=f"{client} has 2 waiting jobs, its limit is 2 for each client") as refused:
            of_client.enqueue(3)
        assert (refused.value.client, refused.value.queue, refused.value.limit) == (client, "images", 2)
        thumbnail.using(client="someone else").enqueue(3)
        jobs.drain()
        of_client.enqueue(3)


def test_a_call_that_can_never_fit_says_so() -> None:
    with app.testing(), pytest.raises(QueueFull, match="enqueue fewer in one call"):
        app.enqueue_many([thumbnail.job(n) for n in range(4)])


def test_the_files_of_a_refused_job_are_not_kept() -> None:
    with app.testing() as jobs:
        app.enqueue_many([thumbnail.job(n) for n in range(3)])
        with pytest.raises(QueueFull):
            resize.enqueue(File.of(b"cat"))
        with pytest.raises(QueueFull):
            app.enqueue_by_name(resize.name, photo=File.of(b"cat"))
        assert [job for shard in SHARDS for job in jobs.files.jobs(shard)] == []


def test_the_time_to_come_back_follows_from_what_ended_lately() -> None:
    with app.testing() as jobs:
        for _ in range(5):
            thumbnail.enqueue(1)
            jobs.clock.advance(60)
            jobs.drain()
        app.enqueue_many([thumbnail.job(n) for n in range(3)])
        with pytest.raises(QueueFull) as refused:
            thumbnail.enqueue(4)
        assert refused.value.retry_after_s == pytest.approx(240 / 5)


def new(number: object, queue: str = "q", client: str = "") -> NewJob:
    return NewJob(id=f"t.a:{number}", task="t.a", queue=queue, client=client)


def _flood(path: str, name: str, start: threading.Event, taken: object) -> None:
    backend = SQLiteBackend(Path(path), timeout_s=60.0)  # the others may stand still with the lock
    start.wait(30)
    count = 0
    for number in range(60):
        try:
            backend.enqueue([new(f"{name}-{number}", client=name)], limits={"q": Queue("q", 40, 25)})
            count += 1
        except QueueFull:
            pass
    backend.close()
    taken.put((name, count))  # type: ignore[attr-defined]


def test_processes_that_enqueue_at_once_fill_a_queue_and_no_more(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    with closing(SQLiteBackend(path)) as backend:
        spawn = multiprocessing.get_context("spawn")
        start, taken = spawn.Event(), spawn.Queue()
        processes = [
            spawn.Process(target=_flood, args=(str(path), name, start, taken)) for name in ("ann", "bob", "cid")
        ]
        for process in processes:
            process.start()
        start.set()
        counts = dict(taken.get(timeout=60) for _ in processes)
        for process in processes:
            process.join(30)
        assert sum(counts.values()) == 40
        assert max(counts.values()) <= 25
        assert len(backend.find(Filter(), limit=100).jobs) == 40
        assert backend.audit() == []


def test_a_refusal_leaves_the_callers_own_transaction_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    with closing(SQLiteBackend(path)) as backend, closing(sqlite3.connect(backend.location)) as mine:
        mine.execute("CREATE TABLE orders (id)")
        limits = {"q": Queue("q", 2)}
        backend.enqueue([new(1)], into=mine, limits=limits)
        assert mine.in_transaction, "it is the caller who commits"
        mine.execute("INSERT INTO orders VALUES (1)")
        with pytest.raises(QueueFull):
            backend.enqueue([new(2), new(3)], into=mine, limits=limits)
        mine.commit()
        assert [job.id for job in backend.find(Filter()).jobs] == ["t.a:1"]
        assert mine.execute("SELECT id FROM orders").fetchall() == [(1,)]
        backend.enqueue([new(4)], into=mine, limits=limits)
        mine.rollback()
        backend.enqueue([new(5)], limits=limits)
        with pytest.raises(QueueFull):
            backend.enqueue([new(6)], limits=limits)
        assert backend.audit() == []


def test_a_file_of_before_the_first_release_is_named_as_such(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    SQLiteBackend(path).close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 1")
    with pytest.raises(ConfigError, match="start with a new file"):
        SQLiteBackend(path)


def test_whether_a_call_goes_past_a_limit_is_reckoned_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    over, reckoned = Tally.over, list[Tally]()

    def counted(self: Tally) -> Over | None:
        reckoned.append(self)
        return over(self)

    monkeypatch.setattr(Tally, "over", counted)
    with closing(SQLiteBackend(tmp_path / "jobs.db")) as backend:
        backend.enqueue([NewJob(id="shop.a:1", task="shop.a", queue="images")], limits={"images": Queue("images", 1)})
    assert len(reckoned) == 1
