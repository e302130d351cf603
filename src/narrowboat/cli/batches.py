"""narrowboat batches"""

from __future__ import annotations

import click

from ..app.batch import unknown_batch
from ..backends.base import Backend, Filter
from ..core.batch import Batch
from ..core.errors import ConfigError
from ..core.states import FINAL, State
from ..core.units import many
from .common import ago, backend_of, json_option, say, say_json, url_option
from .layout import table

SHOWN = 20  # jobs that hold a batch open


@click.command("batches")
@click.argument("batch_id", metavar="ID", required=False)
@click.option("--cancel", "do_cancel", is_flag=True, help="Cancel those of its jobs that have not ended.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 1000), help="At most so many.")
@url_option
@json_option
def command(batch_id: str | None, do_cancel: bool, limit: int, url: str | None, as_json: bool) -> None:
    """Show how the jobs of batches stand, newest first; of one batch, also what died in it."""
    backend = backend_of(url)
    if batch_id is None:
        if do_cancel:
            raise ConfigError("name the batch whose jobs are to be cancelled")
        found = [batch for batch in backend.latest_batches(limit) if batch.is_kept]
    else:
        if do_cancel:
            _cancel(backend, batch_id)
        [one] = backend.batches([batch_id])
        if one is None:
            raise unknown_batch(batch_id)
        found = [one]
    if as_json:
        for batch in found:
            say_json(batch)
        return
    if not found:
        say("no batch is there")
        return
    rows = [
        [
            batch.id,
            *map(str, (batch.total, batch.total - batch.ended, batch.succeeded, batch.dead, batch.cancelled)),
            ago(batch.created_at),
            ": ".join(filter(None, (_words(batch), batch.summary))),
        ]
        for batch in found
    ]
    table(rows, ["BATCH", "JOBS", "OPEN", "SUCCEEDED", "DEAD", "CANCELLED", "MADE", "NOTE"])
    if batch_id is not None:
        _show_dead(backend, batch_id)


def _words(batch: Batch) -> str:
    if batch.finished_at is not None:
        return "finished"
    if not batch.is_sealed:
        return "not all written"
    return "held open" if batch.has_ended else "under way"


def _show_dead(backend: Backend, batch_id: str) -> None:
    page = backend.find(Filter(batch=batch_id, states=frozenset({State.DEAD})), limit=SHOWN)
    for job in page.jobs:
        say(f"{job.id} is dead: {job.reason}")
    if page.next:
        say(f"more: narrowboat jobs --batch {batch_id} --state dead")


def _cancel(backend: Backend, batch_id: str) -> None:
    after, n = None, 0
    chosen = Filter(batch=batch_id, states=frozenset(State) - FINAL)
    while True:
        page = backend.find(chosen, after, limit=500)
        backend.cancel([job.id for job in page.jobs])
        n, after = n + len(page.jobs), page.next
        if after is None:
            break
    say(f"{many(n, 'job')} cancelled, or asked to stop")
