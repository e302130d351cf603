"""Schedules with real workers: three of them make one job of a time that was missed, and one that dies makes none."""

from __future__ import annotations

import contextlib
import signal
import time
from pathlib import Path

from narrowboat.app.timetable import entries
from narrowboat.backends.base import Filter
from narrowboat.backends.sqlite import SQLiteBackend
from narrowboat.core.schedule import Schedule, latest_until
from tests.support.processes import running_worker, wait_for

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
