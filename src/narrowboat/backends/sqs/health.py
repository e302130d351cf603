"""How the queues are set up: what people should know."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple, cast

from ...core.units import in_words, many
from .address import Address
from .errors import DENIED, FAILURES, code_of
from .names import dead_letters
from .queues import RETENTION_S
from .service import Service

LOOKED_AT = 30  # queues; each costs a request
FULL = 100_000  # messages in flight; at 120,000 the service gives out no more, without a word
NOBODY_LOOKED = (
    "these credentials may not list queues or ask how they are set up (sqs:ListQueues, sqs:GetQueueAttributes), so "
    "nobody has looked"
)


class Setup(NamedTuple):
    """The queues with our prefix by their names, and whether there are more. endpoint: who was asked."""

    queues: Mapping[str, Mapping[str, str]]
    has_more: bool
    endpoint: str


def setup_of(service: Service) -> Setup | None:
    """None where these credentials may not ask. Raises what botocore does."""
    prefix = service.address.prefix
    try:
        found = service.call("list_queues", QueueNamePrefix=prefix, MaxResults=LOOKED_AT)
        urls: list[str] = found.get("QueueUrls", [])
        queues = {url.rsplit("/", 1)[-1]: service.attributes(url) for url in urls[:LOOKED_AT]}
    except FAILURES as error:
        if code_of(error) not in DENIED:
            raise
        return None
    return Setup(queues, "NextToken" in found, service.endpoint())


def doubts(setup: Setup | None) -> list[str]:
    """One sentence each."""
    if setup is None:
        return [NOBODY_LOOKED]
    found: list[str] = []
    for name, of_queue in setup.queues.items():
        if int(of_queue.get("DelaySeconds", 0)):
            found.append(f"the queue {name} delays each message by {of_queue['DelaySeconds']} s, and jobs with it")
        if int(of_queue.get("ApproximateNumberOfMessagesNotVisible", 0)) > FULL:
            found.append(f"the queue {name} has nearly 120,000 messages in flight: then SQS gives out no more")
        if of_queue.get("Policy") and _is_open(of_queue["Policy"]):
            found.append(f"the policy of the queue {name} lets anybody (Principal *) do something without a condition")
    if setup.endpoint.startswith("http://"):
        found.append(f"{setup.endpoint} is asked without TLS: messages and their signatures can be read on the way")
    return found


def explained(setup: Setup | None, address: Address) -> list[tuple[str, str, str]]:
    """What they keep, for how long, and where it goes then."""
    held = ("visibility", f"{address.visibility_s} s", "what a killed worker was about to claim comes again after that")
    if setup is None:
        return [("queues", "unknown", NOBODY_LOOKED), held]
    dead = dead_letters(address.prefix)
    ours = {name: found for name, found in setup.queues.items() if name != dead}
    retention = min((int(found.get("MessageRetentionPeriod", 0)) for found in ours.values()), default=RETENTION_S)
    without = [name for name, found in ours.items() if not found.get("RedrivePolicy")]
    return [
        ("endpoint", setup.endpoint, "with TLS" if setup.endpoint.startswith("https:") else "WITHOUT TLS"),
        (
            "queues",
            f"{many(len(ours), 'queue')}{' or more' if setup.has_more else ''} beginning with {address.prefix}",
            "they are made when they are first used, if these credentials may",
        ),
        held,
        (
            "retention",
            in_words(retention),
            "jobs are in the store, and published again; what other programs sent is lost after that",
        ),
        (
            "dead letters",
            "none: " + ", ".join(without[:3]) if without else _where_to(ours, dead),
            "what is received again and again without end" if without else "a safety net: look there, nobody else does",
        ),
        ("encryption", _encryption(setup), "by the service, at rest"),
    ]


def _where_to(queues: Mapping[str, Mapping[str, str]], dead: str) -> str:
    policies = [json.loads(found["RedrivePolicy"]) for found in queues.values()]
    fewest = min((int(policy["maxReceiveCount"]) for policy in policies), default=0)
    names = {policy["deadLetterTargetArn"].rsplit(":", 1)[-1] for policy in policies} or {dead}
    return f"{', '.join(sorted(names)[:3])} after {fewest} receives" if fewest else f"{dead}, once there are queues"


def _encryption(setup: Setup) -> str:
    def how(found: Mapping[str, str]) -> str:
        if key := found.get("KmsMasterKeyId"):
            return f"KMS key {key}"
        return "SSE-SQS" if found.get("SqsManagedSseEnabled") == "true" else "NONE"

    return ", ".join(sorted({how(found) for found in setup.queues.values()})) or "unknown: there are no queues yet"


def _is_open(policy: str) -> bool:
    try:
        statements: Any = json.loads(policy).get("Statement", [])
    except ValueError:
        return False
    each = cast("list[Any]", statements if isinstance(statements, list) else [statements])
    return any(
        one.get("Effect") == "Allow" and one.get("Principal") in ("*", {"AWS": "*"}) and not one.get("Condition")
        for one in each
    )
