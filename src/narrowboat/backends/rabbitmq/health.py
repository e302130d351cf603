"""How the server is set up: what it would drop, and what people should know."""

from __future__ import annotations

import time
from dataclasses import dataclass

from ...core.errors import BackendError
from . import management
from .address import Address
from .errors import in_our_words
from .line import AMQPError, visiting
from .management import QueueFacts
from .queues import LIMITED_SINCE

OLDEST = (3, 10)  # that tests were run on
DROPPING = ("max-length", "max-length-bytes", "message-ttl", "expires")
DEFAULT_LIMIT = 20  # of deliveries, since LIMITED_SINCE

LOST = "jobs in it are only late, for they are delivered again; what other programs put there is gone"
ALONE = "AMQP does not tell; name the HTTP API (?management=http://host:15672) and a user with the tag management"
TIMEOUT = (
    "what a worker holds for longer comes again, which takes a worker that stands still: messages are accepted as soon "
    "as their job is claimed"
)


@dataclass(frozen=True, slots=True)
class Setup:
    """queues, alarms: None: nobody has told; `why` says why not."""

    version: str
    queues: list[QueueFacts] | None = None
    alarms: list[str] | None = None
    why: str = ALONE

    def limit(self, queue: QueueFacts) -> int | None:
        """How often a message may come back before it is dropped; None: as often as it likes."""
        default = DEFAULT_LIMIT if _number(self.version) >= (LIMITED_SINCE,) else -1
        limit = int(queue.rules.get("delivery-limit", default))
        return limit if limit >= 0 and queue.type == "quorum" else None


def setup_of(address: Address) -> Setup:
    """Raises BackendUnavailable, ConfigError."""
    try:
        with visiting(address, time.monotonic() + address.timeout_s) as line:
            version = line.version
    except (AMQPError, OSError) as error:
        raise in_our_words(error, address) from error
    if not address.management:
        return Setup(version)
    try:
        return Setup(version, management.queues(address), management.alarms(address), "")
    except BackendError as error:
        return Setup(version, why=str(error))


def held(address: Address) -> dict[str, int]:
    """By queue, some seconds ago; empty if the HTTP API does not tell."""
    try:
        return {queue.name: queue.held for queue in management.queues(address)}
    except BackendError:
        return {}


def doubts(setup: Setup) -> list[str]:
    """What this server would drop or refuse, one sentence each."""
    found: list[str] = []
    if setup.version and _number(setup.version) < OLDEST:
        found.append(f"RabbitMQ {setup.version} is older than what was tested ({'.'.join(map(str, OLDEST))} and newer)")
    if setup.alarms:
        found.append(f"RabbitMQ is short of {' and '.join(setup.alarms)} and takes no messages until there is room")
    for queue in setup.queues or []:
        if queue.type != "quorum":
            found.append(f"queue {queue.name} is {queue.type}, not quorum: if its node is lost, so are its messages")
        if rules := _dropping(queue):
            found.append(f"queue {queue.name} drops messages ({rules}): {LOST}")
        if (limit := setup.limit(queue)) is not None:
            found.append(
                f"queue {queue.name} drops what has come back {limit} times (delivery-limit): {LOST}; set a policy "
                "with delivery-limit -1, or delete the queue once it is empty, and it is made anew"
            )
    return found


def explained(setup: Setup) -> list[tuple[str, str, str]]:
    """How it is, and what that means."""
    rows = [("version", setup.version or "not told", "")]
    if setup.queues is None or setup.alarms is None:
        return [*rows, ("alarms, queues, policies", "NOT LOOKED AT", setup.why)]
    kinds = sorted({queue.type for queue in setup.queues})
    limits = sorted({limit for queue in setup.queues if (limit := setup.limit(queue)) is not None})
    dropping = [f"{queue.name}: {rules}" for queue in setup.queues if (rules := _dropping(queue))]
    timeouts = sorted(
        {str(queue.rules["consumer-timeout"]) for queue in setup.queues if "consumer-timeout" in queue.rules}
    )
    stopped = "publishes wait, then raise BackendUnavailable; workers go on" if setup.alarms else ""
    return [
        *rows,
        ("alarms", ", ".join(setup.alarms).upper() or "none", stopped),
        ("queues", f"{len(setup.queues)} ({', '.join(kinds) or 'made when they are used'})", ""),
        ("delivery limit", ", ".join(map(str, limits)) or "none", LOST if limits else "nothing is dropped"),
        ("dropping rules", "; ".join(dropping) or "none", LOST if dropping else ""),
        ("consumer timeout", f"{', '.join(timeouts)} ms" if timeouts else "the server's (30 min by default)", TIMEOUT),
    ]


def _dropping(queue: QueueFacts) -> str:
    rules = {name: queue.rules[name] for name in DROPPING if name in queue.rules}
    if str(queue.rules.get("overflow", "")).startswith("reject-publish"):  # says no instead
        rules = {name: value for name, value in rules.items() if not name.startswith("max-length")}
    return ", ".join(f"{name} {value}" for name, value in rules.items())


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
