"""narrowboat pause"""

from __future__ import annotations

import time

import click

from ..app import steering
from ..app.pauses import pause, scope_of
from ..backends.base import Backend
from ..core.moments import in_short
from ..core.states import State
from ..core.units import many
from .common import backend_of, say, url_option


@click.command("pause")
@click.argument("queue", required=False)
@click.option("--task", metavar="NAME", help="This task, in whatever queue, instead of a queue.")
@click.option("--breaker", metavar="NAME", help="All that goes through this breaker, instead of a queue.")
@click.option("--until", metavar="WHEN", help="Resumed by itself then: 18:00, '2026-12-01 08:00' or 2h.")
@click.option("--reason", default="", help="Shown to whoever asks why.")
@url_option
def command(
    queue: str | None, task: str | None, breaker: str | None, until: str | None, reason: str, url: str | None
) -> None:
    """Pause a queue, a task or a breaker on every host. Running jobs finish; others wait, and none loses an attempt."""
    backend = backend_of(url)
    scope = scope_of(queue, task, breaker)
    gate = pause(backend, scope, until, reason)
    end = f"until {in_short(gate.until, time.time())}" if gate.until else "until it is resumed"
    say(f"{named(scope)} is paused {end}{f': {reason}' if reason else ''}")
    if there := waiting(backend, scope):
        say(there)


def named(scope: str) -> str:
    """ "queue email"."""
    return scope.replace(":", " ", 1)


def waiting(backend: Backend, scope: str) -> str:
    """What waits there, or that nothing of this name is known, which may be a slip."""
    kind, _, name = scope.partition(":")
    if kind == "breaker":
        is_known = steering.named(backend, scope) is not None
        return "" if is_known else f"no task of a worker names a breaker {name} yet; is the name right?"
    if kind == "task":
        return "" if backend.published([name]) else f"no worker has published a task {name} yet; is the name right?"
    for queue in backend.stats():
        if queue.queue == name and (sum(queue.counts.values()) or queue.workers):
            return f"{many(queue.counts.get(State.QUEUED, 0), 'job')} waiting there"
    return f"nothing is known of a queue {name} yet; is the name right?"
