"""narrowboat retry"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import click

from ..app.again import Which, changed, counted, jobs_of, refuse_changes
from ..backends.base import Backend, Change
from ..core import codec
from ..core.errors import ConfigError
from ..core.states import State
from ..core.units import many, seconds
from .common import backend_of, checked_id, say, url_option
from .layout import table

AT_ONCE = 200
NOT_RETRIED = "was not retried: not dead or cancelled, or not there"


@click.command("retry")
@click.argument("job_ids", metavar="[ID...]", nargs=-1)
@click.option("--dead", is_flag=True, help="All dead jobs, or those that match what else is said.")
@click.option("--cancelled", is_flag=True, help="All cancelled jobs, likewise.")
@click.option("--task", help="Only jobs of this task.")
@click.option("-q", "--queue", help="Only jobs of this queue.")
@click.option("--tag", help="Only jobs with this tag.")
@click.option("--error", metavar="PATTERN", help="Only jobs that ended with such a reason: 'Timeout*'.")
@click.option("--set", "settings", metavar="NAME=JSON", multiple=True, help="With another argument. May be repeated.")
@click.option("--run-after", metavar="DURATION", default="0", help="After a while, such as 10m.")
@click.option("-y", "--yes", is_flag=True, help="Do it; without, those that match are counted only.")
@url_option
def command(
    job_ids: tuple[str, ...],
    dead: bool,
    cancelled: bool,
    task: str | None,
    queue: str | None,
    tag: str | None,
    error: str | None,
    settings: tuple[str, ...],
    run_after: str,
    yes: bool,
    url: str | None,
) -> None:
    """Queue dead or cancelled jobs again, with fresh attempts: these, or all that match. Their history stays."""
    backend, changes, delay_s = backend_of(url), _changes(settings), seconds(run_after)
    states = frozenset(state for state, is_meant in ((State.DEAD, dead), (State.CANCELLED, cancelled)) if is_meant)
    if bool(job_ids) == bool(states):
        raise ConfigError("name jobs by their ids, or say --dead or --cancelled for all that match")
    if job_ids:
        ids = [checked_id(job_id) for job_id in job_ids]
        done = _retried(backend, ids, changes, delay_s)
        for job_id, was_retried in zip(ids, done, strict=True):
            say(f"{job_id} {'is queued again' if was_retried else NOT_RETRIED}")
        if not all(done):
            raise click.exceptions.Exit(4)
        return
    which = Which(states=states, task=task, queue=queue, tag=tag, error=error)
    found = counted(jobs_of(backend, which))
    if not found:
        say("no jobs match")
        return
    table([[str(n), *what] for what, n in found.most_common()], ["JOBS", "TASK", "STATE", "ERROR"])
    if changes:
        _refuse(backend, changes, {task for task, _, _ in found})
    if not yes:
        say(f"{many(found.total(), 'job')}; say --yes to queue them again")
        return
    ids = [job.id for job in jobs_of(backend, which)][::-1]  # the oldest first
    say(f"{many(_all_retried(backend, ids, changes, delay_s), 'job')} of {len(ids):,} queued again")


def _all_retried(backend: Backend, ids: Sequence[str], changes: dict[str, Any], delay_s: float) -> int:
    done = 0
    with click.progressbar(length=len(ids), file=sys.stderr, hidden=len(ids) <= AT_ONCE) as bar:
        for start in range(0, len(ids), AT_ONCE):
            part = ids[start : start + AT_ONCE]
            done += sum(_retried(backend, part, changes, delay_s))
            bar.update(len(part))
    return done


def _refuse(backend: Backend, changes: dict[str, Any], tasks: set[str]) -> None:
    """Before any job is changed: raises BadArguments if those of one of the tasks cannot be."""
    specs = backend.published(sorted(tasks))
    for task in sorted(tasks):
        refuse_changes(changes, specs.get(task), task)


def _retried(backend: Backend, ids: Sequence[str], changes: dict[str, Any], delay_s: float) -> list[bool]:
    if not changes:
        return backend.retry(ids, Change(delay_s=delay_s))
    jobs = backend.get(ids)
    specs = backend.published(sorted({job.task for job in jobs if job is not None}))
    args = [None if job is None else changed(job.args, changes, specs.get(job.task), job.task) for job in jobs]
    return [
        new is not None and backend.retry([job_id], Change(args=new, delay_s=delay_s))[0]
        for job_id, new in zip(ids, args, strict=True)
    ]


def _changes(settings: Sequence[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals or not name.isidentifier():
            raise ConfigError(f"--set {setting!r}: write NAME=JSON, such as width=200 or 'name=\"Ann\"'")
        try:
            found[name] = codec.decode(text.encode())
        except codec.UNREADABLE:
            found[name] = text  # a text without quotes
    return found
