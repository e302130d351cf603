"""narrowboat config"""

from __future__ import annotations

import click

from .common import json_option, say_json, store_given, url_option
from .layout import table
from .settings import BY_NAME, find_all


@click.command("config")
@url_option
@json_option
def command(url: str | None, as_json: bool) -> None:
    """Show every setting, its value here, and where that comes from.

    A flag wins over the environment, that over [tool.narrowboat] in the nearest pyproject.toml, that over the default.
    """
    from ..backends.urls import redacted, resolve, resolve_store

    places = {"url": resolve(url), "store": resolve_store(store_given())}
    found = find_all()
    if as_json:
        for name, (where, origin) in places.items():
            say_json({"name": name, "value": redacted(where), "origin": origin})
        for name, setting in found.items():
            say_json({"name": name, "value": setting.value, "origin": setting.origin})
        return
    rows = [
        [name, redacted(where), _place(origin), f"NARROWBOAT_{name.upper()}"]
        for name, (where, origin) in places.items()
    ]
    rows += [
        [name, setting.written or "-", _place(setting.origin), BY_NAME[name].variable]
        for name, setting in found.items()
    ]
    table(rows, ["SETTING", "VALUE", "FROM", "ENVIRONMENT"])


def _place(origin: str) -> str:
    """Without the name that stands in the same row anyway."""
    return origin.partition(",")[0]
