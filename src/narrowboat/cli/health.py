"""narrowboat health"""

from __future__ import annotations

import click

from .common import ago, json_option, say, say_json


@click.command("health")
@click.option("--ready", is_flag=True, help="Ask for more: every worker takes new work and reaches its backend.")
@click.option("--pid", type=int, help="Only this worker.")
@json_option
def command(ready: bool, pid: int | None, as_json: bool) -> None:
    """Say how the workers of this user on this machine are; exit status 0 only if there is one and all are alive.

    Reads what workers write down every five seconds, and asks nobody else: an outage of the backend restarts nothing.
    """
    from ..backends.whereabouts import now, workers_here

    found = [worker for worker in workers_here() if pid in (None, worker.pid)]
    for worker in found:
        if as_json:
            say_json(worker)
        else:
            alive = "alive" if worker.is_alive(now()) else f"stuck: its main loop last turned {ago(worker.turned_at)}"
            say(f"worker {worker.pid} of {worker.app}: {alive}, {worker.in_words()}")
    if not found:
        say("no worker of this user runs here")
    checks = [worker.is_ready(now()) if ready else worker.is_alive(now()) for worker in found]
    if not checks or not all(checks):
        raise click.exceptions.Exit(1)
