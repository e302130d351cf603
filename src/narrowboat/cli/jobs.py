"""narrowboat jobs"""

from __future__ import annotations

import click

from ..core.states import State
from .common import ago, backend_of, json_option, say, say_json, url_option
from .layout import table


@click.command("jobs")
@click.option("--state", "states", multiple=True, type=click.Choice([s.value for s in State]), help="May be repeated.")
@click.option("--task", help="Only jobs of this task.")
@click.option("-q", "--queue", help="Only jobs of this queue.")
@click.option("--tag", help="Only jobs with this tag.")
@click.option("--batch", metavar="ID", help="Only jobs of this batch.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 1000), help="At most so many.")
@click.option("--after", metavar="CURSOR", help="The next page; the end of a list says which.")
@url_option
@json_option
def command(
    states: tuple[str, ...],
    task: str | None,
    queue: str | None,
    tag: str | None,
    batch: str | None,
    limit: int,
    after: str | None,
    url: str | None,
    as_json: bool,
) -> None:
    """List jobs, newest first. Arguments and results are not loaded; see `narrowboat job ID`."""
    from ..backends.base import Filter

    wanted = frozenset(State(state) for state in states) or None
    page = backend_of(url).find(Filter(states=wanted, task=task, queue=queue, tag=tag, batch=batch), after, limit)
    if as_json:
        for job in page.jobs:
            say_json(job)
        return
    if not page.jobs:
        say("no jobs match")
        return
    rows = [
        [job.id, job.state, job.queue, str(job.attempts), ago(job.enqueued_at), (job.reason or job.summary)[:60]]
        for job in page.jobs
    ]
    table(rows, ["ID", "STATE", "QUEUE", "ATTEMPTS", "ENQUEUED", "NOTE"])
    if page.next:
        say(f"more: --after {page.next}")
