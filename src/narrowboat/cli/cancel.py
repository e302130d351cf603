"""narrowboat cancel"""

from __future__ import annotations

import click

from ..core.states import State
from .common import backend_of, checked_id, say, url_option


@click.command("cancel")
@click.argument("job_ids", metavar="ID...", nargs=-1, required=True)
@click.option("--reason", default="", help="Shown with the job.")
@url_option
def command(job_ids: tuple[str, ...], reason: str, url: str | None) -> None:
    """Cancel jobs: waiting ones at once, running ones within about a second. Finished jobs stay as they are."""
    states = backend_of(url).cancel([checked_id(job_id) for job_id in job_ids], reason)
    for job_id, state in zip(job_ids, states, strict=True):
        say(f"{job_id} {_sentence(state)}")
    if None in states:
        raise click.exceptions.Exit(4)


def _sentence(state: State | None) -> str:
    if state is None:
        return "is not known"
    if state is State.RUNNING:
        return "is running; its worker has been asked to stop it"
    return "is cancelled" if state is State.CANCELLED else f"had already ended: {state}"
