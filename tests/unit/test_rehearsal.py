"""Testing one's own app: `app.testing()`."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import AsyncGenerator, Generator
from datetime import UTC, datetime, timedelta
from typing import Annotated

import pytest

from narrowboat import (
    Accept,
    App,
    BackendUnavailable,
    BadArguments,
    Cancel,
    ConfigError,
    DeadJob,
    File,
    FileMissing,
    FileTypeRefused,
    JobFailed,
    Needs,
    Retry,
    RetryIn,
    RunningJob,
    Snooze,
    State,
    WaitTimeout,
    current_job,
    progress,
)


@pytest.fixture
def app() -> App:
    return App("shop")


def test_what_was_enqueued_is_asserted(app: App) -> None:
    @app.task(name="shop.thumbnail", queue="images")
    def thumbnail(path: str, width: int = 320) -> str:
        return f"{path}@{width}"

    with app.testing() as jobs:
        thumbnail.enqueue("cat.jpg", width=200)
        thumbnail.using(priority=5).enqueue("dog.jpg")
        assert jobs.assert_enqueued(thumbnail, width=200).record.queue == "images"
        assert jobs.assert_enqueued(thumbnail, "dog.jpg").record.priority == 5
        assert jobs.assert_enqueued(thumbnail, width=320).id == jobs.enqueued()[1].id  # defaults count
        assert len(jobs.enqueued(thumbnail)) == 2
        jobs.assert_not_enqueued(thumbnail, width=7)
        with pytest.raises(AssertionError) as missing:
            jobs.assert_enqueued(thumbnail, width=7)
        with pytest.raises(AssertionError, match="was enqueued; enqueued were"):
            jobs.assert_not_enqueued(thumbnail, "cat.jpg")
        with pytest.raises(BadArguments, match="widht"):
            jobs.assert_enqueued(thumbnail, widht=200)
    assert str(missing.value) == (
        "no job shop.thumbnail(width=7) was enqueued; enqueued were:\n"
        "  shop.thumbnail(path='cat.jpg', width=200) is queued\n"
        "  shop.thumbnail(path='dog.jpg') is queued"
    )


def test_nothing_runs_before_it_is_drained_and_results_are_typed(app: App) -> None:
    ran: list[str] = []

    @app.task(name="shop.when")
    def when(day: datetime) -> datetime:
        ran.append("sync")
        assert day.tzinfo is not None
        return day + timedelta(days=1)

    @app.task(name="shop.later")
    async def later(days: list[int]) -> set[int]:
        await asyncio.sleep(0)
        ran.append("async")
        return set(days)

    with app.testing() as jobs:
        day = datetime(2026, 1, 1, tzinfo=UTC)
        first, second = when.enqueue(day), later.enqueue([1, 2, 2])
        assert ran == [] and first.state is State.QUEUED
        assert jobs.drain() == [first, second]
        assert ran == ["sync", "async"]
        assert first.result == day + timedelta(days=1)
        assert second.result == {1, 2}
        assert jobs.drain() == []


def test_arguments_are_checked_and_travel_as_json(app: App) -> None:
    seen: list[object] = []

    @app.task(name="shop.take")
    def take(box: dict[str, list[int]]) -> None:
        seen.append(box)
        box["a"].append(9)

    with app.testing() as jobs:
        with pytest.raises(BadArguments, match=r"\$\.box"):
            take.enqueue({"a": ["x"]})  # type: ignore[dict-item, list-item]
        mine = {"a": [1]}
        take.enqueue(mine)
        jobs.drain()
    assert seen == [{"a": [1, 9]}] and mine == {"a": [1]}


def test_what_a_task_raises_reaches_the_test_and_the_record(app: App) -> None:
    @app.task(name="shop.fail", retry=Retry(attempts=2))
    def fail() -> None:
        raise ValueError("no such file")

    with app.testing() as jobs:
        job = fail.enqueue()
        with pytest.raises(ValueError, match="no such file"):
            jobs.drain()
        assert job.refresh().state is State.SCHEDULED
        assert job.record.history[0].error is not None
        assert "no such file" in job.record.history[0].error.traceback
        assert jobs.drain(errors="record", until_empty=True) == [job]
        assert job.refresh().state is State.DEAD and job.attempts == 2
        with pytest.raises(JobFailed, match="ValueError: no such file"):
            _ = job.result
        with pytest.raises(ConfigError, match='"raise" or "record"'):
            jobs.drain(errors="ignore")  # type: ignore[arg-type]


def test_the_clock_drives_delays_retries_and_snoozes(app: App) -> None:
    tries: list[int] = []

    @app.task(name="shop.poll", retry=Retry(attempts=3))
    def poll() -> str:
        job = current_job()
        assert job is not None
        tries.append(job.attempt)
        if len(tries) == 1:
            raise Snooze("1h")
        if len(tries) == 2:
            raise RetryIn("10m")
        return "there"

    with app.testing() as jobs:
        job = poll.using(run_after="2h").enqueue()
        began = jobs.clock.now
        assert jobs.drain() == []
        jobs.clock.advance("2h")
        jobs.drain()
        assert tries == [1] and job.refresh().record.due_at == began + 3 * 3600
        jobs.clock.advance(timedelta(minutes=59))
        assert jobs.drain() == []
        jobs.clock.advance("1m")
        jobs.drain()
        assert tries == [1, 1]
        assert jobs.drain(until_empty=True) == [job]
        assert tries == [1, 1, 2] and job.result == "there"
        assert jobs.clock.now == began + 3 * 3600 + 600
        moment = datetime.fromtimestamp(jobs.clock.now + 60, UTC)
        poll.using(run_after=moment).enqueue()
        assert jobs.drain() == []
        jobs.clock.advance_to(moment)
        assert len(jobs.drain()) == 1
        jobs.clock.advance_to(0)
        assert jobs.clock.now == moment.timestamp()


def test_keys_hold_by_the_clock(app: App) -> None:
    @app.task(name="shop.report", key="{day}", key_for="1h")
    def report(day: str) -> None:
        pass

    with app.testing() as jobs:
        first = report.enqueue("monday")
        jobs.drain()
        assert not report.enqueue("monday").created
        jobs.clock.advance("61m")
        again = report.enqueue("monday")
        assert again.created and again != first and report.find("monday") == again


def test_a_task_enqueues_as_its_needs_say(app: App) -> None:
    @app.task(name="shop.mail")
    async def mail(to: str) -> None:
        pass

    @app.task(name="shop.newsletter", needs=Needs(enqueue=[mail]), retry=Retry(attempts=2))
    def newsletter(fails: bool) -> None:
        for person in ("ann", "bob"):
            mail.enqueue(person)
        if fails:
            raise ValueError("after enqueueing")

    @app.task(name="shop.rude", retry=1)
    def rude() -> None:
        mail.enqueue("eve")

    with app.testing() as jobs:
        newsletter.enqueue(fails=True)
        jobs.drain(errors="record")
        jobs.assert_not_enqueued(mail)
        newsletter.enqueue(fails=False)
        assert len(jobs.drain()) == 3
        assert [job.record.args for job in jobs.enqueued(mail)] == [b'{"to":"ann"}', b'{"to":"bob"}']
        rude.enqueue()
        with pytest.raises(PermissionError, match=r"may not enqueue shop\.mail"):
            jobs.drain()


def test_a_task_has_no_way_to_the_backend(app: App) -> None:
    @app.task(name="shop.peek", retry=1)
    def peek(job_id: str) -> None:
        app.get(job_id)

    with app.testing() as jobs:
        job = peek.using(run_after="1h").enqueue("")
        job = peek.enqueue(job.id)
        with pytest.raises(BackendUnavailable, match="no way to the backend"):
            jobs.drain()
        assert job.refresh().state is State.DEAD


def test_hooks_run_as_in_executors(app: App) -> None:
    said: list[str] = []
    color: contextvars.ContextVar[str] = contextvars.ContextVar("color", default="none")

    @app.executor_start
    def open_pool() -> None:
        said.append("start")

    @app.executor_start
    async def open_async_pool() -> None:
        said.append("async start")

    @app.executor_stop
    def close_pool() -> None:
        said.append("stop")

    @app.around_job
    def around(job: RunningJob) -> Generator[None]:
        said.append(f"before {job.task}")
        color.set("blue")
        yield
        said.append(f"after {job.task}")

    @app.around_job
    async def aaround(job: RunningJob) -> AsyncGenerator[None]:
        said.append(f"async before {job.task}")
        yield
        said.append(f"async after {job.task}")

    @app.task(name="shop.one")
    def one() -> None:
        said.append(f"one is {color.get()}")

    @app.task(name="shop.two")
    async def two() -> None:
        said.append(f"two is {color.get()}")

    with app.testing() as jobs:
        app.enqueue_many([one.job(), two.job()])
        jobs.drain()
        assert color.get() == "none"
    assert said == [
        "start", "before shop.one", "one is blue", "after shop.one",
        "start", "async start", "before shop.two", "async before shop.two", "two is blue",
        "async after shop.two", "after shop.two",
        "stop", "stop",
    ]  # fmt: skip


def test_the_dead_are_told_of(app: App) -> None:
    heard: list[DeadJob] = []

    @app.on_dead(name="shop.tell")
    def tell(dead: DeadJob) -> None:
        heard.append(dead)

    @app.task(name="shop.fail", retry=1)
    def fail() -> None:
        raise ValueError("no")

    with app.testing(errors="record") as jobs:
        job = fail.enqueue()
        assert len(jobs.drain()) == 2
    assert [(dead.id, dead.attempts, dead.reason) for dead in heard] == [(job.id, 1, "ValueError: no")]


def test_inline_mode_runs_within_enqueue(app: App) -> None:
    @app.task(name="shop.leaf")
    def leaf(name: str) -> str:
        progress(1, 2, name)
        return name.upper()

    @app.task(name="shop.root", needs=Needs(enqueue=[leaf]))
    async def root() -> None:
        await leaf.aenqueue("inner")

    @app.task(name="shop.fail")
    def fail() -> None:
        raise ValueError("no")

    with app.testing(inline=True) as jobs:
        job = leaf.enqueue("a")
        assert job.state is State.SUCCEEDED and job.result == "A"
        assert job.progress is not None and job.progress.message == "a"
        root.enqueue()
        assert [job.state for job in jobs.enqueued(leaf, "inner")] == [State.SUCCEEDED]
        assert leaf.using(run_after="1h").enqueue("b").state is State.SCHEDULED
        with pytest.raises(ValueError, match="no"):
            fail.enqueue()


def test_waiting_runs_the_job_or_says_that_it_would_never_end(app: App) -> None:
    @app.task(name="shop.leaf")
    def leaf() -> int:
        return 1

    with app.testing() as jobs:
        assert leaf.enqueue().wait().result == 1
        job = leaf.using(run_after="1h").enqueue()
        with pytest.raises(WaitTimeout, match="is scheduled, and time stands still until"):
            job.wait()
        jobs.clock.advance("1h")
        assert job.wait().result == 1


def test_a_task_can_cancel_itself_and_a_failed_assertion_in_it_ends_the_test(app: App) -> None:
    @app.task(name="shop.cancel")
    def cancel() -> None:
        raise Cancel("not needed")

    @app.task(name="shop.check")
    def check() -> None:
        pytest.fail("seen by pytest")

    with app.testing() as jobs:
        job = cancel.enqueue()
        jobs.drain()
        assert job.refresh().state is State.CANCELLED
        unhappy = check.enqueue()
        with pytest.raises(pytest.fail.Exception, match="seen by pytest"):
            jobs.drain()
        assert unhappy.refresh().state is State.QUEUED


def test_a_drain_that_never_ends_says_so(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("narrowboat.app.rehearsal.MOST_RUNS", 20)

    @app.task(name="shop.again")
    def again() -> None:
        raise Snooze("1h")

    with app.testing() as jobs:
        again.enqueue()
        with pytest.raises(AssertionError, match=r"20 attempts, and jobs still wait; the last was shop\.again"):
            jobs.drain(until_empty=True)


def test_the_backend_of_the_app_comes_back(app: App, tmp_path_factory: pytest.TempPathFactory) -> None:
    app = App("shop", url=f"sqlite:///{tmp_path_factory.mktemp('db')}/jobs.db")
    mine = app.backend

    @app.task(name="shop.leaf")
    def leaf() -> None:
        pass

    with app.testing(), pytest.raises(ZeroDivisionError):
        assert app.backend is not mine
        leaf.enqueue()
        raise ZeroDivisionError
    assert app.backend is mine and mine.stats() == []
    app.close()


async def _drain_in_a_loop(app: App) -> None:
    @app.task(name="shop.leaf")
    async def leaf() -> int:
        await asyncio.sleep(0)
        return 5

    with app.testing() as jobs:
        job = await leaf.aenqueue()
        await jobs.adrain()
        assert (await job.arefresh()).result == 5
        second = await leaf.aenqueue()
        jobs.drain()  # blocks this loop, and works all the same
        assert second.result == 5


def test_in_an_async_test(app: App) -> None:
    asyncio.run(_drain_in_a_loop(app))


def test_jobs_of_unknown_tasks_and_paused_queues_stay(app: App) -> None:
    @app.task(name="shop.leaf", queue="slow")
    def leaf() -> None:
        pass

    with app.testing() as jobs:
        unknown = app.enqueue_by_name("shop.other", queue="default")
        app.pause("slow", until="1h", reason="no more slots")
        paused = leaf.enqueue()
        assert jobs.drain() == []
        assert unknown.state is State.QUEUED and paused.state is State.QUEUED
        assert app.resume("slow") and not app.resume("slow")
        assert jobs.drain() == [paused]
        app.pause(task=leaf, until=timedelta(hours=1))
        assert [gate.scope for gate in app.backend.gates()] == ["task:shop.leaf"]
        assert app.resume(task="shop.leaf")
        with pytest.raises(ConfigError, match="one queue, one task or one breaker"):
            app.pause("slow", task=leaf)


def test_files_go_in_and_come_out_as_with_a_worker(app: App) -> None:
    @app.task(name="shop.turn", retry=1)
    def turn(photo: Annotated[File, Accept(types=["text/plain"])], fail: bool = False) -> list[File]:
        assert (photo.path.suffix, photo.path.stat().st_mode & 0o777) == (".txt", 0o400)
        if fail:
            return [File("/nowhere")]
        return [File.of(photo.read()[::-1], name="turned"), photo]

    with app.testing() as jobs:
        job = turn.enqueue(File.of(b"drawer", name="a"))
        jobs.assert_enqueued(turn, File.of(b"drawer", name="another name"))
        jobs.assert_not_enqueued(turn, File.of(b"another"))
        jobs.drain()
        turned, same = job.result
        assert (turned.name, turned.read(), same.read()) == ("turned", b"reward", b"drawer")
        with pytest.raises(FileTypeRefused):
            turn.enqueue(File.of(b"\x00"))
        turn.enqueue(File.of(b"x"), fail=True)
        with pytest.raises(FileNotFoundError):
            jobs.drain()
        lost = turn.job(File.of(b"gone"))
        app.files.remove(lost.new.id)
        dead = app.enqueue(lost)
        with pytest.raises(FileMissing):
            jobs.drain()
        assert dead.state is State.DEAD


def test_a_task_cannot_enqueue_files(app: App) -> None:
    @app.task(name="shop.look", untrusted=False)
    def look(photo: File) -> None: ...

    @app.task(name="shop.pass_on", needs=Needs(enqueue=[look]), retry=1)
    def pass_on() -> None:
        look.enqueue(File.of(b"x"))

    with app.testing() as jobs:
        pass_on.enqueue()
        with pytest.raises(BadArguments, match="a task cannot enqueue a job with files; return them"):
            jobs.drain()
