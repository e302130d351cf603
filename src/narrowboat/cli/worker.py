"""narrowboat worker"""

from __future__ import annotations

import os
import sys
from typing import Any

import click

from .common import store_given, url_option, write
from .settings import find_all, setting_options


@click.command("worker")
@click.argument("app", required=False)
@setting_options(
    "queues", "slots", "drain", "lease", "max_jobs", "max_age", "max_memory", "max_run_time", "health_port",
    "health_host", "sandbox", "executor_user", "files", "log_format",
)  # fmt: skip
@click.option("--reload", is_flag=True, help="Move over to new code when Python files below this folder change.")
@click.option("-v", "--verbose", is_flag=True, help="Log more.")
@url_option
def command(url: str | None, verbose: bool, reload: bool, **flags: Any) -> None:
    """Run a worker for APP, written as module:attribute ("studio:app").

    It works until TERM or Ctrl-C; then running jobs have --drain to finish, what is left is handed back, and
    the exit status is 0. A second signal, or QUIT, hands back at once. HUP imports the app anew and moves over
    to it, TSTP takes no new work until CONT, USR1 logs a report.
    """
    from ..core.errors import ConfigError
    from ..worker import keeper, logs

    if not hasattr(os, "fork"):
        raise ConfigError("workers need a Unix, Linux for all that they can do; enqueue and status work anywhere")
    found = {name: setting.value for name, setting in find_all(flags).items()}
    if not found["app"]:
        raise ConfigError("which app? give it as module:attribute, or set app in [tool.narrowboat] of pyproject.toml")
    is_human = logs.start(found["log_format"], verbose)
    kept = keeper.kept()
    if found["max_run_time"] is not None and kept is None:
        sys.exit(keeper.Keeper(sys.argv[1:], found["max_run_time"], found["drain"]).run())

    from ..backends.urls import open_backend, redacted, resolve
    from ..worker.settings import Settings, parse_queues, slots_for
    from ..worker.tree import ImportFailed
    from ..worker.wear import Wear
    from ..worker.worker import Worker

    named = parse_queues(found["queues"] or "")
    settings = Settings(
        app=found["app"],
        slots=slots_for(named, found["slots"]),
        queues=named,
        drain_s=found["drain"],
        lease_s=max(0.5, found["lease"]),
        path=(os.getcwd(),),
        wear=Wear(found["max_jobs"], found["max_age"], found["max_memory"]),
        kept=kept,
        health_port=found["health_port"],
        health_host=found["health_host"],
        sandbox=found["sandbox"],
        executor_user=found["executor_user"],
        files=found["files"],
        reload=reload,
    )
    where, origin = resolve(url)
    backend = open_backend(where, store_given())
    if not backend.capabilities.is_shared:
        raise ConfigError(f"{redacted(where)} lives inside one process, so no worker can share it; use sqlite:///...")
    try:
        status = Worker(settings, backend, origin, _banner if is_human else None).run()
    except ImportFailed as error:
        raise click.ClickException(f"{settings.app} cannot be imported:\n\n{error}") from None
    sys.exit(status)


def _banner(text: str) -> None:
    head, *facts = text.splitlines()
    write("\n".join([click.style(head, bold=True), *facts]))
