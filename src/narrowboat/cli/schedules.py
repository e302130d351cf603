"""narrowboat schedules"""

from __future__ import annotations

import time

import click

from ..app import timetable
from ..core.errors import ConfigError
from ..core.units import in_words
from .common import ago, backend_of, json_option, say, say_json, url_option
from .layout import table


@click.command("schedules")
@click.argument("name", required=False)
@click.option("--run", "do_run", is_flag=True, help="Make a job of it now, beside its times.")
@click.option("--pause", "do_pause", is_flag=True, help="Let its times pass without a job.")
@click.option("--resume", "do_resume", is_flag=True, help="No longer.")
@url_option
@json_option
def command(name: str | None, do_run: bool, do_pause: bool, do_resume: bool, url: str | None, as_json: bool) -> None:
    """Show what runs by itself and when; of one schedule, also its latest jobs, and days on which the clocks change."""
    backend, now = backend_of(url), time.time()
    if do_run or do_pause or do_resume:
        if name is None or do_run + do_pause + do_resume > 1:
            raise ConfigError("name one schedule, and say one of --run, --pause and --resume")
        if do_run:
            say(timetable.run_now(backend, name, now))
        else:
            timetable.pause(backend, name, do_pause, now)
            say(f"schedule {name} is {'paused' if do_pause else 'resumed'}")
        return
    found = [entry for entry in timetable.entries(backend, now) if name in (None, entry.name)]
    if as_json:
        for entry in found:
            say_json(entry)
        return
    if not found:
        say(f"no live worker declares a schedule {name}" if name else "no live worker declares a schedule")
        return
    rows = [
        [
            entry.name,
            entry.cron,
            "paused"
            if entry.is_paused
            else f"{timetable.when(entry.next, entry.timezone)}, in {in_words(entry.next - now)}",
            entry.words,
        ]
        for entry in found
    ]
    table(rows, ["SCHEDULE", "TIMES", "NEXT", "IN WORDS"])
    if name:
        for sentence in timetable.clock_changes(found[0], now):
            say(sentence)
        for job in timetable.history(backend, name):
            say(f"{job.id}  {job.state}  {ago(job.enqueued_at)}")
