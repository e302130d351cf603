"""The HTTP API of RabbitMQ's management plugin, which knows what AMQP does not tell. No job needs it, but people do."""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.request
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

from ...core.errors import BackendError, BackendUnavailable
from .address import Address

MOST = 500  # queues in one answer, which is the most that there can be


class QueueFacts(NamedTuple):
    """held: delivered and not settled, some seconds ago. rules: of its policy and its arguments, the latter first."""

    name: str
    type: str
    held: int
    rules: dict[str, Any]


def queues(address: Address) -> list[QueueFacts]:
    """Ours, in our virtual host. Raises BackendError, BackendUnavailable."""
    query = urlencode({"name": rf"^{address.prefix}\.", "use_regex": "true", "page": 1, "page_size": MOST})
    answer = _ask(address, f"queues/{quote(address.vhost, safe='')}?{query}")
    return [_facts(item) for item in answer["items"]]


def alarms(address: Address) -> list[str]:
    """What the server is short of ("memory", "disk"); while there is any, it takes no messages."""
    answer = _ask(address, "health/checks/alarms")
    return sorted({str(alarm.get("resource", "?")) for alarm in answer.get("alarms", [])})


def _facts(item: dict[str, Any]) -> QueueFacts:
    given: dict[str, Any] = item.get("arguments") or {}
    policy: dict[str, Any] = item.get("effective_policy_definition") or {}
    rules = policy | {name.removeprefix("x-"): value for name, value in given.items()}
    return QueueFacts(item["name"], item.get("type", "?"), int(item.get("messages_unacknowledged", 0)), rules)


def _ask(address: Address, path: str) -> Any:
    login = base64.b64encode(f"{address.user}:{address.password}".encode()).decode()
    request = urllib.request.Request(f"{address.management}/api/{path}", headers={"Authorization": f"Basic {login}"})
    try:
        with urllib.request.urlopen(request, timeout=address.timeout_s) as answer:
            return json.loads(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            if error.code == 503:  # how a check says that it has failed
                return json.loads(error.read())
        if error.code in (401, 403):
            raise BackendError(
                f"{address.management}: user {address.user} may not look: rabbitmqctl set_user_tags {address.user} "
                "management"
            ) from error
        raise BackendError(f"{address.management}: {error}") from error
    except (OSError, ValueError) as error:
        raise BackendUnavailable(f"{address.management}: {error}") from error
