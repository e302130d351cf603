"""Registering and enqueueing, on the memory backend."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from narrowboat import (
    App,
    BadArguments,
    ConfigError,
    JobFailed,
    JobNotFinished,
    Retry,
    State,
    UnknownJob,
    UnknownTask,
    WaitTimeout,
    current_job,
    progress,
)
from narrowboat.backends.base import Step, Want, WorkerInfo
from narrowboat.backends.urls import open_backend, redacted, resolve
from narrowboat.core.decide import Settlement


@pytest.fixture
def app() -> Iterator[App]:
    app = App("tests", url="memory://")
    yield app
    app.close()


def make_double(app: App):
    @app.task(name="tests.double", queue="sums", retry=Retry(attempts=5), key="arguments", key_for="1h")
    def double(number: int, times: int = 2) -> int:
        """Double a number."""
        return number * times

    return double


def run_one(app: App, result: bytes = b"", to: State = State.SUCCEEDED) -> None:
    """Claim the next job and settle it, as a worker would."""
    backend = app.backend
    manifest = app.manifest()
    backend.publish(WorkerInfo(id="w", host="h", pid=1), manifest)
    wants = tuple(Want(task.queue, frozenset({task.name}), 1) for task in manifest.tasks)
    [claim] = backend.step(Step(worker="w", seq=1, wants=wants)).claimed
    settled = Settlement(id=claim.id, token=claim.token, to=to, outcome="succeeded", result=result, reason="broken")
    backend.step(Step(worker="w", seq=2, settled=(settled,)))
    backend.leave("w")


def test_a_task_stays_a_plain_callable(app: App) -> None:
    double = make_double(app)
    assert double(4) == 8
    assert double.__name__ == "double"
    assert double.__doc__ == "Double a number."


def test_a_result_comes_back_as_annotated(app: App) -> None:
    job = make_double(app).enqueue(21)
    with pytest.raises(JobNotFinished, match="queued"):
        _ = job.result
    run_one(app, b"42")
    assert job.wait(1).result == 42


def test_a_dead_job_has_no_result_but_a_reason(app: App) -> None:
    job = make_double(app).enqueue(21)
    run_one(app, to=State.DEAD)
    with pytest.raises(JobFailed, match="dead: broken"):
        _ = job.refresh().result


def test_waiting_in_vain_says_so(app: App) -> None:
    with pytest.raises(WaitTimeout, match="still queued"):
        make_double(app).enqueue(1).wait(0.05)


def test_the_same_key_finds_the_job_that_is_there(app: App) -> None:
    double = make_double(app)
    assert double.find(1) is None
    first = double.enqueue(1)
    again = double.enqueue(1, times=2)  # the default, said aloud
    assert (first.created, again.created, again.id) == (True, False, first.id)
    assert double.enqueue(2).id != first.id
    run_one(app, b"2")
    found = double.find(number=1)
    assert found is not None
    assert found.result == 2
    assert double.enqueue(1).id == first.id  # held for an hour after success


def test_keys_may_be_texts_templates_and_functions(app: App) -> None:
    double = make_double(app)
    for key in ("fixed", "n-{number}", lambda number, times=2: f"f-{number}"):
        first = double.using(key=key).enqueue(7)
        assert double.using(key=key).enqueue(7).id == first.id
    with pytest.raises(BadArguments, match="arguments: number, times"):
        double.using(key="{wrong}").enqueue(1)


def test_find_without_a_key_says_what_to_declare(app: App) -> None:
    @app.task(name="tests.plain")
    def plain() -> None: ...

    with pytest.raises(ConfigError, match='key="arguments"'):
        plain.find()


def test_options_travel_with_the_job(app: App) -> None:
    double = make_double(app)
    later = datetime.now(UTC) + timedelta(hours=1)
    bound = double.using(
        priority=5, run_after=later, tags=["vip"], summary="times {times}", headers={"traceparent": "00"}
    )
    record = bound.enqueue(1, times=3).record
    assert (record.state, record.priority, record.tags) == (State.SCHEDULED, 5, ("vip",))
    assert (record.summary, record.headers, record.queue) == ("times 3", {"traceparent": "00"}, "sums")
    assert record.due_at == pytest.approx(later.timestamp())
    assert double.using(run_after="10m", key="other").enqueue(1).state is State.SCHEDULED


@pytest.mark.parametrize(
    "options", [{"priority": 101}, {"run_after": "-1"}, {"run_after": datetime(2026, 1, 1)}, {"tags": "vip"}]
)
def test_options_that_cannot_be_are_refused(app: App, options: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        make_double(app).using(**options).enqueue(1)  # type: ignore[arg-type]


def test_many_jobs_in_one_call(app: App) -> None:
    double = make_double(app)
    jobs = app.enqueue_many([double.job(n) for n in range(10)])
    assert len({job.id for job in jobs}) == 10
    assert app.get(jobs[3].id).record.args == b'{"number":3}'


def test_async_twins(app: App) -> None:
    double = make_double(app)

    async def scenario() -> int:
        job = await double.aenqueue(5)
        await double.using(priority=1).aenqueue(6)
        run_one(app, b"12")
        run_one(app, b"10")
        await job.await_(1)
        await job.arefresh()
        return job.result

    assert asyncio.run(scenario()) == 10


def test_enqueue_by_name_uses_what_workers_published(app: App) -> None:
    make_double(app)
    web = App("web")
    web._backend = app.backend  # pyright: ignore[reportPrivateUsage]  (the same store, another process in life)
    with pytest.raises(UnknownTask, match="pass queue="):
        web.enqueue_by_name("tests.double", 1)
    app.backend.publish(WorkerInfo(id="w", host="h", pid=1), app.manifest())
    record = web.enqueue_by_name("tests.double", 1, times=4).record
    assert (record.queue, record.args) == ("sums", b'{"number":1,"times":4}')
    with pytest.raises(UnknownTask, match=r"did you mean tests\.double"):
        web.enqueue_by_name("tests.duoble", 1)
    for args, kwargs, message in (
        ((), {}, "missing number"),
        ((1,), {"number": 2}, "given twice: number"),
        ((1,), {"wrong": 2}, "takes no wrong"),
        ((1, 2, 3), {}, "3 arguments given"),
    ):
        with pytest.raises(BadArguments, match=message):
            web.enqueue_by_name("tests.double", *args, **kwargs)
    assert web.enqueue_by_name("tests.unknown", queue="sums", a=1).state is State.QUEUED


def test_ids_that_are_none(app: App) -> None:
    with pytest.raises(UnknownJob, match="is not a job id"):
        app.get("../../etc/passwd")
    with pytest.raises(UnknownJob, match="never existed"):
        app.get("tests.double:01M84DV5TCF1RXYBB2A2J0ZYNB")


def test_cancel_of_a_waiting_job(app: App) -> None:
    job = make_double(app).enqueue(1)
    assert job.cancel("no need") is State.CANCELLED
    assert job.record.reason == "no need"


def test_outside_of_a_job_progress_does_nothing_and_there_is_no_current_job() -> None:
    progress(1, 2, "unheard")
    assert current_job() is None


def test_two_tasks_of_one_name_are_refused(app: App) -> None:
    make_double(app)
    with pytest.raises(ConfigError, match="two tasks are named"):
        make_double(app)


def test_a_task_without_a_path_is_refused(app: App) -> None:
    with pytest.raises(ConfigError, match="top of a module"):

        @app.task
        def inner() -> None: ...


@pytest.mark.parametrize("options", [{"queue": "a b"}, {"timeout": 0}, {"memory": "much"}, {"priority": 1000}])
def test_task_options_that_cannot_be_are_refused(app: App, options: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        app.task(name="tests.bad", **options)(lambda: None)  # type: ignore[call-overload]


def test_a_script_does_not_name_its_tasks_main(tmp_path: Path) -> None:
    script = tmp_path / "shop.py"
    script.write_text(
        "from narrowboat import App\napp = App('shop')\n@app.task\ndef sell() -> None: ...\nprint(sell.name)\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    assert done.stdout == "shop.sell\n"


def test_importing_narrowboat_loads_no_backend() -> None:
    code = (
        "import sys, narrowboat; narrowboat.App('a'); print([m for m in sys.modules if 'sqlite' in m or 'memory' in m])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.linux  # the portable part needs a temporary folder itself
@pytest.mark.parametrize(
    ("task", "loaded"),
    [
        ("@app.task(name='a.sell')\ndef sell(of: int) -> int: ...", []),
        ("@app.task(name='a.sell')\nasync def sell(of: int) -> int: ...", ["asyncio"]),
        ("@app.task(name='a.sell')\ndef sell(of: File) -> None: ...", ["lzma", "random", "tempfile"]),
    ],
)
def test_executors_are_forked_from_no_more_than_their_tasks_take(task: str, loaded: list[str]) -> None:
    code = (
        "import sys\nfrom narrowboat import App, File\nfrom narrowboat.executor import child, zygote\n"
        f"app = App('a')\n{task}\nchild.Mould(app.runnables(), app.hooks)\n"
        "heavy = {'asyncio', 'lzma', 'statistics', 'tempfile', 'tomllib', 'difflib'} & set(sys.modules)\n"
        "heavy |= {'hashlib', 'sysconfig', 'random'} & set(sys.modules)\n"
        "print(sorted(heavy), file=sys.__stdout__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == f"{loaded}\n"


@pytest.mark.parametrize("url", ["redis", "ftp://x", "mysql://user:secret@host/db", "sqlite://"])
def test_a_broken_url_is_refused_without_showing_its_password(url: str) -> None:
    with pytest.raises(ConfigError) as refused:
        open_backend(url)
    assert "secret" not in str(refused.value)
    assert redacted("redis://u:secret@h/0") == "redis://u:***@h/0"


def test_where_the_url_comes_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NARROWBOAT_URL", raising=False)
    inner = tmp_path / "deep" / "er"
    inner.mkdir(parents=True)
    monkeypatch.chdir(inner)
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    assert resolve() == (f"sqlite:///{tmp_path}/narrowboat.db", "default")
    (tmp_path / "pyproject.toml").write_text("[tool.narrowboat]\nurl = 'sqlite:////srv/jobs.db'\n")
    assert resolve() == ("sqlite:////srv/jobs.db", "pyproject.toml, [tool.narrowboat] url")
    monkeypatch.setenv("NARROWBOAT_URL", "memory://")
    assert resolve()[0] == "memory://"
    assert resolve("sqlite:///x.db") == ("sqlite:///x.db", "argument")
