"""narrowboat retry"""

from __future__ import annotations

import click

from .common import backend_of, checked_id, say, url_option


@click.command("retry")
@click.argument("job_ids", metavar="ID...", nargs=-1, required=True)
@url_option
def command(job_ids: tuple[str, ...], url: str | None) -> None:
    """Queue dead or cancelled jobs again, with fresh attempts. Their history stays."""
    done = backend_of(url).retry([checked_id(job_id) for job_id in job_ids])
    for job_id, was_retried in zip(job_ids, done, strict=True):
        say(f"{job_id} {'is queued again' if was_retried else 'was not retried: not dead or cancelled, or not there'}")
    if not all(done):
        raise click.exceptions.Exit(4)
