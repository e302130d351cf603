"""narrowboat doctor"""

from __future__ import annotations

import os
import platform
from typing import Any

import click

from ..core.task import TaskSpec
from .common import json_option, say, say_json, store_given, url_option
from .layout import paragraph, table
from .settings import find_all, setting_options

APP = "narrowboat.worker.checkup:app"


@click.command("doctor")
@click.argument("app", required=False)
@setting_options("executor_user")
@json_option
@url_option
def command(app: str | None, url: str | None, as_json: bool, **flags: Any) -> None:
    """Say what the sandbox enforces on this machine, by attacking it from inside.

    With APP, also which of its tasks have the network, and whether they reach a backend without a password or the
    metadata of a cloud. Of a backend that is a server, also what it would forget, and when, and what is doubtful
    about how it is set up. The status is 1 if anything is not enforced.
    """
    from ..backends.urls import open_backend, record_of, resolve
    from ..core.needs import Reach
    from ..sandbox.findings import PROPERTIES, lacking
    from ..worker.exposure import exposures
    from ..worker.survey import survey

    reach = Reach()
    user = find_all(flags)["executor_user"].value
    manifest, walls, no_cgroups = survey(app or APP, user, only=(reach,))
    layers, findings = walls[reach]
    weak = lacking(findings)
    tasks = [task for task in manifest.tasks if task.needs.reach.has_network or task.needs.reach.trusted]
    where = resolve(url)[0]
    record = record_of(where, store_given())
    warnings = exposures(tasks, sorted({where, record}))
    backend = None if where.startswith("sqlite:") else open_backend(where, record, make=False)
    setup, doubts = (backend.setup(), backend.doubts()) if backend else ([], [])
    network = {task.name: _ports(task) for task in sorted(tasks, key=lambda task: task.name)}
    if as_json:
        found = {"layers": layers, "no_cgroups": no_cgroups, "findings": findings}
        say_json(found | {"network": network, "warnings": warnings, "backend": setup, "doubts": doubts})
    else:
        is_other = os.geteuid() == 0 and not layers.user
        who = f"user {user} (the worker is root)" if is_other else "the worker's own user"
        say(f"{platform.system()} {platform.release()}, {platform.machine()}; executors run as {who}")
        say(f"layers: {layers.in_words()}")
        if layers.namespaces:
            say(f"no namespaces: {layers.namespaces}")
        if no_cgroups:
            say(f"no cgroup for each executor: {no_cgroups}")
        if layers.user:
            say(f"executors are not given a user of their own: {layers.user}")
        say("")
        rows = [(found.name, found.state, found.why or f"against {PROPERTIES[found.name]}") for found in findings]
        table(rows, ("PROPERTY", "STATE", ""))
        if network:
            say("")
            table(list(network.items()), ("TASK WITH THE NETWORK", "PORTS"))
        if backend and setup:
            say("")
            say(f"backend: {backend.location}")
            table(setup, ("", "", "WHAT THAT MEANS"))
        for warning in (*doubts, *warnings):
            say("")
            paragraph(f"warning: {warning}")
        say("")
        say("all of it is enforced" if not weak else "what is not enforced, tasks can do; docs/security.md says more")
    if weak:
        raise SystemExit(1)


def _ports(task: TaskSpec) -> str:
    reach = task.needs.reach
    return "every one" if reach.network or reach.trusted else f"TCP {', '.join(map(str, reach.ports))}; UDP for names"
