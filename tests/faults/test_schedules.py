"""Schedules with real workers: three of them make one job of a time that was missed, and one that dies makes none."""

from __future__ import annotations

import contextlib
import random
import signal
import time
from collections import Counter
from pathlib import Path

from narrowboat.app.timetable import entries
from narrowboat.backends.base import Filter
from narrowboat.backends.sqlite import SQLiteBackend
from narrowboat.backends.urls import open_backend
from narrowboat.core.job import JobSummary
from narrowboat.core.schedule import Schedule, latest_until
from tests.support.processes import WorkerProcess, running_worker, wait_for

APP = """
from narrowboat import App

app = App("clockwork")

@app.task(schedule="{cron}")
def tick() -> str:
    return "tock"
"""


def test_three_workers_make_one_job_of_a_time_that_was_missed_and_then_none_too_early(tmp_path: Path) -> None:
    # Hourly, and half an hour from now at the earliest: no other time comes while this runs.
    minute = (time.localtime().tm_min + 30) % 60
    cron = f"{minute} * * * *"
    (tmp_path / "clockwork.py").write_text(APP.format(cron=cron))
    url = f"sqlite:///{tmp_path / 'clockwork.db'}"
    spec = Schedule(cron).spec("clockwork.tick")
    with contextlib.closing(SQLiteBackend(tmp_path / "clockwork.db")) as backend:
        assert backend.fire(spec.key, time.time() - 7 * 3600, None)

        def jobs() -> int:
            return len(backend.find(Filter(tag="schedule:clockwork.tick")).jobs)

        with contextlib.ExitStack() as stack:
            workers = [stack.enter_context(running_worker("clockwork:app", url, tmp_path, "-n", "1")) for _ in range(3)]
            wait_for("the job", lambda: jobs() == 1)
            workers[0].process.send_signal(signal.SIGKILL)
            workers[0].process.wait(10)
            wait_for(
                "its end",
                lambda: (
                    [job.state for job in backend.find(Filter(tag="schedule:clockwork.tick")).jobs] == ["succeeded"]
                ),
            )
            stack.enter_context(running_worker("clockwork:app", url, tmp_path, "-n", "1"))
            time_of = backend.schedules([spec.key])[spec.key].last
            assert time_of == latest_until(spec, time.time())
        assert jobs() == 1


MANY = """
from narrowboat import App, Schedule

app = App("clockwork")

@app.task(schedule=[Schedule("{cron}", name=f"n{{n}}", n=n) for n in range({times})])
def tick(n: int) -> int:
    return n
"""
TIMES, KILLS = 60, 4


def test_three_workers_killed_at_random_make_one_job_of_each_due_time(url: str, tmp_path: Path) -> None:
    seed = random.randrange(1 << 32)
    rng = random.Random(seed)
    print(f"seed {seed}")
    minute = (time.localtime().tm_min + 30) % 60
    cron = f"{minute} * * * *"  # each schedule has one time to make up for, and no other comes while this runs
    (tmp_path / "clockwork.py").write_text(MANY.format(cron=cron, times=TIMES))
    specs = [Schedule(cron, name=f"n{n}").spec("") for n in range(TIMES)]
    with contextlib.closing(open_backend(url)) as backend:
        for spec in specs:
            assert backend.fire(spec.key, time.time() - 7 * 3600, None)
        expected = {spec.key: latest_until(spec, time.time()) for spec in specs}

        def made() -> list[JobSummary]:
            return list(backend.find(Filter(task="clockwork.tick"), limit=1000).jobs)

        with contextlib.ExitStack() as stack:

            def one_more() -> WorkerProcess:
                return stack.enter_context(running_worker("clockwork:app", url, tmp_path, "-n", "1", "--lease", "3s"))

            workers = [one_more() for _ in range(3)]
            for so_far in sorted(rng.randrange(TIMES) for _ in range(KILLS)):
                wait_for("some jobs", lambda n=so_far: len(made()) > n, 30)
                victim = workers.pop(rng.randrange(3))
                victim.process.kill()
                victim.process.wait(10)
                workers.append(one_more())
            wait_for("each to end", lambda: [job.state for job in made()] == ["succeeded"] * TIMES, 60)
            states = backend.schedules(list(expected))
            assert {key: state.last for key, state in states.items()} == expected
        names = Counter(tag for job in made() for tag in job.tags)
        assert names == {f"schedule:{spec.name}": 1 for spec in specs}
        assert backend.audit() == []


def test_a_reload_brings_a_new_schedule_at_once_and_takes_the_old_one_away(tmp_path: Path) -> None:
    code = tmp_path / "clockwork.py"
    minute = (time.localtime().tm_min + 30) % 60
    old, new = f"{minute} 1 * * *", f"{minute} * * * *"
    old_key, new_key = (Schedule(cron).spec("clockwork.tick").key for cron in (old, new))
    code.write_text(APP.format(cron=old))
    url = f"sqlite:///{tmp_path / 'clockwork.db'}"
    with contextlib.closing(SQLiteBackend(tmp_path / "clockwork.db")) as backend:
        # The new one has a time to make up for: so it runs as soon as it is looked at.
        assert backend.fire(new_key, time.time() - 7 * 3600, None)
        with running_worker("clockwork:app", url, tmp_path, "-n", "1") as worker:
            wait_for("the first look", lambda: backend.schedules([old_key])[old_key].last)
            code.write_text(APP.format(cron=new) + "# longer: Python compares files by size and whole seconds")
            worker.signal(signal.SIGHUP)
            wait_for("the job", lambda: len(backend.find(Filter(tag="schedule:clockwork.tick")).jobs) == 1, 20)
            assert [entry.cron for entry in entries(backend, time.time())] == [new]
