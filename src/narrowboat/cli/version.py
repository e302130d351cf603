"""narrowboat version"""

from __future__ import annotations

import platform
import sqlite3

import click

from .. import __version__
from .common import json_option, say_json


@click.command("version")
@json_option
def command(as_json: bool) -> None:
    """Print the version, and those of Python and SQLite."""
    if as_json:
        found = {"narrowboat": __version__, "python": platform.python_version(), "sqlite": sqlite3.sqlite_version}
        say_json(found)
    else:
        click.echo(f"narrowboat {__version__} (Python {platform.python_version()}, SQLite {sqlite3.sqlite_version})")
