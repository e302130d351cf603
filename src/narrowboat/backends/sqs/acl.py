"""IAM policies for each kind of process, with no more than it needs: by action, and by the names of queues."""

from __future__ import annotations

from typing import Any, NamedTuple

from .address import Address
from .names import DEAD

_LOOK = ("GetQueueUrl", "GetQueueAttributes")
_RECEIVE = ("ReceiveMessage", "DeleteMessage", "ChangeMessageVisibility")
_QUEUES, _TASKS, _OTHER = "queue-*", "task-*", "other-*"  # by the kind of channel, see names.py


class Grant(NamedTuple):
    """Actions on queues whose names, after the prefix, are such. No names: of actions that know no queue."""

    actions: tuple[str, ...]
    names: tuple[str, ...] = ()


class Role(NamedTuple):
    """A kind of process."""

    what_for: str
    grants: tuple[Grant, ...]


ROLES = {
    "worker": Role(
        "workers: make queues, publish, receive; doctor",
        (
            Grant((*_LOOK, "CreateQueue", "SendMessage", *_RECEIVE), (_QUEUES, _TASKS, _OTHER)),
            Grant((*_LOOK, "CreateQueue"), (DEAD,)),
            Grant(("ListQueues",)),
        ),
    ),
    "web": Role(
        "web processes: publish what they enqueue, see how much waits",
        (Grant((*_LOOK, "SendMessage"), (_QUEUES,)),),
    ),
    "sender": Role(
        "other programs: send arguments to tasks",
        (Grant(("GetQueueUrl", "SendMessage"), (_TASKS,)),),
    ),
}


def name_of(prefix: str, role: str) -> str:
    """What the policy of a role is called."""
    return f"{prefix.strip('-_')}-{role}"


def policy(address: Address, role: str) -> dict[str, Any]:
    """Of one role. Any account, and any region where the URL names none: a policy counts in its own account only."""
    return {"Version": "2012-10-17", "Statement": [_statement(address, grant) for grant in ROLES[role].grants]}


def _statement(address: Address, grant: Grant) -> dict[str, Any]:
    region = address.region or "*"
    place = f"arn:{_partition(region)}:sqs:{region}:*:{address.prefix}"
    return {
        "Effect": "Allow",
        "Action": [f"sqs:{action}" for action in grant.actions],
        "Resource": [f"{place}{name}" for name in grant.names] or "*",
    }


def _partition(region: str) -> str:
    if region.startswith("cn-"):
        return "aws-cn"
    return "aws-us-gov" if region.startswith("us-gov-") else "aws"
