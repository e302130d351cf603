"""narrowboat controls"""

from __future__ import annotations

import time
from datetime import datetime

import click

from ..app.steering import Shown, controls, named
from .common import backend_of, json_option, say, say_json, url_option
from .layout import table


@click.command("controls")
@click.argument("scope", required=False)
@url_option
@json_option
def command(scope: str | None, url: str | None, as_json: bool) -> None:
    """Show the rates, limits and breakers of all tasks, and how they stand; of one, also what happened to it."""
    backend = backend_of(url)
    found = controls(backend) if scope is None else [one] if (one := named(backend, scope)) else []
    if as_json:
        for shown in found:
            say_json(shown)
        return
    if not found:
        say(f"no task of a worker names {scope}" if scope else "no task of a worker has a rate, a limit or a breaker")
        return
    now = time.time()
    rows = [[shown.scope, _numbers(shown), shown.state(now), ", ".join(shown.tasks)] for shown in found]
    table(rows, ["CONTROL", "NUMBERS", "NOW", "TASKS"])
    if scope and (meter := found[0].meter):
        for at, what in meter.history:
            say(f"{datetime.fromtimestamp(at):%Y-%m-%d %H:%M:%S}  {what}")


def _numbers(shown: Shown) -> str:
    return f"{shown.numbers} (adjusted)" if shown.is_adjusted else shown.numbers
