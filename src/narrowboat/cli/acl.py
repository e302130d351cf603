"""narrowboat acl"""

from __future__ import annotations

import secrets
import sys

import click

from ..core.errors import ConfigError
from .common import store_given, url_option, write


@click.command("acl")
@click.argument("service", type=click.Choice(["redis", "sqs"]))
@url_option
def command(service: str, url: str | None) -> None:
    """Print who may do what on a server: for workers, web processes, and others; nobody may do more than it needs.

    redis: users, by command and by key. Pipe it into redis-cli; the passwords are new ones, and the URLs that hold them
    are printed to standard error.

    sqs: IAM policies, by action and by queue, as commands for a shell; for whom each is, is printed to standard error.
    The region and the prefix are those of --url.
    """
    if service == "redis":
        _redis(url)
    else:
        _sqs(url)


def _redis(url: str | None) -> None:
    from ..backends.redis import address_of
    from ..backends.redis.acl import USERS, name_of, rules
    from ..backends.urls import record_of, resolve

    where = record_of(resolve(url)[0], store_given())
    if not where.startswith(("redis:", "rediss:", "unix:")):
        raise ConfigError(f"{where} is no Redis: give --url, or set NARROWBOAT_URL")
    address = address_of(where)
    passwords = {name: secrets.token_urlsafe(24) for name in USERS}
    for rule in rules(address.prefix, passwords):
        write(rule)
    logins = {name: address.as_user(f"{name_of(address.namespace, name)}:{passwords[name]}") for name in USERS}
    _explain({name: f"{logins[name]}  {user.what_for}" for name, user in USERS.items()})


def _sqs(url: str | None) -> None:
    from ..backends.sqs import address_of
    from ..backends.sqs.acl import ROLES, name_of, policy
    from ..backends.urls import redacted, resolve
    from ..core import codec

    where, _ = resolve(url)
    if not where.startswith("sqs:"):
        raise ConfigError(f"{redacted(where)} is no SQS: give --url, or set NARROWBOAT_URL")
    address = address_of(where)
    for name in ROLES:
        document = codec.encode(policy(address, name)).decode()
        write(f"aws iam create-policy --policy-name {name_of(address.prefix, name)} --policy-document '{document}'")
    _explain({name: f"{name_of(address.prefix, name)}  {role.what_for}" for name, role in ROLES.items()})


def _explain(lines: dict[str, str]) -> None:
    width = max(map(len, lines))
    for name, line in lines.items():
        click.echo(f"{name:<{width}}  {line}", file=sys.stderr)
