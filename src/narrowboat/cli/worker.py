"""narrowboat worker"""

from __future__ import annotations

import logging
import sys

import click

from .common import url_option


@click.command("worker")
@click.argument("app")
@click.option("-q", "--queues", default="", metavar="NAMES", help='Queues, with slots of their own: "images=2,email".')
@click.option("-n", "--slots", type=int, help="Executors in all; default: the sum of -q, else one a processor.")
@click.option("--drain", default="25s", show_default=True, metavar="TIME", help="How long running jobs may finish.")
@click.option("--lease", default="30s", show_default=True, metavar="TIME", help="For how long a claim holds unrenewed.")
@click.option("-v", "--verbose", is_flag=True, help="Log more.")
@url_option
def command(app: str, queues: str, slots: int | None, drain: str, lease: str, verbose: bool, url: str | None) -> None:
    """Run a worker for APP, written as module:attribute ("studio:app").

    It works until TERM or Ctrl-C; then running jobs have --drain to finish, what is left is handed back, and
    the exit status is 0. A second signal hands back at once.
    """
    from ..backends.urls import open_backend, redacted, resolve
    from ..core.errors import ConfigError
    from ..core.units import seconds
    from ..worker.nursery import ImportFailed
    from ..worker.settings import Settings, parse_queues, slots_for
    from ..worker.worker import Worker

    if sys.platform != "linux":
        raise ConfigError("workers run on Linux only so far; enqueue and status work anywhere")
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(message)s", "%H:%M:%S"))
    root = logging.getLogger("narrowboat")
    root.addHandler(handler)
    root.setLevel(logging.DEBUG if verbose else logging.INFO)

    named = parse_queues(queues)
    settings = Settings(
        app=app,
        slots=slots_for(named, slots),
        queues=named,
        drain_s=seconds(drain),
        lease_s=max(0.5, seconds(lease)),
        path=(str(_here()),),
    )
    where, origin = resolve(url)
    backend = open_backend(where)
    if not backend.capabilities.is_shared:
        raise ConfigError(f"{redacted(where)} lives inside one process, so no worker can share it; use sqlite:///...")
    try:
        status = Worker(settings, backend, origin, click.echo).run()
    except ImportFailed as error:
        raise click.ClickException(f"{app} cannot be imported:\n\n{error}") from None
    sys.exit(status)


def _here() -> str:
    import os

    return os.getcwd()
