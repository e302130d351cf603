"""narrowboat adjust"""

from __future__ import annotations

import click

from ..app.steering import adjust, named
from ..core.errors import ConfigError
from .common import backend_of, say, url_option


@click.command("adjust")
@click.argument("scope")
@click.argument("numbers", required=False)
@click.option("--declared", is_flag=True, help="Back to what the tasks declare.")
@url_option
def command(scope: str, numbers: str | None, declared: bool, url: str | None) -> None:
    """Put other numbers in place of the declared ones, on every host: rate:mailgun 50/m, or limit:db 3."""
    if declared == (numbers is not None):
        raise ConfigError("give numbers, such as 50/m or 3, or --declared to take them back")
    backend = backend_of(url)
    control = adjust(backend, scope, numbers)
    say(f"{scope} is as its tasks declare it" if control is None else f"{scope}: {control.words()}, until --declared")
    if not named(backend, scope):
        say(f"no task of a worker names {scope} yet; is the name right?")
