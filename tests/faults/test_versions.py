"""Changing a task while jobs of it wait: two versions of an app side by side."""

from __future__ import annotations

from pathlib import Path

from narrowboat import App
from narrowboat.core.states import State
from tests.support.processes import running_worker, wait_for

OLD = """
from narrowboat import App, Retry
app = App("shop")

@app.task(retry=Retry(attempts=1))
def greet(name: str) -> str:
    return f"old {name}"

@app.task
def before(n: int) -> str:
    return f"old {n}"
"""
NEW = """
from narrowboat import App, Retry
app = App("shop")

@app.task(retry=Retry(attempts=1))
def greet(name: str, title: str = "") -> str:
    return f"new {title}{name}"

@app.task(name="shop.after", aliases=["shop.before"])
def after(n: int) -> str:
    return f"new {n}"
"""


def version(folder: Path, code: str) -> Path:
    """A project with this code."""
    folder.mkdir()
    (folder / "shop.py").write_text(code)
    return folder


def test_two_versions_side_by_side_lose_and_charge_nothing(tmp_path: Path) -> None:
    old, new = version(tmp_path / "old", OLD), version(tmp_path / "new", NEW)
    url = f"sqlite:///{tmp_path / 'shop.db'}"
    web = App("shop", url=url)
    namespace: dict[str, object] = {"__name__": "shop"}
    exec(compile(NEW.replace('App("shop")', f'App("shop", url="{url}")'), "shop.py", "exec"), namespace)
    new_web = namespace["app"]
    assert isinstance(new_web, App)
    with running_worker("shop:app", url, old, "-n", "2") as first:
        jobs = [web.enqueue_by_name("shop.greet", f"a{n}") for n in range(100)]
        jobs += [web.enqueue_by_name("shop.before", n) for n in range(100)]
        # The web has been deployed, the workers have not: these cannot be read by what runs now.
        ahead = [namespace["greet"].enqueue(f"b{n}", title="Dr ") for n in range(20)]  # type: ignore[attr-defined]
        wait_for("one to be left", lambda: any(job.refresh().record.snoozes for job in ahead))
        assert not any(job.refresh().is_finished for job in ahead)
        with running_worker("shop:app", url, new, "-n", "2"):
            jobs += [web.enqueue_by_name("shop.greet", f"c{n}") for n in range(100)]
            jobs += [namespace["after"].enqueue(n) for n in range(50)]  # type: ignore[attr-defined]
            assert {job.wait(60).result for job in ahead} == {f"new Dr b{n}" for n in range(20)}
            for job in [*jobs, *ahead]:
                record = job.wait(30).record
                assert (record.state, record.errors, record.crashes) == (State.SUCCEEDED, 0, 0), record
            assert first.stop() == 0
            assert web.enqueue_by_name("shop.before", 7).wait(30).result == "new 7", "by its old name"
    assert new_web.backend.audit() == []
    new_web.close()
    web.close()


def test_arguments_that_fit_no_version_fail_at_once(tmp_path: Path) -> None:
    """The same code wrote and reads them (or nobody says who wrote them): nothing better will come."""
    from narrowboat.core.ids import new_job_id
    from narrowboat.core.job import NewJob

    folder = version(tmp_path / "old", OLD)
    url = f"sqlite:///{tmp_path / 'shop.db'}"
    web = App("shop", url=url)
    with running_worker("shop:app", url, folder, "-n", "1"):
        job_id = new_job_id("shop.greet")
        web.backend.enqueue([NewJob(id=job_id, task="shop.greet", args=b'{"name": 3}')])
        record = web.get(job_id).wait(30).record
        assert (record.state, record.snoozes) == (State.DEAD, 0)
        assert "$.name" in record.reason
    web.close()
