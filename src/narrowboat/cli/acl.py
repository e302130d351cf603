"""narrowboat acl"""

from __future__ import annotations

import secrets
import sys

import click

from ..core.errors import ConfigError
from .common import url_option, write


@click.command("acl")
@click.argument("service", type=click.Choice(["redis"]))
@url_option
def command(service: str, url: str | None) -> None:
    """Print users for a Redis server: for workers, web processes, dashboards, other languages.

    Each may do no more than it needs, by command and by key. Pipe it into redis-cli; the passwords are new ones, and
    the URLs that hold them are printed to standard error.
    """
    from ..backends.redis import address_of
    from ..backends.redis.acl import USERS, name_of, rules
    from ..backends.urls import resolve

    where, _ = resolve(url)
    if not where.startswith(("redis:", "rediss:", "unix:")):
        raise ConfigError(f"{where} is no Redis: give --url, or set NARROWBOAT_URL")
    address = address_of(where)
    passwords = {name: secrets.token_urlsafe(24) for name in USERS}
    for rule in rules(address.prefix, passwords):
        write(rule)
    width = max(map(len, USERS))
    for name, user in USERS.items():
        login = f"{name_of(address.namespace, name)}:{passwords[name]}"
        click.echo(f"{name:<{width}}  {address.as_user(login)}  {user.what_for}", file=sys.stderr)
