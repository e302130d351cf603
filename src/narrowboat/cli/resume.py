"""narrowboat resume"""

from __future__ import annotations

import click

from ..app.pauses import scope_of
from .common import backend_of, say, url_option
from .pause import named, waiting


@click.command("resume")
@click.argument("queue", required=False)
@click.option("--task", metavar="NAME", help="This task instead of a queue.")
@click.option("--breaker", metavar="NAME", help="Close this breaker instead.")
@url_option
def command(queue: str | None, task: str | None, breaker: str | None, url: str | None) -> None:
    """End a pause, or close a breaker. Workers begin at once with what has waited."""
    backend = backend_of(url)
    scope = scope_of(queue, task, breaker)
    there = waiting(backend, scope)  # before workers take it
    if not backend.open(scope):
        say(f"{named(scope)} was not paused")
        return
    say(f"{named(scope)} is resumed")
    if there:
        say(there)
