"""narrowboat doctor"""

from __future__ import annotations

import os
import platform
from typing import Any

import click

from .common import json_option, say, say_json, table
from .settings import find_all, setting_options

APP = "narrowboat.worker.checkup:app"


@click.command("doctor")
@setting_options("executor_user")
@json_option
def command(as_json: bool, **flags: Any) -> None:
    """Say what the sandbox enforces on this machine, by attacking it from inside.

    The status is 1 if anything is not enforced.
    """
    from ..core.needs import Reach
    from ..sandbox.findings import PROPERTIES, lacking
    from ..worker.survey import survey

    reach = Reach()
    user = find_all(flags)["executor_user"].value
    layers, findings = survey(APP, user, only=(reach,)).walls[reach]
    weak = lacking(findings)
    if as_json:
        say_json({"layers": layers, "findings": findings})
    else:
        is_other = os.geteuid() == 0 and not layers.user
        who = f"user {user} (the worker is root)" if is_other else "the worker's own user"
        say(f"{platform.system()} {platform.release()}, {platform.machine()}; executors run as {who}")
        say(f"layers: {layers.in_words()}")
        if layers.namespaces:
            say(f"no namespaces: {layers.namespaces}")
        if layers.user:
            say(f"executors are not given a user of their own: {layers.user}")
        say("")
        rows = [(found.name, found.state, found.why or f"against {PROPERTIES[found.name]}") for found in findings]
        table(rows, ("PROPERTY", "STATE", ""))
        say("")
        say("all of it is enforced" if not weak else "what is not enforced, tasks can do; docs/security.md says more")
    if weak:
        raise SystemExit(1)
